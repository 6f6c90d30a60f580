import { IpAddress } from '../../stack/ip/address.ts'

/**
 * Structures that cross the ring boundary, as views of bytes with the kernel's layout (little-endian). A 64-bit field is a
 * number where its values fit 2^53; larger ones read as Infinity, which no check accepts.
 */

const HIGH = 4_294_967_296

/** Bytes of `struct zcrx_stats`: `u64 copy_count; u64 copy_bytes`. */
export const ZCRX_STATS_SIZE = 16
export const ZCRX_STATS_ALIGNMENT = 8

export function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  return high > 0x1f_ffff ? Number.POSITIVE_INFINITY : high * HIGH + view.getUint32(at, true)
}

export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HIGH, true)
  view.setUint32(at + 4, Math.floor(value / HIGH), true)
}

function allZero(view: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; at += 4) if (view.getUint32(at, true) !== 0) return false
  return true
}

abstract class Struct {
  readonly view: DataView
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  protected u32(at: number): number {
    return this.view.getUint32(at, true)
  }
  protected setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true)
  }
}

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
  get mmapOffset(): number {
    return getU64(this.view, 24)
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
  get dmabufFd(): number {
    return this.u32(28)
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
}

/** `struct zcrx_event_desc`, 96 bytes: which events are wanted, and where the statistics go. */
export class ZcrxEventDesc extends Struct {
  static readonly SIZE = 96
  /** Of the completions that tell events. */
  get userData(): number {
    return getU64(this.view, 0)
  }
  set userData(value: number) {
    putU64(this.view, 0, value)
  }
  get userDataLow(): number {
    return this.u32(0)
  }
  get userDataHigh(): number {
    return this.u32(4)
  }
  /** Bit n: events of type n. */
  get typeMask(): number {
    return this.u32(8)
  }
  set typeMask(value: number) {
    this.setU32(8, value)
  }
  get flags(): number {
    return this.u32(12)
  }
  set flags(value: number) {
    this.setU32(12, value)
  }
  /** Bytes from the start of the region. */
  get statsOffset(): number {
    return getU64(this.view, 16)
  }
  set statsOffset(value: number) {
    putU64(this.view, 16, value)
  }
  get statsAligned(): boolean {
    return this.u32(16) % ZCRX_STATS_ALIGNMENT === 0
  }
  get reservedZero(): boolean {
    return allZero(this.view, 24, 96)
  }
}

/** `struct zcrx_stats`, 16 bytes, as it lies in the region: cumulative, written in place. */
export class ZcrxStats extends Struct {
  static readonly SIZE = ZCRX_STATS_SIZE
  /** Contiguous pieces of received data that were copied, not completions. */
  get copyCount(): number {
    return getU64(this.view, 0)
  }
  get copyBytes(): number {
    return getU64(this.view, 8)
  }
  set(copyCount: number, copyBytes: number): void {
    putU64(this.view, 0, copyCount)
    putU64(this.view, 8, copyBytes)
  }
}

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

/** `struct sockaddr_in`, 16 bytes: family little-endian, port and address in network order. */
export class SockaddrIn extends Struct {
  static readonly SIZE = 16
  /** @param address as an integer, or an address of version 4 */
  static of(address: number | IpAddress, port: number): Uint8Array {
    const bytes = new Uint8Array(SockaddrIn.SIZE)
    new SockaddrIn(bytes).set(typeof address === 'number' ? address : address.w3, port)
    return bytes
  }
  set(address: number, port: number): void {
    this.view.setUint16(0, 2, true)
    this.view.setUint16(2, port, false)
    this.view.setInt32(4, address, false)
  }
  get family(): number {
    return this.view.getUint16(0, true)
  }
  get port(): number {
    return this.view.getUint16(2, false)
  }
  /** Signed integer, as the stack keeps addresses. */
  get address(): number {
    return this.view.getInt32(4, false)
  }
}

/** `struct sockaddr_in6`, 28 bytes: like `SockaddrIn`; IPv4 addresses are v4-mapped (RFC 3493 3.7). */
export class SockaddrIn6 extends Struct {
  static readonly SIZE = 28
  /** RFC 2133's form, without a scope id, that Linux takes too. */
  static readonly MIN_SIZE = 24
  static of(address: IpAddress, port: number): Uint8Array {
    const bytes = new Uint8Array(SockaddrIn6.SIZE)
    new SockaddrIn6(bytes).set(address, port)
    return bytes
  }
  set(address: IpAddress, port: number): void {
    this.view.setUint16(0, 10, true)
    this.view.setUint16(2, port, false)
    this.view.setUint32(4, 0)
    address.put(this.bytes, 8)
    if (this.bytes.length >= SockaddrIn6.SIZE) this.view.setUint32(24, 0)
  }
  get family(): number {
    return this.view.getUint16(0, true)
  }
  get port(): number {
    return this.view.getUint16(2, false)
  }
  /** `sin6_flowinfo`, in host order. */
  get flowInfo(): number {
    return this.view.getUint32(4, false)
  }
  get address(): IpAddress {
    return IpAddress.at(this.bytes, 8)
  }
  /** Interface index of a link-local address; 0 when not said. */
  get scopeId(): number {
    return this.bytes.length >= SockaddrIn6.SIZE ? this.u32(24) : 0
  }
}

/** The sockaddr of an address: `sockaddr_in` or `sockaddr_in6`. */
export function sockaddrOf(address: IpAddress, port: number): Uint8Array {
  return address.version === 4 ? SockaddrIn.of(address, port) : SockaddrIn6.of(address, port)
}

/** Bytes of one `struct io_uring_zcrx_rqe`: `u64 off; u32 len; u32 __pad`. */
export const RQE_SIZE = 16
/** Refill queue header as Linux 7.3 lays it out: head, tail and entries on cache lines of their own. */
export const RQ_HEAD_OFFSET = 0
export const RQ_TAIL_OFFSET = 64
export const RQ_RQES_OFFSET = 128
export const RQ_HEADER_ALIGNMENT = 64

/** `struct __kernel_timespec` of so many microseconds: `tv_sec` and `tv_nsec`, 8 bytes each. */
export function timespecOf(us: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  const seconds = Math.floor(us / 1e6)
  view.setBigInt64(0, BigInt(seconds), true)
  view.setBigInt64(8, BigInt(Math.round((us - seconds * 1e6) * 1000)), true)
  return bytes
}
