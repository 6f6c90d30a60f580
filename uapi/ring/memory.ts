import { Sqe } from '../abi/sqe.ts'

/**
 * The memory that user and kernel side of a ring share: heads and tails as real words for `Atomics`, the completions, and
 * the submission entries. Laid out as `struct io_rings`.
 */
export class RingMemory {
  /** Word indices of the control fields. */
  static readonly SQ_HEAD = 0
  static readonly SQ_TAIL = 1
  static readonly CQ_HEAD = 2
  static readonly CQ_TAIL = 3
  static readonly SQ_DROPPED = 8
  static readonly SQ_FLAGS = 9
  static readonly CQ_OVERFLOW = 11
  /** Bytes in front of the completions. */
  static readonly CQES_OFFSET = 64
  static readonly ALIGNMENT = 64

  readonly control: Int32Array
  /** Completions as 32-bit words, `cqeWords` per slot. */
  readonly cqes: Int32Array
  readonly sqes: Uint8Array
  readonly sqEntries: number
  /** Slots for completions: one of 32 bytes takes two of IORING_SETUP_CQE_MIXED. */
  readonly cqEntries: number
  /** 4 for plain completions and those of mixed sizes, 8 with IORING_SETUP_CQE32. */
  readonly cqeWords: number
  /** From one submission entry to the next: 64, 128 with IORING_SETUP_SQE128. */
  readonly sqeBytes: number

  constructor(sqEntries: number, cqEntries: number, cqeWords: number, sqeBytes: number = Sqe.SIZE) {
    this.sqEntries = sqEntries
    this.cqEntries = cqEntries
    this.cqeWords = cqeWords
    this.sqeBytes = sqeBytes
    const rings = new SharedArrayBuffer(RingMemory.CQES_OFFSET + cqEntries * cqeWords * 4)
    this.control = new Int32Array(rings, 0, RingMemory.CQES_OFFSET / 4)
    this.cqes = new Int32Array(rings, RingMemory.CQES_OFFSET, cqEntries * cqeWords)
    this.sqes = new Uint8Array(new SharedArrayBuffer(sqEntries * sqeBytes))
  }

  /** The 64 bytes that are used of each submission entry. */
  slots(): Uint8Array[] {
    return Array.from({ length: this.sqEntries }, (_, i) =>
      this.sqes.subarray(i * this.sqeBytes, i * this.sqeBytes + Sqe.SIZE),
    )
  }
}
