import { getU64, putU64, Struct } from './struct.ts'

/** Bytes of `struct io_sqring_offsets` and `struct io_cqring_offsets`. */
const OFFSETS = 40
const SQ_OFF = 40
const CQ_OFF = SQ_OFF + OFFSETS
/** Of `user_addr` in both. */
const USER_ADDR = 32

/** `struct io_sqring_offsets`: bytes from the start of the rings' memory. */
export interface SqOffsets {
  readonly head: number
  readonly tail: number
  readonly ringMask: number
  readonly ringEntries: number
  readonly flags: number
  readonly dropped: number
  /** Of the array of indices; means nothing with IORING_SETUP_NO_SQARRAY. */
  readonly array: number
}

/** `struct io_cqring_offsets`: bytes from the start of the rings' memory. */
export interface CqOffsets {
  readonly head: number
  readonly tail: number
  readonly ringMask: number
  readonly ringEntries: number
  readonly overflow: number
  readonly cqes: number
  readonly flags: number
}

/** `struct io_uring_params`, 120 bytes: what io_uring_setup(2) is asked for, and what it answers. */
export class UringParams extends Struct {
  static readonly SIZE: number = CQ_OFF + OFFSETS

  get sqEntries(): number {
    return this.u32(0)
  }
  set sqEntries(entries: number) {
    this.setU32(0, entries)
  }
  /** Asked for with IORING_SETUP_CQSIZE. */
  get cqEntries(): number {
    return this.u32(4)
  }
  set cqEntries(entries: number) {
    this.setU32(4, entries)
  }
  /** IORING_SETUP_* */
  get flags(): number {
    return this.u32(8)
  }
  set flags(flags: number) {
    this.setU32(8, flags)
  }
  /** IORING_FEAT_* */
  get features(): number {
    return this.u32(20)
  }
  set features(features: number) {
    this.setU32(20, features)
  }
  /** `wq_fd` and what is reserved, which nobody has set. */
  get reservedZero(): boolean {
    return [28, 32, 36].every((at) => this.u32(at) === 0)
  }

  /** Where the parts of the submission queue lie. */
  get sqOff(): SqOffsets {
    const [head, tail, ringMask, ringEntries, flags, dropped, array] = this.#words(SQ_OFF)
    return { head, tail, ringMask, ringEntries, flags, dropped, array }
  }
  set sqOff(off: SqOffsets) {
    const { head, tail, ringMask, ringEntries, flags, dropped, array } = off
    for (const [i, at] of [head, tail, ringMask, ringEntries, flags, dropped, array].entries())
      this.setU32(SQ_OFF + 4 * i, at)
  }
  /** Where the parts of the completion queue lie. */
  get cqOff(): CqOffsets {
    const [head, tail, ringMask, ringEntries, overflow, cqes, flags] = this.#words(CQ_OFF)
    return { head, tail, ringMask, ringEntries, overflow, cqes, flags }
  }
  set cqOff(off: CqOffsets) {
    const { head, tail, ringMask, ringEntries, overflow, cqes, flags } = off
    for (const [i, at] of [head, tail, ringMask, ringEntries, overflow, cqes, flags].entries())
      this.setU32(CQ_OFF + 4 * i, at)
  }

  /** With IORING_SETUP_NO_MMAP: address of the user's memory for the submission entries. */
  get sqesAddr(): number {
    return getU64(this.view, SQ_OFF + USER_ADDR)
  }
  set sqesAddr(address: number) {
    putU64(this.view, SQ_OFF + USER_ADDR, address)
  }
  /** With IORING_SETUP_NO_MMAP: address of the user's memory for the rings. */
  get ringsAddr(): number {
    return getU64(this.view, CQ_OFF + USER_ADDR)
  }
  set ringsAddr(address: number) {
    putU64(this.view, CQ_OFF + USER_ADDR, address)
  }

  #words(at: number): [number, number, number, number, number, number, number] {
    const word = (i: number): number => this.u32(at + 4 * i)
    return [word(0), word(1), word(2), word(3), word(4), word(5), word(6)]
  }
}
