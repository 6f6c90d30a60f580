import { seededRandom } from '../../driver/memory/index.ts'
import { type Nic, type NicInfo, type NicMemory, type NicStats, RX_MORE, RxBurst } from '../../driver/nic.ts'

export interface ReceiveImpairments {
  seed: number
  /** Probability that a frame is dropped. */
  loss: number
  /** Probability that a frame is held back and comes after the next few. */
  reorder: number
}

interface Held {
  offset: number[]
  length: number[]
  flags: number[]
  /** Frames that still pass before this one. */
  behind: number
}

/** Drops and reorders whole frames, those of many fragments too, on their way from a real NIC to the stack. */
export class ImpairedNic implements Nic {
  readonly sideMemory = null
  dropped = 0
  reordered = 0
  readonly #inner: Nic
  readonly #random: () => number
  readonly #impairments: ReceiveImpairments
  readonly #raw = new RxBurst(256)
  readonly #back = new Uint32Array(512)
  #held: Held[] = []
  #shift = 12

  constructor(inner: Nic, impairments: ReceiveImpairments) {
    this.#inner = inner
    this.#impairments = impairments
    this.#random = seededRandom(impairments.seed)
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
    this.#held = []
    this.#shift = 31 - Math.clz32(memory.chunkSize)
    this.#inner.attach(memory)
  }
  detach(): void {
    this.#held = []
    this.#inner.detach()
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    this.#release(burst)
    // Whatever the inner burst holds has to fit behind what was released.
    if (burst.capacity - burst.count < this.#raw.capacity) return burst.count
    const count = this.#inner.receive(this.#raw)
    let first = 0
    while (first < count) {
      let last = first
      while ((this.#raw.flags[last]! & RX_MORE) !== 0) last++
      last++
      const fate = this.#random()
      if (fate < this.#impairments.loss) this.#drop(first, last)
      else if (fate < this.#impairments.loss + this.#impairments.reorder) this.#hold(first, last)
      else {
        for (let i = first; i < last; i++) {
          this.#put(burst, this.#raw.offset[i]!, this.#raw.length[i]!, this.#raw.flags[i]!)
        }
        for (const held of this.#held) held.behind--
      }
      first = last
    }
    return burst.count
  }

  #drop(first: number, last: number): void {
    this.dropped++
    for (let i = first; i < last; i++) this.#back[i - first] = this.#raw.offset[i]! >>> this.#shift
    this.#inner.fill(this.#back, 0, last - first)
  }

  #hold(first: number, last: number): void {
    this.reordered++
    this.#held.push({
      offset: [...this.#raw.offset.subarray(first, last)],
      length: [...this.#raw.length.subarray(first, last)],
      flags: [...this.#raw.flags.subarray(first, last)],
      behind: 1 + Math.floor(this.#random() * 8),
    })
  }

  #release(burst: RxBurst): void {
    this.#held = this.#held.filter((held) => {
      if (held.behind > 0 && this.#held.length < 64) {
        held.behind--
        return true
      }
      if (burst.count + held.offset.length > burst.capacity - this.#raw.capacity) return true
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

  fillSpace(): number {
    return this.#inner.fillSpace()
  }
  fill(chunks: Uint32Array, from: number, count: number): number {
    return this.#inner.fill(chunks, from, count)
  }
  chunksHeld(): number {
    return this.#inner.chunksHeld() + this.#held.reduce((sum, held) => sum + held.offset.length, 0)
  }
  sumFragments(burst: RxBurst): void {
    this.#inner.sumFragments(burst)
  }
  txReserve(): number {
    return this.#inner.txReserve()
  }
  txCommit(offset: number, length: number): void {
    this.#inner.txCommit(offset, length)
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
    return this.#held.length > 0 || this.#inner.wait(timeoutMs)
  }
  arm(callback: (() => void) | null): void {
    if (callback !== null && this.#held.length > 0) setImmediate(callback)
    else this.#inner.arm(callback)
  }
  stats(): NicStats {
    return this.#inner.stats()
  }
  close(): void {
    this.#inner.close()
  }
}
