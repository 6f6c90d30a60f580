import { allZero, getU64, putU64, Struct } from './struct.ts'

/** Bytes of one `struct io_uring_buf`: `u64 addr; u32 len; u16 bid; u16 resv`. */
export const BUF_SIZE = 16
/** Where the tail of a ring of buffers lies: in the reserved half-word of its first entry. */
export const BUF_RING_TAIL_OFFSET = 14

/** `struct io_uring_buf_reg`, 40 bytes. */
export class BufReg extends Struct {
  static readonly SIZE = 40
  get ringAddr(): number {
    return getU64(this.view, 0)
  }
  set ringAddr(value: number) {
    putU64(this.view, 0, value)
  }
  /** A power of two below 65536. */
  get ringEntries(): number {
    return this.u32(8)
  }
  set ringEntries(value: number) {
    this.setU32(8, value)
  }
  /** Buffer group. */
  get bgid(): number {
    return this.view.getUint16(12, true)
  }
  set bgid(value: number) {
    this.view.setUint16(12, value, true)
  }
  /** IOU_PBUF_RING_* */
  get flags(): number {
    return this.view.getUint16(14, true)
  }
  set flags(value: number) {
    this.view.setUint16(14, value, true)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 16, 40)
  }
}

/** `struct io_uring_buf_status`, 40 bytes. */
export class BufStatus extends Struct {
  static readonly SIZE = 40
  get bufGroup(): number {
    return this.u32(0)
  }
  set bufGroup(value: number) {
    this.setU32(0, value)
  }
  /** How far the kernel has taken buffers; written by the call. */
  get head(): number {
    return this.u32(4)
  }
  set head(value: number) {
    this.setU32(4, value)
  }
  get reservedZero(): boolean {
    return allZero(this.view, 8, 40)
  }
}
