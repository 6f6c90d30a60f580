import { allZero, getU64, putU64, Struct } from './struct.ts'

/** `struct io_uring_region_desc`, 64 bytes: memory shared between ring and user. */
export class RegionDesc extends Struct {
  static readonly SIZE = 64
  get userAddr(): number {
    return getU64(this.view, 0)
  }
  set userAddr(value: number) {
    putU64(this.view, 0, value)
  }
  /** Bytes. */
  get size(): number {
    return getU64(this.view, 8)
  }
  set size(value: number) {
    putU64(this.view, 8, value)
  }
  get flags(): number {
    return this.u32(16)
  }
  set flags(value: number) {
    this.setU32(16, value)
  }
  get id(): number {
    return this.u32(20)
  }
  /** Where a region of the ring's own is mapped; written by the registration. */
  get mmapOffset(): number {
    return getU64(this.view, 24)
  }
  set mmapOffset(value: number) {
    putU64(this.view, 24, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 32, 64)
  }
}

/** `struct io_uring_zcrx_area_reg`, 48 bytes. */
export class ZcrxAreaReg extends Struct {
  static readonly SIZE = 48
  get addr(): number {
    return getU64(this.view, 0)
  }
  set addr(value: number) {
    putU64(this.view, 0, value)
  }
  /** `addr + len` does not fit 64 bits. */
  get wraps(): boolean {
    const addr = this.view.getBigUint64(0, true)
    const len = this.view.getBigUint64(8, true)
    return BigInt.asUintN(64, addr + len) < addr
  }
  /** Bytes. */
  get len(): number {
    return getU64(this.view, 8)
  }
  set len(value: number) {
    putU64(this.view, 8, value)
  }
  /** Area id in bits 48..63; written by the registration. */
  get rqAreaToken(): number {
    return this.u32(16) === 0 ? (this.u32(20) >>> 16) * 2 ** 48 : Number.POSITIVE_INFINITY
  }
  setRqAreaId(id: number): void {
    this.setU32(16, 0)
    this.setU32(20, id << 16)
  }
  get tokenZero(): boolean {
    return allZero(this.view, 16, 24)
  }
  get flags(): number {
    return this.u32(24)
  }
  set flags(value: number) {
    this.setU32(24, value)
  }
  /** With IORING_ZCRX_AREA_DMABUF. */
  get dmabufFd(): number {
    return this.u32(28)
  }
  set dmabufFd(value: number) {
    this.setU32(28, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 32, 48)
  }
}

/** `struct io_uring_zcrx_ifq_reg`, 96 bytes. */
export class ZcrxIfqReg extends Struct {
  static readonly SIZE = 96
  get ifIdx(): number {
    return this.u32(0)
  }
  set ifIdx(value: number) {
    this.setU32(0, value)
  }
  get ifRxq(): number {
    return this.u32(4)
  }
  set ifRxq(value: number) {
    this.setU32(4, value)
  }
  get rqEntries(): number {
    return this.u32(8)
  }
  set rqEntries(value: number) {
    this.setU32(8, value)
  }
  get flags(): number {
    return this.u32(12)
  }
  set flags(value: number) {
    this.setU32(12, value)
  }
  get areaPtr(): number {
    return getU64(this.view, 16)
  }
  set areaPtr(value: number) {
    putU64(this.view, 16, value)
  }
  get regionPtr(): number {
    return getU64(this.view, 24)
  }
  set regionPtr(value: number) {
    putU64(this.view, 24, value)
  }
  /** Byte offsets of the refill queue's parts in the region; written by the registration. */
  get offsets(): { head: number; tail: number; rqes: number } {
    return { head: this.u32(32), tail: this.u32(36), rqes: this.u32(40) }
  }
  setOffsets(head: number, tail: number, rqes: number): void {
    this.setU32(32, head)
    this.setU32(36, tail)
    this.setU32(40, rqes)
  }
  get zcrxId(): number {
    return this.u32(64)
  }
  set zcrxId(value: number) {
    this.setU32(64, value)
  }
  get rxBufLen(): number {
    return this.u32(68)
  }
  set rxBufLen(value: number) {
    this.setU32(68, value)
  }
  /** Address of a `ZcrxEventDesc`; 0 for no events. */
  get eventDesc(): number {
    return getU64(this.view, 72)
  }
  set eventDesc(value: number) {
    putU64(this.view, 72, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 80, 96)
  }
}

/** `struct zcrx_ctrl`, 72 bytes. */
export class ZcrxCtrl extends Struct {
  static readonly SIZE = 72
  get zcrxId(): number {
    return this.u32(0)
  }
  set zcrxId(value: number) {
    this.setU32(0, value)
  }
  get op(): number {
    return this.u32(4)
  }
  set op(value: number) {
    this.setU32(4, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 8, 24)
  }
  get payloadZero(): boolean {
    return allZero(this.view, 24, 72)
  }
  /** ZCRX_EVENT_*, for ZCRX_CTRL_ARM_EVENT. */
  get eventType(): number {
    return this.u32(24)
  }
  set eventType(value: number) {
    this.setU32(24, value)
  }
  get armReservedZero(): boolean {
    return allZero(this.view, 28, 72)
  }
  /** The descriptor that ZCRX_CTRL_EXPORT has given. */
  get zcrxFd(): number {
    return this.u32(24)
  }
  set zcrxFd(value: number) {
    this.setU32(24, value)
  }
  /** Address of a `ZcrxAreaReg`, for ZCRX_CTRL_ADD_AREA. */
  get areaPtr(): number {
    return getU64(this.view, 24)
  }
  set areaPtr(value: number) {
    putU64(this.view, 24, value)
  }
  get areaReservedZero(): boolean {
    return allZero(this.view, 32, 72)
  }
  /** The area to be given back, for ZCRX_CTRL_REMOVE_AREA. */
  get areaId(): number {
    return this.u32(24)
  }
  set areaId(value: number) {
    this.setU32(24, value)
  }
}

/** Bytes of one `struct io_uring_zcrx_rqe`: `u64 off; u32 len; u32 __pad`. */
export const RQE_SIZE = 16
/** Refill queue header as Linux 7.3 lays it out: head, tail and entries on cache lines of their own. */
export const RQ_HEAD_OFFSET = 0
/** Where the tail is in the header of a refill queue. */
export const RQ_TAIL_OFFSET = 64
/** Where the entries of a refill queue begin. */
export const RQ_RQES_OFFSET = 128
/** What the header of a refill queue is aligned to. */
export const RQ_HEADER_ALIGNMENT = 64
