import { allZero, getU64, putU64, Struct } from './struct.ts'

// What is asked, in `query_op`.
export const IO_URING_QUERY_OPCODES = 0
export const IO_URING_QUERY_ZCRX = 1
export const IO_URING_QUERY_SCQ = 2
export const IO_URING_QUERY_ZCRX_EVENT = 3

/** `struct io_uring_query_hdr`, 40 bytes: one question, and where the next one lies. */
export class QueryHdr extends Struct {
  static readonly SIZE = 40
  /** Address of the next header; 0 ends the chain. */
  get nextEntry(): number {
    return getU64(this.view, 0)
  }
  set nextEntry(value: number) {
    putU64(this.view, 0, value)
  }
  /** Address of the structure to fill. */
  get queryData(): number {
    return getU64(this.view, 8)
  }
  set queryData(value: number) {
    putU64(this.view, 8, value)
  }
  /** IO_URING_QUERY_* */
  get queryOp(): number {
    return this.u32(16)
  }
  set queryOp(value: number) {
    this.setU32(16, value)
  }
  /** Bytes at `queryData`; the answer's own size, if that is less, once it was asked. */
  get size(): number {
    return this.u32(20)
  }
  set size(value: number) {
    this.setU32(20, value)
  }
  /** 0 or minus errno. */
  get result(): number {
    return this.view.getInt32(24, true)
  }
  set result(value: number) {
    this.view.setInt32(24, value, true)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 28, 40)
  }
}

/** `struct io_uring_query_zcrx`, 40 bytes. */
export class QueryZcrx extends Struct {
  static readonly SIZE = 40
  /** ZCRX_REG_* that are served. */
  get registerFlags(): number {
    return getU64(this.view, 0)
  }
  set registerFlags(value: number) {
    putU64(this.view, 0, value)
  }
  /** IORING_ZCRX_AREA_* that are served. */
  get areaFlags(): number {
    return getU64(this.view, 8)
  }
  set areaFlags(value: number) {
    putU64(this.view, 8, value)
  }
  /** One more than the highest ZCRX_CTRL_* that is served. */
  get nrCtrlOpcodes(): number {
    return this.u32(16)
  }
  set nrCtrlOpcodes(value: number) {
    this.setU32(16, value)
  }
  /** ZCRX_FEATURE_* */
  get features(): number {
    return this.u32(20)
  }
  set features(value: number) {
    this.setU32(20, value)
  }
  /** Bytes of the refill queue's header. */
  get rqHdrSize(): number {
    return this.u32(24)
  }
  set rqHdrSize(value: number) {
    this.setU32(24, value)
  }
  get rqHdrAlignment(): number {
    return this.u32(28)
  }
  set rqHdrAlignment(value: number) {
    this.setU32(28, value)
  }
}

/** `struct io_uring_query_zcrx_event`, 48 bytes. */
export class QueryZcrxEvent extends Struct {
  static readonly SIZE = 48
  /** Bit n: events of type n are served. */
  get eventFlags(): number {
    return this.u32(0)
  }
  set eventFlags(value: number) {
    this.setU32(0, value)
  }
  /** Bytes of `struct zcrx_stats`. */
  get statsSize(): number {
    return this.u32(4)
  }
  set statsSize(value: number) {
    this.setU32(4, value)
  }
  get statsOffAlignment(): number {
    return this.u32(8)
  }
  set statsOffAlignment(value: number) {
    this.setU32(8, value)
  }
}
