import type { RingMemory } from './memory.ts'

const HIGH = 4_294_967_296

/**
 * `struct io_uring_cqe`, with the 16 further bytes of IORING_SETUP_CQE32 read as `struct io_uring_zcrx_cqe`. One object
 * shows whichever completion it was moved to: copy what you keep before the next call on the ring.
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
  /** zcrx: byte offset of the data in its area (the low 48 bits of `off`). */
  get offset(): number {
    const cqes = this.#memory.cqes
    return (cqes[this.#at + 5]! & 0xffff) * HIGH + (cqes[this.#at + 4]! >>> 0)
  }
  /** zcrx: id of the area (the high 16 bits of `off`). */
  get areaId(): number {
    return this.#memory.cqes[this.#at + 5]! >>> 16
  }
}
