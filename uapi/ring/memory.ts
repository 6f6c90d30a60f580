import { Sqe } from '../abi/sqe.ts'

/**
 * The memory that user and kernel side of a ring share: heads and tails as real words for `Atomics`, on cache lines of
 * their own, the completions, and the submission entries.
 */
export class RingMemory {
  /** Word indices of the control fields. */
  static readonly SQ_HEAD = 0
  static readonly SQ_TAIL = 16
  static readonly SQ_FLAGS = 32
  static readonly SQ_DROPPED = 33
  static readonly CQ_HEAD = 48
  static readonly CQ_TAIL = 64
  static readonly CQ_OVERFLOW = 80
  static readonly CQES_OFFSET = 384

  readonly control: Int32Array
  /** Completions as 32-bit words, `cqeWords` each. */
  readonly cqes: Int32Array
  readonly sqes: Uint8Array
  readonly sqEntries: number
  readonly cqEntries: number
  /** 4 for plain completions, 8 with IORING_SETUP_CQE32. */
  readonly cqeWords: number

  constructor(sqEntries: number, cqEntries: number, cqeWords: number) {
    this.sqEntries = sqEntries
    this.cqEntries = cqEntries
    this.cqeWords = cqeWords
    const rings = new SharedArrayBuffer(RingMemory.CQES_OFFSET + cqEntries * cqeWords * 4)
    this.control = new Int32Array(rings, 0, RingMemory.CQES_OFFSET / 4)
    this.cqes = new Int32Array(rings, RingMemory.CQES_OFFSET, cqEntries * cqeWords)
    this.sqes = new Uint8Array(new SharedArrayBuffer(sqEntries * Sqe.SIZE))
  }
}
