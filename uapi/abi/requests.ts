import { allZero, putU64, Struct } from './struct.ts'

/** `struct io_uring_sync_cancel_reg`. Its timeout is not looked at: here a cancellation never has to wait. */
export class SyncCancelReg extends Struct {
  static readonly SIZE = 64
  /** `user_data` of what to cancel, as a number and as the halves it is compared by. */
  set addr(value: number) {
    putU64(this.view, 0, value)
  }
  get addrLow(): number {
    return this.u32(0)
  }
  get addrHigh(): number {
    return this.u32(4)
  }
  get fd(): number {
    return this.view.getInt32(8, true)
  }
  set fd(value: number) {
    this.view.setInt32(8, value, true)
  }
  /** IORING_ASYNC_CANCEL_* */
  get flags(): number {
    return this.u32(12)
  }
  set flags(value: number) {
    this.setU32(12, value)
  }
  /** With IORING_ASYNC_CANCEL_OP. */
  get opcode(): number {
    return this.view.getUint8(32)
  }
  set opcode(value: number) {
    this.view.setUint8(32, value)
  }
  get reservedZero(): boolean {
    return this.u32(32) >>> 8 === 0 && allZero(this.view, 36, 64)
  }
}

/** `struct __kernel_timespec` of so many microseconds: `tv_sec` and `tv_nsec`, 8 bytes each. */
export function timespecOf(us: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  const seconds = Math.floor(us / 1e6)
  view.setBigInt64(0, BigInt(seconds), true)
  view.setBigInt64(8, BigInt(Math.round((us - seconds * 1e6) * 1000)), true)
  return bytes
}
