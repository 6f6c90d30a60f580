import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TcpConfig } from './options.ts'
import type { Tcb } from './tcb.ts'

/**
 * Turns free niovs into receive windows. A window is a promise: bytes that were announced must find niovs when they come,
 * however they are cut into frames, so promises of all connections together never exceed what is free, counted in whole
 * niovs. A slow application thus stalls its peers instead of losing their frames.
 */
export class WindowKeeper {
  /** Connections that may receive. */
  active = 0
  /** Niovs promised to all of them. */
  #promised = 0
  readonly #memory: QueueMemory
  readonly #config: TcpConfig
  /** Payload bytes of a full segment from our peers. */
  readonly #segment: number
  /** Connections whose window is smaller than their share for want of memory. */
  #starved: Tcb[] = []

  constructor(memory: QueueMemory, config: TcpConfig, segmentBytes: number) {
    this.#memory = memory
    this.#config = config
    this.#segment = segmentBytes
  }

  open(tcb: Tcb): void {
    this.active++
    const payload = this.#memory.chunkPayload
    tcb.rcv.bytesPerNiov = Math.max(1, Math.floor(this.#segment / Math.ceil((this.#segment + 66) / payload)))
  }

  close(tcb: Tcb): void {
    this.active--
    this.#promised -= tcb.rcv.promised
    tcb.rcv.promised = 0
    tcb.rcv.starved = false
  }

  /** Shift to announce in our SYN: the smallest that can express the largest window (RFC 7323 section 2.3). */
  shift(): number {
    let shift = 0
    while (shift < 14 && 65_535 << shift < this.#config.maxWindow) shift++
    return shift
  }

  /**
   * The 16-bit window field for a segment that leaves now, already shifted; moves `rcv.adv`. The right edge never moves
   * left (RFC 9293 3.8.6), and grows only by a worthwhile step (3.8.6.2.2, receiver's silly window avoidance).
   */
  announce(tcb: Tcb, shift: number): number {
    const rcv = tcb.rcv
    const current = rcv.window()
    const allowed = this.#allowed(tcb, current)
    const step = Math.min(this.#segment, this.#config.maxWindow >>> 1)
    let window = allowed - current >= step ? allowed : current
    const raw = Math.min(65_535, window > current ? window >>> shift : (current + (1 << shift) - 1) >>> shift)
    window = raw << shift
    if (window > current) rcv.adv = (rcv.nxt + window) | 0
    this.#promise(tcb, rcv.window())
    return raw
  }

  /**
   * Whether memory that has come free would let this connection's window grow enough to tell the peer: by two segments or
   * half of what it could have.
   */
  worthTelling(tcb: Tcb): boolean {
    const current = tcb.rcv.window()
    const allowed = this.#allowed(tcb, current)
    return allowed - current >= Math.min(2 * this.#segment, this.#config.maxWindow >>> 1)
  }

  /** Connections that waited for memory and can be told of a larger window; they are no longer on the list. */
  takeRelieved(relieved: Tcb[]): void {
    if (this.#starved.length === 0) return
    let kept = 0
    for (const tcb of this.#starved) {
      if (!tcb.rcv.starved) continue
      if (this.worthTelling(tcb)) {
        tcb.rcv.starved = false
        relieved.push(tcb)
      } else this.#starved[kept++] = tcb
    }
    this.#starved.length = kept
  }

  #allowed(tcb: Tcb, current: number): number {
    const rcv = tcb.rcv
    const memory = this.#memory
    this.#learn(tcb)
    this.#promise(tcb, current)
    const perNiov = rcv.bytesPerNiov
    const spare = memory.available() - memory.reserve - this.#promised
    const share = Math.max(1, Math.floor((memory.total() - memory.reserve) / Math.max(1, this.active)))
    const niovs = Math.min(share, rcv.promised + Math.max(0, spare))
    let limit = this.#config.maxWindow
    if (memory.ringPackets > 0) {
      // What the path in front of the queue can hold, a quarter left for what is not data, shared by all.
      const packets = Math.max(2, Math.floor((memory.ringPackets * 0.75) / Math.max(1, this.active)))
      limit = Math.min(limit, packets * this.#segment)
    }
    const allowed = Math.min(limit, Math.floor(niovs * perNiov))
    if (allowed < Math.min(limit, share * perNiov) / 2 && !rcv.starved) {
      rcv.starved = true
      this.#starved.push(tcb)
    }
    return allowed
  }

  /** Adjusts the mean payload of a niov to what this peer really sends. */
  #learn(tcb: Tcb): void {
    const rcv = tcb.rcv
    if (rcv.sinceNiovs === 0) return
    const mean = rcv.sinceBytes / rcv.sinceNiovs
    rcv.bytesPerNiov = Math.max(64, rcv.bytesPerNiov + (mean - rcv.bytesPerNiov) / 8)
    rcv.sinceBytes = 0
    rcv.sinceNiovs = 0
  }

  #promise(tcb: Tcb, window: number): void {
    const niovs = Math.ceil(window / tcb.rcv.bytesPerNiov)
    this.#promised += niovs - tcb.rcv.promised
    tcb.rcv.promised = niovs
  }
}
