import {
  IORING_SETUP_CQE32,
  IORING_SETUP_SQE128,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
} from '../abi/io-uring.ts'
import type { UringParams } from '../abi/params.ts'
import { Sqe } from '../abi/sqe.ts'

/** Of IORING_SQ_*: entering brings completions, without anything new happening. */
export const PENDING: number = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN

/** What a ring was given to share with the kernel. */
export interface RingMapping {
  /** Heads, tails, flags and completions, at the offsets that io_uring_setup(2) told. */
  readonly rings: Uint8Array
  /** The submission entries. */
  readonly sqes: Uint8Array
}

/**
 * The user's view of the memory that the two sides of a ring share: heads and tails as words for `Atomics`, the completions, and
 * the submission entries. Where they lie is the kernel's to say.
 */
export class RingMemory {
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
  // Indices of words in `control`.
  readonly sqHeadAt: number
  readonly sqTailAt: number
  readonly sqFlagsAt: number
  readonly sqDroppedAt: number
  readonly cqHeadAt: number
  readonly cqTailAt: number
  readonly cqOverflowAt: number

  /** @param params as io_uring_setup(2) has answered */
  constructor({ rings, sqes }: RingMapping, params: UringParams) {
    const { sqOff, cqOff, flags } = params
    this.sqEntries = params.sqEntries
    this.cqEntries = params.cqEntries
    this.cqeWords = (flags & IORING_SETUP_CQE32) !== 0 ? 8 : 4
    this.sqeBytes = (flags & IORING_SETUP_SQE128) !== 0 ? 2 * Sqe.SIZE : Sqe.SIZE
    this.sqHeadAt = sqOff.head / 4
    this.sqTailAt = sqOff.tail / 4
    this.sqFlagsAt = sqOff.flags / 4
    this.sqDroppedAt = sqOff.dropped / 4
    this.cqHeadAt = cqOff.head / 4
    this.cqTailAt = cqOff.tail / 4
    this.cqOverflowAt = cqOff.overflow / 4
    this.control = new Int32Array(rings.buffer, rings.byteOffset, rings.byteLength >>> 2)
    this.cqes = new Int32Array(rings.buffer, rings.byteOffset + cqOff.cqes, this.cqEntries * this.cqeWords)
    this.sqes = sqes.subarray(0, this.sqEntries * this.sqeBytes)
  }

  /** Whether any of these IORING_SQ_* is set. */
  flagged(flags: number): boolean {
    return (Atomics.load(this.control, this.sqFlagsAt) & flags) !== 0
  }

  /** Whether `PENDING` is. */
  get pending(): boolean {
    return this.flagged(PENDING)
  }

  /** The 64 bytes that are used of each submission entry. */
  slots(): Uint8Array[] {
    return Array.from({ length: this.sqEntries }, (_, i) =>
      this.sqes.subarray(i * this.sqeBytes, i * this.sqeBytes + Sqe.SIZE),
    )
  }
}
