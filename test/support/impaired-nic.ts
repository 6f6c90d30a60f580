import { type Nic, type NicInfo, type NicMemory, type NicStats, RX_MORE, RxBurst } from '../../driver/nic.ts'
import { ImpairedTransmit } from './impaired-transmit.ts'
import { Fates, type FrameImpairments, flipBit, ImpairmentCounts } from './impairments.ts'

export interface NicImpairments {
  seed: number
  /** On the way from the wire to the stack. Corruption needs frames with complete checksums: `ethtool -K tx off` there. */
  receive?: FrameImpairments
  /** On the way from the stack to the wire. */
  transmit?: FrameImpairments
  /** Sees every frame that the stack sends, before anything happens to it. */
  tap?: (frame: Uint8Array) => void
}

interface Held {
  offset: number[]
  length: number[]
  flags: number[]
  /** Frames that still pass before this one. */
  behind: number
}

/** Chunks kept back from the fill ring, to copy frames into that are to come twice. */
const SPARES = 64

/** Impairs whole frames, those of many fragments too, between a real NIC and the stack. */
export class ImpairedNic implements Nic {
  readonly sideMemory = null
  readonly received = new ImpairmentCounts()
  readonly #inner: Nic
  readonly #fates: Fates
  readonly #impairments: FrameImpairments
  readonly #transmit: ImpairedTransmit
  /** Half a burst of the stack's, so that what was held back and what comes twice fits too. */
  readonly #raw = new RxBurst(128)
  readonly #back = new Uint32Array(512)
  /** Chunks the stack has given that the inner NIC has not. */
  readonly #spare: number[] = []
  #area: Uint8Array = new Uint8Array(0)
  #held: Held[] = []
  #shift = 12

  constructor(inner: Nic, impairments: NicImpairments) {
    this.#inner = inner
    this.#impairments = impairments.receive ?? {}
    this.#fates = new Fates(impairments.seed)
    this.#transmit = new ImpairedTransmit(
      inner,
      impairments.transmit ?? {},
      new Fates(impairments.seed ^ 0x5eed),
      impairments.tap,
    )
  }

  /** What befell frames on their way out. */
  get sent(): ImpairmentCounts {
    return this.#transmit.counts
  }
  get gone(): boolean {
    return this.#inner.gone
  }

  get info(): NicInfo {
    return this.#inner.info
  }
  get txMemory(): Uint8Array {
    return this.#inner.txMemory
  }
  get txSlotBytes(): number {
    return this.#inner.txSlotBytes
  }

  attach(memory: NicMemory): void {
    this.#forget()
    this.#shift = 31 - Math.clz32(memory.chunkSize)
    this.#area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#inner.attach(memory)
  }
  detach(): void {
    this.#forget()
    this.#inner.detach()
  }

  receive(burst: RxBurst): number {
    this.#transmit.release()
    burst.count = 0
    this.#release(burst)
    // Whatever the inner burst holds, twice, has to fit behind what was released.
    if (burst.capacity - burst.count < this.#raw.capacity + SPARES) return burst.count
    const count = this.#inner.receive(this.#raw)
    let first = 0
    while (first < count) {
      let last = first
      while ((this.#raw.flags[last]! & RX_MORE) !== 0) last++
      last++
      this.#pass(burst, first, last)
      first = last
    }
    return burst.count
  }

  /** One frame, the entries `[first, last)` of the inner burst. */
  #pass(burst: RxBurst, first: number, last: number): void {
    const { loss = 0, reorder = 0, duplicate = 0, corrupt = 0 } = this.#impairments
    if (this.#fates.strikes(loss)) {
      this.#drop(first, last)
      return
    }
    if (this.#fates.strikes(corrupt)) {
      this.received.corrupted++
      const from = this.#raw.offset[first]!
      flipBit(this.#area.subarray(from, from + this.#raw.length[first]!), this.#fates)
    }
    if (this.#fates.strikes(duplicate)) this.#double(burst, first, last)
    if (this.#fates.strikes(reorder)) {
      this.#hold(first, last)
      return
    }
    for (let i = first; i < last; i++) {
      this.#put(burst, this.#raw.offset[i]!, this.#raw.length[i]!, this.#raw.flags[i]!)
    }
    for (const held of this.#held) held.behind--
  }

  #drop(first: number, last: number): void {
    this.received.dropped++
    for (let i = first; i < last; i++) this.#back[i - first] = this.#raw.offset[i]! >>> this.#shift
    this.#inner.fill(this.#back, 0, last - first)
  }

  /** The frame comes once more, in chunks of its own; not when there are too few of them. */
  #double(burst: RxBurst, first: number, last: number): void {
    if (this.#spare.length < last - first) return
    this.received.duplicated++
    const within = (1 << this.#shift) - 1
    for (let i = first; i < last; i++) {
      const from = this.#raw.offset[i]!
      const length = this.#raw.length[i]!
      const to = this.#spare.pop()! * (within + 1) + (from & within)
      this.#area.copyWithin(to, from, from + length)
      this.#put(burst, to, length, this.#raw.flags[i]!)
    }
  }

  #hold(first: number, last: number): void {
    this.received.reordered++
    this.#held.push({
      offset: [...this.#raw.offset.subarray(first, last)],
      length: [...this.#raw.length.subarray(first, last)],
      flags: [...this.#raw.flags.subarray(first, last)],
      behind: 1 + this.#fates.below(8),
    })
  }

  #release(burst: RxBurst): void {
    this.#held = this.#held.filter((held) => {
      if (held.behind > 0 && this.#held.length < 64) {
        held.behind--
        return true
      }
      if (burst.count + held.offset.length > burst.capacity - this.#raw.capacity - SPARES) return true
      for (let i = 0; i < held.offset.length; i++) {
        this.#put(burst, held.offset[i]!, held.length[i]!, held.flags[i]!)
      }
      return false
    })
  }

  #put(burst: RxBurst, offset: number, length: number, flags: number): void {
    const at = burst.count++
    burst.offset[at] = offset
    burst.length[at] = length
    burst.flags[at] = flags
  }

  get #holding(): boolean {
    return this.#held.length > 0 || this.#transmit.holding
  }

  #forget(): void {
    this.#held = []
    this.#spare.length = 0
    this.#transmit.forget()
  }

  fillSpace(): number {
    return this.#inner.fillSpace()
  }
  fill(chunks: Uint32Array, from: number, count: number): number {
    let kept = 0
    if ((this.#impairments.duplicate ?? 0) > 0) {
      while (kept < count && this.#spare.length < SPARES) this.#spare.push(chunks[from + kept++]!)
    }
    return kept + this.#inner.fill(chunks, from + kept, count - kept)
  }
  chunksHeld(): number {
    const held = this.#held.reduce((sum, { offset }) => sum + offset.length, 0)
    return this.#inner.chunksHeld() + this.#spare.length + held
  }
  sumFragments(burst: RxBurst): void {
    this.#inner.sumFragments(burst)
  }
  txReserve(): number {
    return this.#inner.txReserve()
  }
  txCommit(offset: number, length: number): void {
    this.#transmit.commit(offset, length)
  }
  txFlush(): void {
    this.#inner.txFlush()
  }
  steer(address: Uint8Array, port: number): void {
    this.#inner.steer(address, port)
  }
  unsteer(address: Uint8Array, port: number): void {
    this.#inner.unsteer(address, port)
  }
  claim(address: Uint8Array): void {
    this.#inner.claim(address)
  }
  unclaim(address: Uint8Array): void {
    this.#inner.unclaim(address)
  }
  wait(timeoutMs: number): boolean {
    return this.#holding || this.#inner.wait(timeoutMs)
  }
  arm(callback: (() => void) | null): void {
    if (callback !== null && this.#holding) setImmediate(callback)
    else this.#inner.arm(callback)
  }
  stats(): NicStats {
    return this.#inner.stats()
  }
  close(): void {
    this.#inner.close()
  }
}
