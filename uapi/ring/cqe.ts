import { IORING_CQE_BUFFER_SHIFT, IORING_CQE_F_32 } from '../abi/io-uring.ts'
import type { RingMemory } from './memory.ts'

const HIGH = 4_294_967_296

/**
 * `struct io_uring_cqe`, with the 16 further bytes of a wide one read as `struct io_uring_zcrx_cqe`. One object shows
 * whichever completion it was moved to: copy what you keep before the next call on the ring.
 */
export class Cqe {
  readonly #memory: RingMemory
  #at = 0

  constructor(memory: RingMemory) {
    this.#memory = memory
  }

  /** Shows the completion at ring position `head`. */
  moveTo(head: number): this {
    this.#at = (head & (this.#memory.cqEntries - 1)) * this.#memory.cqeWords
    return this
  }

  /** 0..2^53-1 as set by `Sqe.setData`. */
  get userData(): number {
    const cqes = this.#memory.cqes
    return (cqes[this.#at + 1]! >>> 0) * HIGH + (cqes[this.#at]! >>> 0)
  }
  /** The low 32 bits of `user_data`. */
  get userDataLow(): number {
    return this.#memory.cqes[this.#at]! >>> 0
  }
  /** The high 32 bits of `user_data`. */
  get userDataHigh(): number {
    return this.#memory.cqes[this.#at + 1]! >>> 0
  }
  /** Result: bytes, a descriptor, or minus errno. */
  get res(): number {
    return this.#memory.cqes[this.#at + 2]!
  }
  /** IORING_CQE_F_* */
  get flags(): number {
    return this.#memory.cqes[this.#at + 3]! >>> 0
  }
  /** It has 32 bytes. */
  get wide(): boolean {
    return this.#memory.cqeWords === 8 || (this.#memory.cqes[this.#at + 3]! & IORING_CQE_F_32) !== 0
  }
  /** `io_uring_cqe_nr(3)`: slots it takes, what `cqAdvance` counts. 2 where one of 32 bytes lies in slots of 16. */
  get nr(): number {
    return this.wide && this.#memory.cqeWords === 4 ? 2 : 1
  }
  /** Id of the provided buffer, with IORING_CQE_F_BUFFER. */
  get bufferId(): number {
    return this.#memory.cqes[this.#at + 3]! >>> IORING_CQE_BUFFER_SHIFT
  }
  /** zcrx: byte offset of the data in its area (the low 48 bits of `off`). 0 in one of 16 bytes. */
  get offset(): number {
    if (!this.wide) return 0
    const cqes = this.#memory.cqes
    return (cqes[this.#at + 5]! & 0xffff) * HIGH + (cqes[this.#at + 4]! >>> 0)
  }
  /** zcrx: id of the area (the high 16 bits of `off`). 0 in one of 16 bytes. */
  get areaId(): number {
    return this.wide ? this.#memory.cqes[this.#at + 5]! >>> 16 : 0
  }
}
