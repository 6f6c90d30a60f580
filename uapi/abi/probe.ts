import { IO_URING_OP_SUPPORTED } from './io-uring.ts'
import { getU64, putU64, Struct } from './struct.ts'

/** `struct io_uring_probe`: 16 bytes, then 8 for each opcode. */
export class Probe extends Struct {
  static readonly HEADER_SIZE = 16
  static readonly OP_SIZE = 8
  /** The highest opcode there is. */
  get lastOp(): number {
    return this.view.getUint8(0)
  }
  set lastOp(value: number) {
    this.view.setUint8(0, value)
  }
  /** Opcodes that are told of, from 0. */
  get opsLen(): number {
    return this.view.getUint8(1)
  }
  set opsLen(value: number) {
    this.view.setUint8(1, value)
  }
  /** IO_URING_OP_* of an opcode. */
  flagsOf(op: number): number {
    return this.view.getUint16(Probe.HEADER_SIZE + op * Probe.OP_SIZE + 2, true)
  }
  setOp(op: number, flags: number): void {
    const at = Probe.HEADER_SIZE + op * Probe.OP_SIZE
    this.view.setUint8(at, op)
    this.view.setUint16(at + 2, flags, true)
  }
  /** `io_uring_opcode_supported(3)` */
  opcodeSupported(op: number): boolean {
    return op < this.opsLen && (this.flagsOf(op) & IO_URING_OP_SUPPORTED) !== 0
  }
}

/** `struct io_uring_query_opcode`, 48 bytes. */
export class QueryOpcode extends Struct {
  static readonly SIZE = 48
  /** One more than the highest IORING_OP_* that is served. */
  get nrRequestOpcodes(): number {
    return this.u32(0)
  }
  set nrRequestOpcodes(value: number) {
    this.setU32(0, value)
  }
  /** One more than the highest IORING_REGISTER_* that is served. */
  get nrRegisterOpcodes(): number {
    return this.u32(4)
  }
  set nrRegisterOpcodes(value: number) {
    this.setU32(4, value)
  }
  /** IORING_FEAT_* */
  get featureFlags(): number {
    return getU64(this.view, 8)
  }
  set featureFlags(value: number) {
    putU64(this.view, 8, value)
  }
  /** IORING_SETUP_* */
  get ringSetupFlags(): number {
    return getU64(this.view, 16)
  }
  set ringSetupFlags(value: number) {
    putU64(this.view, 16, value)
  }
  /** IORING_ENTER_* */
  get enterFlags(): number {
    return getU64(this.view, 24)
  }
  set enterFlags(value: number) {
    putU64(this.view, 24, value)
  }
  /** IOSQE_* */
  get sqeFlags(): number {
    return getU64(this.view, 32)
  }
  set sqeFlags(value: number) {
    putU64(this.view, 32, value)
  }
  /** One more than the highest IO_URING_QUERY_* that is answered. */
  get nrQueryOpcodes(): number {
    return this.u32(40)
  }
  set nrQueryOpcodes(value: number) {
    this.setU32(40, value)
  }
}

/** `struct io_uring_query_scq`, 16 bytes: what lies in front of the completions in a ring's memory. */
export class QueryScq extends Struct {
  static readonly SIZE = 16
  /** Bytes. */
  get hdrSize(): number {
    return getU64(this.view, 0)
  }
  set hdrSize(value: number) {
    putU64(this.view, 0, value)
  }
  get hdrAlignment(): number {
    return getU64(this.view, 8)
  }
  set hdrAlignment(value: number) {
    putU64(this.view, 8, value)
  }
}
