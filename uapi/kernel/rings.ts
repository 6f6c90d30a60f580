import type { UringParams } from '../abi/params.ts'
import { Sqe } from '../abi/sqe.ts'

/** What a ring's memory is cut into. */
export interface RingSizes {
  readonly sqEntries: number
  /** Slots for completions: one of 32 bytes takes two of IORING_SETUP_CQE_MIXED. */
  readonly cqEntries: number
  /** 4 for plain completions and those of mixed sizes, 8 with IORING_SETUP_CQE32. */
  readonly cqeWords: number
  /** From one submission entry to the next: 64, 128 with IORING_SETUP_SQE128. */
  readonly sqeBytes: number
}

/**
 * The kernel's view of the memory that it shares with the user of a ring: heads and tails as real words for `Atomics`, the
 * completions, and the submission entries. Laid out as `struct io_rings`; where the parts lie is told by io_uring_setup(2).
 */
export class Rings implements RingSizes {
  /** Word indices of the control fields. */
  static readonly SQ_HEAD = 0
  static readonly SQ_TAIL = 1
  static readonly CQ_HEAD = 2
  static readonly CQ_TAIL = 3
  static readonly SQ_RING_MASK = 4
  static readonly CQ_RING_MASK = 5
  static readonly SQ_RING_ENTRIES = 6
  static readonly CQ_RING_ENTRIES = 7
  static readonly SQ_DROPPED = 8
  static readonly SQ_FLAGS = 9
  static readonly CQ_FLAGS = 10
  static readonly CQ_OVERFLOW = 11
  /** Bytes in front of the completions. */
  static readonly HEADER_BYTES = 64
  static readonly ALIGNMENT = 64

  readonly control: Int32Array
  /** Completions as 32-bit words, `cqeWords` per slot. */
  readonly cqes: Int32Array
  /** All that the user maps, and the submission entries. */
  readonly bytes: Uint8Array
  readonly sqes: Uint8Array
  readonly sqEntries: number
  readonly cqEntries: number
  readonly cqeWords: number
  readonly sqeBytes: number

  /** @param allocate zeroed memory for so many bytes, which begins on a page */
  constructor(sizes: RingSizes, allocate: (bytes: number) => Uint8Array) {
    const { sqEntries, cqEntries, cqeWords, sqeBytes } = sizes
    this.sqEntries = sqEntries
    this.cqEntries = cqEntries
    this.cqeWords = cqeWords
    this.sqeBytes = sqeBytes
    this.bytes = allocate(Rings.HEADER_BYTES + cqEntries * cqeWords * 4)
    this.sqes = allocate(sqEntries * sqeBytes)
    const { buffer, byteOffset } = this.bytes
    this.control = new Int32Array(buffer, byteOffset, Rings.HEADER_BYTES / 4)
    this.cqes = new Int32Array(buffer, byteOffset + Rings.HEADER_BYTES, cqEntries * cqeWords)
    this.control[Rings.SQ_RING_MASK] = sqEntries - 1
    this.control[Rings.CQ_RING_MASK] = cqEntries - 1
    this.control[Rings.SQ_RING_ENTRIES] = sqEntries
    this.control[Rings.CQ_RING_ENTRIES] = cqEntries
  }

  /** The 64 bytes that are used of each submission entry. */
  slots(): Uint8Array[] {
    return Array.from({ length: this.sqEntries }, (_, i) =>
      this.sqes.subarray(i * this.sqeBytes, i * this.sqeBytes + Sqe.SIZE),
    )
  }

  /** Tells the user sizes and places. */
  describe(params: UringParams): void {
    params.sqEntries = this.sqEntries
    params.cqEntries = this.cqEntries
    params.sqOff = {
      head: 4 * Rings.SQ_HEAD,
      tail: 4 * Rings.SQ_TAIL,
      ringMask: 4 * Rings.SQ_RING_MASK,
      ringEntries: 4 * Rings.SQ_RING_ENTRIES,
      flags: 4 * Rings.SQ_FLAGS,
      dropped: 4 * Rings.SQ_DROPPED,
      array: 0,
    }
    params.cqOff = {
      head: 4 * Rings.CQ_HEAD,
      tail: 4 * Rings.CQ_TAIL,
      ringMask: 4 * Rings.CQ_RING_MASK,
      ringEntries: 4 * Rings.CQ_RING_ENTRIES,
      overflow: 4 * Rings.CQ_OVERFLOW,
      cqes: Rings.HEADER_BYTES,
      flags: 4 * Rings.CQ_FLAGS,
    }
  }
}
