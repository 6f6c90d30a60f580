import { ArgumentError } from '../../errors.ts'
import type { Nic, RxBurst } from '../nic.ts'
import { DelayingNic } from './delaying.ts'

const DEFAULT_BURST_BYTES = 65_536
const DEFAULT_QUEUE_BYTES = 1 << 20

/** How much may pass in one direction. */
export interface RateLimit {
  /** Of layer 2, without preamble and gaps. */
  readonly bitsPerSecond: number
  /** Bytes that may pass at once after a pause; default 64 KiB. A frame passes while any of them are left. */
  readonly burstBytes?: number
}

/** How much may pass a `RateLimitNic`, by direction. */
export interface RateLimits {
  /** What exceeds it stays in the inner NIC's queue, which drops and counts what it has no room for. */
  readonly receive?: RateLimit
  /** What exceeds it waits here, up to `queueBytes`; beyond that it is dropped and counted in `txDropped`. */
  readonly transmit?: RateLimit
  /** Bytes of frames that wait to be sent; default 1 MiB. */
  readonly queueBytes?: number
  /** Microseconds, monotonic; default `performance.now`. */
  readonly now?: () => number
}

/** Bytes that may pass: a token bucket that a frame may overdraw. */
class Bucket {
  readonly #bytesPerUs: number
  readonly #most: number
  #tokens: number
  #at: number

  constructor(limit: RateLimit, now: number) {
    const { bitsPerSecond, burstBytes = DEFAULT_BURST_BYTES } = limit
    if (!(bitsPerSecond > 0) || !(burstBytes > 0)) {
      throw new ArgumentError(
        `no rate of ${bitsPerSecond} bits a second in bursts of ${burstBytes} bytes`,
        'give positive numbers',
      )
    }
    this.#bytesPerUs = bitsPerSecond / 8e6
    this.#most = burstBytes
    this.#tokens = burstBytes
    this.#at = now
  }

  open(now: number): boolean {
    this.#tokens = Math.min(this.#most, this.#tokens + (now - this.#at) * this.#bytesPerUs)
    this.#at = now
    return this.#tokens > 0
  }

  take(bytes: number): void {
    this.#tokens -= bytes
  }

  /** When it is open again, after `open` was asked. */
  opensAt(): number {
    return this.#tokens > 0 ? this.#at : this.#at + (1 - this.#tokens) / this.#bytesPerUs
  }
}

/** Lets so many bits a second through, in either direction or both, and delays the rest. */
export class RateLimitNic extends DelayingNic {
  /** Frames not sent because the queue was full. */
  txDropped = 0
  readonly #receive: Bucket | null
  readonly #transmit: Bucket | null
  readonly #queueLimit: number
  #queue: Uint8Array[] = []
  #queued = 0

  /** @throws ArgumentError for rates that are none */
  constructor(inner: Nic, limits: RateLimits) {
    super(inner, limits.now)
    const now = this.now()
    this.#receive = limits.receive === undefined ? null : new Bucket(limits.receive, now)
    this.#transmit = limits.transmit === undefined ? null : new Bucket(limits.transmit, now)
    // Frames wait one by one.
    if (this.#transmit !== null) this.roles = { ...inner.roles, largeSends: null }
    this.#queueLimit = limits.queueBytes ?? DEFAULT_QUEUE_BYTES
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#queued
  }

  override receive(burst: RxBurst): number {
    this.#release()
    const bucket = this.#receive
    if (bucket === null) return this.inner.receive(burst)
    if (!bucket.open(this.now())) {
      burst.count = 0
      return 0
    }
    const count = this.inner.receive(burst)
    for (let i = 0; i < count; i++) bucket.take(burst.length[i]!)
    return count
  }

  override txCommit(offset: number, length: number): void {
    const bucket = this.#transmit
    if (length === 0 || bucket === null || (this.#queue.length === 0 && bucket.open(this.now()))) {
      bucket?.take(length)
      this.inner.txCommit(offset, length)
      return
    }
    if (this.#queued + length > this.#queueLimit) this.txDropped++
    else {
      this.#queue.push(this.inner.txMemory.slice(offset, offset + length))
      this.#queued += length
    }
    this.inner.txCommit(offset, 0)
  }

  override txFlush(): void {
    this.#release()
    this.inner.txFlush()
  }

  /** What waits to be sent leaves at once: a FIN that waits would be missed for good. */
  override close(): void {
    for (const frame of this.#queue) if (!this.#send(frame)) this.txDropped++
    this.#queue = []
    this.#queued = 0
    this.inner.txFlush()
    super.close()
  }

  protected override nextDue(): number {
    let due = Number.POSITIVE_INFINITY
    if (this.#transmit !== null && this.#queue.length > 0) {
      const open = this.#transmit.open(this.now())
      due = open ? this.now() : this.#transmit.opensAt()
    }
    if (!this.takes()) due = Math.min(due, this.#receive!.opensAt())
    return due
  }

  protected override takes(): boolean {
    return this.#receive === null || this.#receive.open(this.now())
  }

  /** Sends what waits and may go. No reservation may be open. */
  #release(): void {
    const bucket = this.#transmit
    if (bucket === null || this.#queue.length === 0) return
    let sent = 0
    while (sent < this.#queue.length && bucket.open(this.now())) {
      const frame = this.#queue[sent]!
      if (!this.#send(frame)) break
      bucket.take(frame.length)
      this.#queued -= frame.length
      sent++
    }
    if (sent > 0) this.#queue.splice(0, sent)
  }

  /** False without a free slot. */
  #send(frame: Uint8Array): boolean {
    const offset = this.inner.txReserve()
    if (offset < 0) return false
    this.inner.txMemory.set(frame, offset)
    this.inner.txCommit(offset, frame.length)
    return true
  }
}
