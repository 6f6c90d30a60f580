import type { RxBurst } from '../../driver/nic.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TcpBulk } from '../tcp/bulk.ts'
import { addSums, fold, swapSum } from '../wire/checksum.ts'
import type { IpContext } from './context.ts'
import type { FragmentSums } from './fragment-sums.ts'
import { sideWordsOf } from './frame-headers.ts'

/** What `BulkInput` has taken of a burst, and what is not done for every frame. */
export class BulkBurst {
  readonly burst: RxBurst
  readonly memory: QueueMemory
  readonly tcp: TcpBulk
  /** Of each entry taken the connection's row; -1: it is none of payload. */
  readonly rowOf: Int32Array
  /** Headers come beside the area, each in an entry of its own. */
  readonly split: boolean
  /** Unfinished checksums are to be expected. */
  readonly partial: boolean
  /** Our hardware address, as the frame's first six bytes read. */
  macLow = 0
  macHigh = 0
  frames = 0
  partials = 0
  verified = 0
  readonly #side: Int32Array
  readonly #sums: FragmentSums

  constructor({ nic, memory, burst }: IpContext, sums: FragmentSums, tcp: TcpBulk) {
    this.burst = burst
    this.memory = memory
    this.tcp = tcp
    this.rowOf = new Int32Array(burst.capacity)
    this.split = nic.info.placement === 'split'
    this.partial = nic.info.partialChecksums
    const { buffer, byteOffset, length } = sideWordsOf(nic)
    this.#side = new Int32Array(buffer, byteOffset, length)
    this.#sums = sums
  }

  /** What headers lie in. */
  get words(): Int32Array {
    return this.split ? this.#side : this.memory.pool.ints
  }

  /**
   * Payload of a frame of several entries: trims them, frees those without any. Returns how many have some.
   * @param header bytes of the first entry in front of the payload
   */
  spread(first: number, last: number, payload: number, header: number, row: number): number {
    const { offset, length } = this.burst
    const { rowOf, split } = this
    const { pool } = this.memory
    let left = payload
    let pieces = 0
    for (let i = first; i <= last; i++) {
      const skip = i === first ? header : 0
      const bytes = Math.min(left, length[i]! - skip)
      if (bytes > 0) {
        rowOf[i] = row
        offset[i] = offset[i]! + skip
        length[i] = bytes
        left -= bytes
        pieces++
      } else {
        rowOf[i] = -1
        // Of a split frame whoever walks the burst holds the niovs.
        if (!split) pool.put(offset[i]! >>> pool.shift)
      }
    }
    return pieces
  }

  /** Bytes of a frame in entries `[first, last]`; -1 when they don't lie as they should for bulk data: see `split`. */
  frameBytes(first: number, last: number, header: number): number {
    const { length, flags } = this.burst
    if (this.split && length[first] !== header) return -1
    let bytes = length[first]!
    for (let i = first + 1; i <= last; i++) {
      if ((flags[i]! & 8) !== 0) return -1
      bytes += length[i]!
    }
    return bytes
  }

  /**
   * Verifies a transport checksum from the driver's sums of whole fragments, less what lies in front of it.
   * @param at word where the frame begins @param front sum of the halves that lie in front of TCP, from word 4 on @param pseudo folded
   *   sum of the pseudo-header
   */
  checks(first: number, last: number, at: number, front: number, pseudo: number): boolean {
    const { words } = this
    let sum = front
    for (let i = at; i < at + 4; i++) sum += (words[i]! & 0xffff) + (words[i]! >>> 16)
    return addSums(this.#sums.behind(first, last + 1, swapSum(fold(sum))), pseudo) === 0xffff
  }
}
