import * as abi from './io-uring.ts'
import { getU64, putU64 } from './struct.ts'

/** Turns bytes into an address that can stand in an SQE; see `AddressSpace`. */
export interface Addresser {
  addressOf(bytes: Uint8Array): number
}

/**
 * `struct io_uring_sqe`, 64 bytes, over ring memory. One object per slot, made once. The `prep` methods are liburing's
 * `io_uring_prep_*`; each overwrites the whole entry but `user_data`, which `setData` sets afterwards.
 */
export class Sqe {
  static readonly SIZE = 64
  /** Memory that the entry names since it was made or this was set to null: whoever submits it keeps it until the request has completed. */
  named: Uint8Array[] | null = null
  readonly #view: DataView
  readonly #addresser: Addresser

  constructor(bytes: Uint8Array, addresser: Addresser) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, Sqe.SIZE)
    this.#addresser = addresser
  }

  #address(bytes: Uint8Array): number {
    let address: number
    try {
      address = this.#addresser.addressOf(bytes)
    } catch (error) {
      // The slot is taken: what was in it before must not be done again.
      this.prepNop().setData(0)
      throw error
    }
    if (this.named === null) this.named = [bytes]
    else this.named.push(bytes)
    return address
  }

  get opcode(): number {
    return this.#view.getUint8(0)
  }
  get flags(): number {
    return this.#view.getUint8(1)
  }
  get ioprio(): number {
    return this.#view.getUint16(2, true)
  }
  get fd(): number {
    return this.#view.getInt32(4, true)
  }
  /** `off` or `addr2`. */
  get off(): number {
    return getU64(this.#view, 8)
  }
  /** The halves of `off`: the `user_data` that a message has. */
  get offLow(): number {
    return this.#view.getUint32(8, true)
  }
  get offHigh(): number {
    return this.#view.getUint32(12, true)
  }
  get addr(): number {
    return getU64(this.#view, 16)
  }
  get addrLow(): number {
    return this.#view.getUint32(16, true)
  }
  get addrHigh(): number {
    return this.#view.getUint32(20, true)
  }
  get len(): number {
    return this.#view.getUint32(24, true)
  }
  /** The union of per-opcode flags: `msg_flags`, `accept_flags`, `cancel_flags`, … */
  get opFlags(): number {
    return this.#view.getUint32(28, true)
  }
  /** Low and high half of `user_data`. */
  get userDataLow(): number {
    return this.#view.getUint32(32, true)
  }
  get userDataHigh(): number {
    return this.#view.getUint32(36, true)
  }
  /** `user_data`, 0..2^53-1 as `setData` takes it; Infinity beyond. */
  get userData(): number {
    return getU64(this.#view, 32)
  }
  /** `file_index` or `zcrx_ifq_idx`. */
  get zcrxIfqIdx(): number {
    return this.#view.getUint32(44, true)
  }
  /** `file_index`: a slot of the fixed files plus one, IORING_FILE_INDEX_ALLOC, or 0. */
  get fileIndex(): number {
    return this.zcrxIfqIdx
  }
  /** `buf_index` or `buf_group`. */
  get bufGroup(): number {
    return this.#view.getUint16(40, true)
  }
  get personality(): number {
    return this.#view.getUint16(42, true)
  }
  /** `__pad2[0]`, the last 8 bytes. */
  get pad2(): number {
    return getU64(this.#view, 56)
  }
  /** What a NOP with IORING_NOP_CQE32 puts in the words behind its completion: `off` and `addr`. */
  extra(): number[] {
    return [8, 12, 16, 20].map((at) => this.#view.getInt32(at, true))
  }
  /** `level` and `optname` of a socket command: the halves of `addr`. */
  get level(): number {
    return this.addrLow
  }
  get optname(): number {
    return this.addrHigh
  }
  /** Length of a socket option. */
  get optlen(): number {
    return this.zcrxIfqIdx
  }
  /** Command of IORING_OP_URING_CMD. */
  get cmdOp(): number {
    return this.#view.getUint32(8, true)
  }
  get addr3(): number {
    return getU64(this.#view, 48)
  }

  /** `io_uring_prep_nop(3)` */
  prepNop(): this {
    return this.prepRw(abi.IORING_OP_NOP, -1, 0, 0, 0)
  }

  /** `io_uring_prep_socket(3)`: completes with the descriptor. */
  prepSocket(domain: number, type: number, protocol: number): this {
    return this.prepRw(abi.IORING_OP_SOCKET, domain, 0, protocol, type)
  }

  /**
   * `io_uring_prep_socket_direct(3)`: the socket has a slot of the fixed files instead of a descriptor; completes with 0.
   * @param slot with IORING_FILE_INDEX_ALLOC any free one, which it completes with (`io_uring_prep_socket_direct_alloc(3)`)
   */
  prepSocketDirect(domain: number, type: number, protocol: number, slot: number): this {
    return this.prepSocket(domain, type, protocol).setTargetFixedFile(slot)
  }

  /** `io_uring_prep_bind(3)`. @param sockaddr bytes of a `sockaddr_in`, read when the entry is submitted */
  prepBind(fd: number, sockaddr: Uint8Array): this {
    return this.prepRw(abi.IORING_OP_BIND, fd, this.#address(sockaddr), 0, sockaddr.length)
  }

  /** `io_uring_prep_listen(3)` */
  prepListen(fd: number, backlog: number): this {
    return this.prepRw(abi.IORING_OP_LISTEN, fd, 0, backlog, 0)
  }

  /** `io_uring_prep_connect(3)`. @param sockaddr read when the entry is submitted */
  prepConnect(fd: number, sockaddr: Uint8Array): this {
    return this.prepRw(abi.IORING_OP_CONNECT, fd, this.#address(sockaddr), 0, sockaddr.length)
  }

  /**
   * `io_uring_prep_accept(3)`. @param sockaddr memory for the peer's address, or none; written at completion
   * @param length four bytes: an `int` that says how long it may be, and gets how long it is. Linux wants it with `sockaddr`; null
   *   here: there is room for all of it
   */
  prepAccept(fd: number, sockaddr: Uint8Array | null = null, length: Uint8Array | null = null): this {
    const where = sockaddr === null ? 0 : this.#address(sockaddr)
    return this.prepRw(abi.IORING_OP_ACCEPT, fd, where, 0, length === null ? 0 : this.#address(length))
  }

  /** `io_uring_prep_multishot_accept(3)`: one completion, with F_MORE, per connection. */
  prepMultishotAccept(fd: number): this {
    this.prepRw(abi.IORING_OP_ACCEPT, fd, 0, 0, 0)
    this.#view.setUint16(2, abi.IORING_ACCEPT_MULTISHOT, true)
    return this
  }

  /** `io_uring_prep_accept_direct(3)`: into a slot of the fixed files, as `prepSocketDirect`. */
  prepAcceptDirect(fd: number, slot: number, sockaddr: Uint8Array | null = null): this {
    return this.prepAccept(fd, sockaddr).setTargetFixedFile(slot)
  }

  /** `io_uring_prep_multishot_accept_direct(3)`: each into any free slot of the fixed files. */
  prepMultishotAcceptDirect(fd: number): this {
    return this.prepMultishotAccept(fd).setTargetFixedFile(abi.IORING_FILE_INDEX_ALLOC)
  }

  /**
   * Zero-copy receive, always multishot: a completion with F_MORE per piece of data, and one without data at the end.
   * @param len bytes after which the request ends with `res` 0; 0 = no limit
   */
  prepRecvZc(fd: number, zcrxId: number, len = 0): this {
    this.prepRw(abi.IORING_OP_RECV_ZC, fd, 0, len, 0)
    this.#view.setUint16(2, abi.IORING_RECV_MULTISHOT, true)
    this.#view.setUint32(44, zcrxId, true)
    return this
  }

  /** `io_uring_prep_send(3)`. @param bytes must stay unchanged until the completion, whose `res` says how many were taken
   * @param flags MSG_DONTWAIT; MSG_OOB: the last byte is urgent (RFC 9293 3.8.5) */
  prepSend(fd: number, bytes: Uint8Array, flags = 0): this {
    this.prepRw(abi.IORING_OP_SEND, fd, this.#address(bytes), bytes.length, 0)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /**
   * `io_uring_prep_send_zc(3)`: as SEND, with a second completion (IORING_CQE_F_NOTIF) when `bytes` may change again.
   * @param zcFlags IORING_SEND_ZC_REPORT_USAGE: its `res` says whether they were copied
   */
  prepSendZc(fd: number, bytes: Uint8Array, flags = 0, zcFlags = 0): this {
    this.prepRw(abi.IORING_OP_SEND_ZC, fd, this.#address(bytes), bytes.length, 0)
    return this.setOpFlags(flags).setIoprio(zcFlags)
  }

  /**
   * `io_uring_prep_recv(3)`: copies received bytes to `bytes`, which must stay alive until the completion.
   * @param flags MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, MSG_TRUNC
   */
  prepRecv(fd: number, bytes: Uint8Array, flags = 0): this {
    this.prepRw(abi.IORING_OP_RECV, fd, this.#address(bytes), bytes.length, 0)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /**
   * `io_uring_prep_recv_multishot(3)`: a completion with F_MORE per buffer of group `bgid` that was filled.
   * @param length most bytes of one, 0 = what the buffer holds @param limit bytes until it ends, 0 = none
   */
  prepRecvMultishot(fd: number, bgid: number, length = 0, flags = 0, limit = 0): this {
    this.prepRw(abi.IORING_OP_RECV, fd, 0, length, 0).setOpFlags(flags)
    this.setIoprio(abi.IORING_RECV_MULTISHOT).setFlags(abi.IOSQE_BUFFER_SELECT).setBufGroup(bgid)
    this.#view.setUint32(44, limit, true)
    return this
  }

  /**
   * `io_uring_prep_provide_buffers(3)`: `count` buffers of `length` bytes, which lie one behind the other in `bytes`.
   * @param bid id of the first
   */
  prepProvideBuffers(bytes: Uint8Array, length: number, count: number, bgid: number, bid: number): this {
    this.prepRw(abi.IORING_OP_PROVIDE_BUFFERS, count, this.#address(bytes), length, bid)
    return this.setBufGroup(bgid)
  }

  /** `io_uring_prep_remove_buffers(3)` */
  prepRemoveBuffers(count: number, bgid: number): this {
    return this.prepRw(abi.IORING_OP_REMOVE_BUFFERS, count, 0, 0, 0).setBufGroup(bgid)
  }

  /**
   * `io_uring_prep_cmd_sock(3)`. SOCKET_URING_OP_SIOCINQ and SIOCOUTQ need neither level nor option.
   * @param optval read or written while the entry is executed
   */
  prepCmdSock(cmd: number, fd: number, level = 0, optname = 0, optval: Uint8Array | null = null): this {
    this.prepRw(abi.IORING_OP_URING_CMD, fd, 0, 0, 0)
    const view = this.#view
    view.setUint32(8, cmd, true)
    view.setUint32(16, level, true)
    view.setUint32(20, optname, true)
    view.setUint32(44, optval === null ? 0 : optval.length, true)
    putU64(view, 48, optval === null ? 0 : this.#address(optval))
    return this
  }

  /**
   * `io_uring_prep_cmd_getsockname(3)`: getsockname(2), or getpeername(2) when `peer` is 1. Both arrays are written while the
   * entry is executed. @param sockaddr gets as much of the address as `length` allows
   * @param length 4 bytes, an `int`: the bytes there are in `sockaddr`; gets the whole length of the address
   */
  prepCmdGetsockname(fd: number, sockaddr: Uint8Array, length: Uint8Array, peer: 0 | 1 = 0): this {
    const where = this.#address(sockaddr)
    this.prepRw(abi.IORING_OP_URING_CMD, fd, where, 0, abi.SOCKET_URING_OP_GETSOCKNAME)
    this.#view.setUint32(44, peer, true)
    putU64(this.#view, 48, this.#address(length))
    return this
  }

  /**
   * `io_uring_prep_poll_add(3)`: completes with the events of poll(2) that are true. POLLPRI says that unread data is urgent
   * (RFC 9293 3.8.5). @param multishot goes on until it is cancelled or the connection ends
   */
  prepPollAdd(fd: number, events: number, multishot = false): this {
    this.prepRw(abi.IORING_OP_POLL_ADD, fd, 0, multishot ? abi.IORING_POLL_ADD_MULTI : 0, 0)
    this.#view.setUint32(28, events, true)
    return this
  }

  /** `io_uring_prep_shutdown(3)`. @param how SHUT_RD, SHUT_WR or SHUT_RDWR */
  prepShutdown(fd: number, how: number): this {
    return this.prepRw(abi.IORING_OP_SHUTDOWN, fd, 0, how, 0)
  }

  /** `io_uring_prep_close(3)` */
  prepClose(fd: number): this {
    return this.prepRw(abi.IORING_OP_CLOSE, fd, 0, 0, 0)
  }

  /** `io_uring_prep_close_direct(3)`: empties a slot of the fixed files. */
  prepCloseDirect(slot: number): this {
    return this.prepClose(0).setTargetFixedFile(slot)
  }

  /** `io_uring_prep_cancel64(3)`: by user_data. @param opcode with IORING_ASYNC_CANCEL_OP */
  prepCancel(userData: number, flags = 0, opcode = 0): this {
    this.prepRw(abi.IORING_OP_ASYNC_CANCEL, -1, userData, opcode, 0)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /** `io_uring_prep_cancel_fd(3)`. @param opcode with IORING_ASYNC_CANCEL_OP */
  prepCancelFd(fd: number, flags = 0, opcode = 0): this {
    this.prepRw(abi.IORING_OP_ASYNC_CANCEL, fd, 0, opcode, 0)
    this.#view.setUint32(28, flags | abi.IORING_ASYNC_CANCEL_FD, true)
    return this
  }

  /**
   * `io_uring_prep_timeout(3)`. @param timespec `timespecOf` makes one; read when the entry is submitted
   * @param count completions of others that end it with 0, 0 = none; with IORING_TIMEOUT_MULTISHOT how often it fires, 0 = for ever
   * @param flags IORING_TIMEOUT_ABS, _ETIME_SUCCESS, _MULTISHOT
   */
  prepTimeout(timespec: Uint8Array, count = 0, flags = 0): this {
    this.prepRw(abi.IORING_OP_TIMEOUT, -1, this.#address(timespec), 1, count)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /** `io_uring_prep_timeout_remove(3)`. @param userData of the timeout */
  prepTimeoutRemove(userData: number, flags = 0): this {
    this.prepRw(abi.IORING_OP_TIMEOUT_REMOVE, -1, userData, 0, 0)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /** `io_uring_prep_timeout_update(3)`: another time for a timeout. @param userData of the timeout */
  prepTimeoutUpdate(timespec: Uint8Array, userData: number, flags = 0): this {
    this.prepRw(abi.IORING_OP_TIMEOUT_REMOVE, -1, userData, 0, this.#address(timespec))
    this.#view.setUint32(28, flags | abi.IORING_TIMEOUT_UPDATE, true)
    return this
  }

  /**
   * `io_uring_prep_link_timeout(3)`: cancels the request before it, which has IOSQE_IO_LINK, when that takes longer.
   * @param flags IORING_TIMEOUT_ABS
   */
  prepLinkTimeout(timespec: Uint8Array, flags = 0): this {
    this.prepRw(abi.IORING_OP_LINK_TIMEOUT, -1, this.#address(timespec), 1, 0)
    this.#view.setUint32(28, flags, true)
    return this
  }

  /**
   * `io_uring_prep_msg_ring(3)`: posts a completion on another ring. @param fd a `ringFd` @param len its `res`
   * @param userData its `user_data`
   */
  prepMsgRing(fd: number, len: number, userData: number, flags = 0): this {
    this.prepRw(abi.IORING_OP_MSG_RING, fd, abi.IORING_MSG_DATA, len, userData)
    return this.setOpFlags(flags)
  }

  /** `io_uring_prep_msg_ring_cqe_flags(3)`. @param cqeFlags the `flags` of the completion */
  prepMsgRingCqeFlags(fd: number, len: number, userData: number, flags: number, cqeFlags: number): this {
    this.prepMsgRing(fd, len, userData, flags | abi.IORING_MSG_RING_FLAGS_PASS)
    this.#view.setUint32(44, cqeFlags, true)
    return this
  }

  /**
   * `io_uring_prep_msg_ring_fd(3)`: gives another ring a fixed file of this one. @param source,target slots; with
   * IORING_FILE_INDEX_ALLOC any free one of the other ring (`io_uring_prep_msg_ring_fd_alloc(3)`)
   * @param userData of the completion that tells the other ring, unless `flags` has IORING_MSG_RING_CQE_SKIP
   */
  prepMsgRingFd(fd: number, source: number, target: number, userData: number, flags = 0): this {
    this.prepRw(abi.IORING_OP_MSG_RING, fd, abi.IORING_MSG_SEND_FD, 0, userData)
    putU64(this.#view, 48, source)
    return this.setTargetFixedFile(target).setOpFlags(flags)
  }

  /** `io_uring_sqe_set_data64(3)`. @param userData 0..2^53-1 */
  setData(userData: number): this {
    putU64(this.#view, 32, userData)
    return this
  }

  /** `io_uring_sqe_set_flags(3)`: IOSQE_* */
  setFlags(flags: number): this {
    this.#view.setUint8(1, flags)
    return this
  }

  /** Overwrites `ioprio`: the per-opcode bits that liburing sets there. */
  setIoprio(bits: number): this {
    this.#view.setUint16(2, bits, true)
    return this
  }

  /** Overwrites the union of per-opcode flags: `msg_flags`, `nop_flags`, `cancel_flags`, … */
  setOpFlags(flags: number): this {
    this.#view.setUint32(28, flags, true)
    return this
  }

  /** `file_index`: a slot of the fixed files, or IORING_FILE_INDEX_ALLOC for any free one. */
  setTargetFixedFile(slot: number): this {
    this.#view.setUint32(44, slot === abi.IORING_FILE_INDEX_ALLOC ? slot : slot + 1, true)
    return this
  }

  /** `io_uring_sqe_set_buf_group(3)`: where IOSQE_BUFFER_SELECT takes buffers from. */
  setBufGroup(bgid: number): this {
    this.#view.setUint16(40, bgid, true)
    return this
  }

  /** Credentials that were registered: `Ring.registerPersonality`. 0 = the ring's. */
  setPersonality(id: number): this {
    this.#view.setUint16(42, id, true)
    return this
  }

  /** Liburing's `io_uring_prep_rw`: clears the entry and sets the common fields. */
  prepRw(opcode: number, fd: number, addr: number, len: number, off: number): this {
    const view = this.#view
    for (let at = 0; at < Sqe.SIZE; at += 4) view.setUint32(at, 0)
    view.setUint8(0, opcode)
    view.setInt32(4, fd, true)
    putU64(view, 8, off)
    putU64(view, 16, addr)
    view.setUint32(24, len, true)
    return this
  }
}
