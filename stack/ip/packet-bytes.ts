import { type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import { addSums, sumBytes, swapSum } from '../wire/checksum.ts'

/** The bytes of one packet wherever they lie, in order: for what is neither fast nor TCP. One instance serves all. */
export class PacketBytes {
  readonly #side: Uint8Array | null
  readonly #burst: RxBurst
  readonly #memory: QueueMemory
  readonly #fragments: Fragments
  readonly #parts: Uint8Array[] = []
  readonly #offset: number[] = []
  readonly #length: number[] = []
  #count = 0

  constructor(nic: Nic, burst: RxBurst, memory: QueueMemory, fragments: Fragments) {
    this.#side = nic.roles.sideMemory
    this.#burst = burst
    this.#memory = memory
    this.#fragments = fragments
  }

  /** The frame in burst entries `[first, last)`: position 0 is its first byte. */
  setFrame(first: number, last: number): void {
    const burst = this.#burst
    this.#count = 0
    for (let i = first; i < last; i++) {
      const side = (burst.flags[i]! & RX_SIDE) !== 0
      const bytes = side ? this.#side! : this.#memory.areas[burst.area[i]!]!.bytes
      this.#add(bytes, burst.offset[i]!, burst.length[i]!)
    }
  }

  /** `headerBytes` of `header`, then a list of fragments. */
  setList(header: Uint8Array, headerBytes: number, list: number): void {
    const fragments = this.#fragments
    this.#count = 0
    this.#add(header, 0, headerBytes)
    for (let node = list; node >= 0; node = fragments.next[node]!) {
      const { bytes } = this.#memory.pools[fragments.pool[node]!]!
      this.#add(bytes, fragments.offset[node]!, fragments.length[node]!)
    }
  }

  /** Copies `count` bytes from position `from`; the caller knows that they are there. */
  copy(from: number, count: number, target: Uint8Array, at: number): void {
    for (let i = 0; i < this.#count && count > 0; i++) {
      const length = this.#length[i]!
      if (from >= length) {
        from -= length
        continue
      }
      const part = Math.min(count, length - from)
      const start = this.#offset[i]! + from
      target.set(this.#parts[i]!.subarray(start, start + part), at)
      at += part
      count -= part
      from = 0
    }
  }

  /** Folded checksum sum of `count` bytes from position `from`. */
  sum(from: number, count: number): number {
    let sum = 0
    let odd = 0
    for (let i = 0; i < this.#count && count > 0; i++) {
      const length = this.#length[i]!
      if (from >= length) {
        from -= length
        continue
      }
      const part = Math.min(count, length - from)
      const partSum = sumBytes(this.#parts[i]!, this.#offset[i]! + from, part)
      sum = addSums(sum, odd !== 0 ? swapSum(partSum) : partSum)
      odd ^= part & 1
      count -= part
      from = 0
    }
    return sum
  }

  #add(bytes: Uint8Array, offset: number, length: number): void {
    const at = this.#count++
    this.#parts[at] = bytes
    this.#offset[at] = offset
    this.#length[at] = length
  }
}
