import { IpAddress } from '../../address.ts'
import { NicError } from '../../errors.ts'
import { backlogOf } from '../../stack/tcp/listeners.ts'
import { SYN_RECEIVED, SYN_SENT } from '../../stack/tcp/state.ts'
import * as abi from '../abi/constants.ts'
import * as errno from '../abi/errno.ts'
import * as num from '../abi/ring.ts'
import * as sock from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import { cancelMatching } from './cancel.ts'
import type { RingContext } from './context.ts'
import { atEnd } from './copy-out.ts'
import { letGo, type OpenFile } from './files.ts'
import { install } from './fixed-files.ts'
import { msgRing } from './msg-ring.ts'
import { PollRequest, RingPollRequest } from './poll.ts'
import { RecvRequest } from './recv.ts'
import { RecvSelectRequest } from './recv-select.ts'
import { RecvZcRequest } from './recv-zc.ts'
import { Request } from './request.ts'
import { noticeOf, SendRequest, SendSelectRequest, SendZcRequest } from './send.ts'
import { readSockaddr, sockaddrBytes } from './sockaddr.ts'
import { Socket } from './socket.ts'
import { socketCommand } from './socket-options.ts'
import { AcceptRequest, ConnectRequest } from './socket-requests.ts'
import { removeTimeout, TimeoutRequest, timeoutOf } from './timeout.ts'

/** A request that is complete when it has been looked at. */
class ImmediateRequest extends Request {
  override run(): void {}
  override detach(): void {}
}

/** Starts one submitted entry. Every outcome, errors included, is a completion. */
export function execute(context: RingContext, sqe: Sqe): void {
  switch (sqe.opcode) {
    case abi.IORING_OP_NOP:
      nop(context, sqe)
      break
    case abi.IORING_OP_SOCKET:
      reply(context, sqe, openSocket(context, sqe))
      break
    case abi.IORING_OP_BIND:
      withSocket(context, sqe, (socket) => reply(context, sqe, bind(context, sqe, socket)))
      break
    case abi.IORING_OP_LISTEN:
      withSocket(context, sqe, (socket) => reply(context, sqe, listen(context, sqe, socket)))
      break
    case abi.IORING_OP_ACCEPT:
      withSocket(context, sqe, (socket) => accept(context, sqe, socket))
      break
    case abi.IORING_OP_CONNECT:
      withSocket(context, sqe, (socket) => connect(context, sqe, socket))
      break
    case abi.IORING_OP_RECV_ZC:
      withSocket(context, sqe, (socket) => recvZc(context, sqe, socket))
      break
    case abi.IORING_OP_SEND:
      withSocket(context, sqe, (socket) => send(context, sqe, socket))
      break
    case abi.IORING_OP_POLL_ADD:
      withFile(context, sqe, (file) => poll(context, sqe, file))
      break
    case num.IORING_OP_SEND_ZC:
      sendZc(context, sqe)
      break
    case num.IORING_OP_PROVIDE_BUFFERS:
      reply(context, sqe, context.buffers.provide(sqe))
      break
    case num.IORING_OP_REMOVE_BUFFERS:
      reply(context, sqe, context.buffers.remove(sqe))
      break
    case num.IORING_OP_MSG_RING:
      withFile(context, sqe, (file) => reply(context, sqe, msgRing(context, sqe, file)))
      break
    case abi.IORING_OP_RECV:
      withSocket(context, sqe, (socket) => recv(context, sqe, socket))
      break
    case abi.IORING_OP_URING_CMD:
      withFile(context, sqe, (file) => reply(context, sqe, command(context, sqe, file)))
      break
    case abi.IORING_OP_SHUTDOWN:
      withSocket(context, sqe, (socket) => reply(context, sqe, shutdown(sqe, socket)))
      break
    case abi.IORING_OP_CLOSE:
      reply(context, sqe, close(context, sqe))
      break
    case abi.IORING_OP_TIMEOUT:
      timeout(context, sqe)
      break
    case abi.IORING_OP_TIMEOUT_REMOVE:
      removeTimeout(context, sqe, (res) => reply(context, sqe, res))
      break
    case abi.IORING_OP_ASYNC_CANCEL:
      cancel(context, sqe)
      break
    default:
      reply(context, sqe, -errno.EINVAL)
  }
}

function reply(context: RingContext, sqe: Sqe, res: number): void {
  context.complete(new ImmediateRequest(context, sqe), res, 0)
}

function nop(context: RingContext, sqe: Sqe): void {
  const { opFlags } = sqe
  const res = (opFlags & num.IORING_NOP_INJECT_RESULT) !== 0 ? sqe.len | 0 : 0
  const extra = (opFlags & num.IORING_NOP_CQE32) !== 0 ? sqe.extra() : null
  context.complete(new ImmediateRequest(context, sqe), res, 0, extra)
}

function withFile(context: RingContext, sqe: Sqe, serve: (file: OpenFile) => void): void {
  const file = context.fileOf(sqe)
  if (file === null) reply(context, sqe, -errno.EBADF)
  else serve(file)
}

function withSocket(context: RingContext, sqe: Sqe, serve: (socket: Socket) => void): void {
  const file = context.fileOf(sqe)
  if (file?.kind === 'socket') serve(file as Socket)
  else if (file === null) reply(context, sqe, -errno.EBADF)
  // Sockets of other protocols receive nothing here (kernel record point 18).
  else reply(context, sqe, file.isSocket === true ? -errno.EPROTONOSUPPORT : -errno.ENOTSOCK)
}

function poll(context: RingContext, sqe: Sqe, file: OpenFile): void {
  if (file.kind === 'socket') start(new PollRequest(context, sqe, file as Socket), true)
  else if (file.kind === 'ring') start(new RingPollRequest(context, sqe, file as RingContext), true)
  // What has no poll of its own is always ready, as vfs_poll() has it.
  else reply(context, sqe, sqe.opFlags & (sock.POLLIN | sock.POLLOUT))
}

function command(context: RingContext, sqe: Sqe, file: OpenFile): number {
  // No command of a socket can be polled for.
  const polled = (context.flags & abi.IORING_SETUP_IOPOLL) !== 0
  if (file.kind !== 'socket' || polled) return -errno.EOPNOTSUPP
  return socketCommand(context, sqe, file as Socket)
}

/** Starts a request that may have to wait; one that may not is answered `instead`. */
function start(request: Request & { wait(): void }, mayWait: boolean, instead = -errno.EAGAIN): void {
  request.context.track(request)
  request.wait()
  request.run()
  if (!mayWait && !request.finished) request.finish(instead)
}

function openSocket(context: RingContext, sqe: Sqe): number {
  if (sqe.fd !== abi.AF_INET && sqe.fd !== abi.AF_INET6) return -errno.EAFNOSUPPORT
  // Other flags, such as SOCK_CLOEXEC, mean nothing to a ring and are accepted.
  if ((sqe.off & 0xf) !== abi.SOCK_STREAM) return -errno.EPROTONOSUPPORT
  if (sqe.len !== 0 && sqe.len !== 6) return -errno.EPROTONOSUPPORT
  const socket = new Socket(context.kernel, sqe.fd)
  socket.nonBlocking = (sqe.off & sock.SOCK_NONBLOCK) !== 0
  return install(context, socket, sqe.fileIndex)
}

function bind(context: RingContext, sqe: Sqe, socket: Socket): number {
  const sockaddr = readSockaddr(context.kernel.space, socket.family, sqe.addr, sqe.off)
  if (typeof sockaddr === 'number') return sockaddr
  if (socket.bound !== null || socket.tcb !== null) return -errno.EINVAL
  if (socket.options.v6Only && sockaddr.address.version === 4) return -errno.EINVAL
  return context.kernel.ports.bind(socket, sockaddr.address, sockaddr.port)
}

function listen(context: RingContext, sqe: Sqe, socket: Socket): number {
  if (socket.tcb !== null) return -errno.EINVAL
  if (socket.listener !== null) {
    // Called again it changes the backlog (listen(2)).
    socket.listener.backlog = backlogOf(sqe.len)
    return 0
  }
  const { ports } = context.kernel
  const any = socket.family === abi.AF_INET ? IpAddress.any4 : IpAddress.any6
  const unbound = socket.bound === null ? ports.bind(socket, any, 0) : 0
  if (unbound < 0) return unbound
  const { bound, stack } = socket
  const listener = stack!.tcp.listen(bound!.address, bound!.port, sqe.len, socket.options)
  if (listener === null) return -errno.EADDRINUSE
  try {
    context.kernel.steer(stack!, bound!.address, listener.port, socket.options.v6Only)
  } catch (error) {
    stack!.tcp.unlisten(listener)
    return nicErrno(context, error)
  }
  listener.owner = socket
  socket.listener = listener
  return 0
}

function accept(context: RingContext, sqe: Sqe, socket: Socket): void {
  if (socket.listener === null) {
    reply(context, sqe, -errno.EINVAL)
    return
  }
  const multishot = (sqe.ioprio & abi.IORING_ACCEPT_MULTISHOT) !== 0
  let sockaddr: Uint8Array | null = null
  if (sqe.addr !== 0) {
    // A multishot accept has nowhere to keep more than one address.
    sockaddr = multishot ? null : context.kernel.space.view(sqe.addr, sockaddrBytes(socket.family))
    if (sockaddr === null) {
      reply(context, sqe, multishot ? -errno.EINVAL : -errno.EFAULT)
      return
    }
  }
  const dontWait = socket.nonBlocking || (sqe.ioprio & abi.IORING_ACCEPT_DONTWAIT) !== 0
  start(new AcceptRequest(context, sqe, socket, sockaddr), !dontWait)
}

function connect(context: RingContext, sqe: Sqe, socket: Socket): void {
  const sockaddr = readSockaddr(context.kernel.space, socket.family, sqe.addr, sqe.off)
  if (typeof sockaddr === 'number') {
    reply(context, sqe, sockaddr)
    return
  }
  const { kernel } = context
  if (socket.tcb !== null || socket.listener !== null) {
    const opening = socket.tcb?.state === SYN_SENT || socket.tcb?.state === SYN_RECEIVED
    reply(context, sqe, -(opening ? errno.EALREADY : socket.takeError() || errno.EISCONN))
    return
  }
  const stack = socket.stack ?? kernel.stackFor(IpAddress.any6) ?? kernel.stacks[0] ?? null
  const bound = socket.bound?.address
  const local = bound === undefined || bound.unspecified ? stack?.link.localFor(sockaddr.address) : bound
  const refused = socket.options.v6Only && sockaddr.address.version === 4
  if (refused || (local != null && local.version !== sockaddr.address.version)) {
    reply(context, sqe, -errno.ENETUNREACH)
    return
  }
  if (stack === null || local == null) {
    reply(context, sqe, -errno.EADDRNOTAVAIL)
    return
  }
  // RFC 9293 3.9.2.3: groups and broadcast are nobody to connect to.
  if (!stack.link.isUnicast(sockaddr.address) || stack.link.nextHop(sockaddr.address) === null) {
    reply(context, sqe, -errno.ENETUNREACH)
    return
  }
  const port = socket.bound?.port ?? 0
  const tcb = stack.tcp.connect(
    local,
    port,
    sockaddr.address,
    sockaddr.port,
    stack.clock.now(),
    socket.options,
  )
  if (tcb === null) {
    reply(context, sqe, -errno.EADDRNOTAVAIL)
    return
  }
  try {
    kernel.steerConnection(stack, tcb)
  } catch (error) {
    stack.tcp.abort(tcb)
    reply(context, sqe, nicErrno(context, error))
    return
  }
  socket.adopt(stack, tcb)
  start(new ConnectRequest(context, sqe, socket), !socket.nonBlocking, -errno.EINPROGRESS)
}

function recvZc(context: RingContext, sqe: Sqe, socket: Socket): void {
  const { tcb } = socket
  if (tcb === null || (tcb.state !== 0 && tcb.state < SYN_RECEIVED)) {
    reply(context, sqe, -errno.ENOTCONN)
    return
  }
  const request = new RecvZcRequest(context, sqe, socket, context.ifqs[sqe.zcrxIfqIdx]!)
  context.track(request)
  request.wait()
  if ((sqe.ioprio & abi.IORING_RECVSEND_POLL_FIRST) !== 0) context.schedule(request)
  else request.run()
}

function send(context: RingContext, sqe: Sqe, socket: Socket): void {
  const dontWait = socket.nonBlocking || (sqe.opFlags & sock.MSG_DONTWAIT) !== 0
  if ((sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0) {
    start(new SendSelectRequest(context, sqe, socket), !dontWait)
    return
  }
  const bytes = bytesOf(context, sqe)
  if (bytes === null) reply(context, sqe, -errno.EFAULT)
  else start(new SendRequest(context, sqe, socket, bytes), !dontWait)
}

/** Errors, too, are followed by the notification. */
function sendZc(context: RingContext, sqe: Sqe): void {
  const file = context.fileOf(sqe)
  // There are no registered buffers.
  const fixed = (sqe.ioprio & num.IORING_RECVSEND_FIXED_BUF) !== 0
  const bytes = fixed ? null : bytesOf(context, sqe)
  if (file?.kind === 'socket' && bytes !== null) {
    const socket = file as Socket
    const dontWait = socket.nonBlocking || (sqe.opFlags & sock.MSG_DONTWAIT) !== 0
    start(new SendZcRequest(context, sqe, socket, bytes), !dontWait)
    return
  }
  let error = errno.EFAULT
  if (file?.kind !== 'socket') error = file === null ? errno.EBADF : errno.ENOTSOCK
  const request = new ImmediateRequest(context, sqe)
  context.complete(request, -error, abi.IORING_CQE_F_MORE)
  context.postLater(request, noticeOf(sqe), num.IORING_CQE_F_NOTIF)
}

/** What an entry sends. No bytes are read where there are none, so no address is needed. */
function bytesOf(context: RingContext, sqe: Sqe): Uint8Array | null {
  return sqe.len === 0 ? new Uint8Array(0) : context.kernel.space.view(sqe.addr, sqe.len)
}

function recv(context: RingContext, sqe: Sqe, socket: Socket): void {
  const known = sock.MSG_DONTWAIT | sock.MSG_PEEK | sock.MSG_WAITALL | sock.MSG_TRUNC | sock.MSG_NOSIGNAL
  if ((sqe.opFlags & ~known) !== 0) {
    reply(context, sqe, -errno.EOPNOTSUPP)
    return
  }
  if ((sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0) {
    startReceive(new RecvSelectRequest(context, sqe, socket), sqe)
    return
  }
  const bytes = sqe.len === 0 ? new Uint8Array(0) : context.kernel.space.writable(sqe.addr, sqe.len)
  if (bytes === null) reply(context, sqe, -errno.EFAULT)
  else startReceive(new RecvRequest(context, sqe, socket, bytes), sqe)
}

/** With POLL_FIRST the socket is not looked at before there is something to be read. */
function startReceive(request: RecvRequest | RecvSelectRequest, sqe: Sqe): void {
  const { context, socket } = request
  const { tcb } = socket
  if ((sqe.ioprio & abi.IORING_RECVSEND_POLL_FIRST) === 0 || tcb === null) {
    start(request, true)
    return
  }
  context.track(request)
  request.wait()
  if (tcb.rcv.head >= 0 || atEnd(socket, tcb)) context.schedule(request)
  else if (socket.nonBlocking || (sqe.opFlags & sock.MSG_DONTWAIT) !== 0) request.finish(-errno.EAGAIN)
}

function shutdown(sqe: Sqe, socket: Socket): number {
  const { tcb, stack } = socket
  if (sqe.len > abi.SHUT_RDWR) return -errno.EINVAL
  if (tcb !== null && stack !== null && tcb.state === SYN_SENT) {
    // Linux gives the attempt up.
    stack.tcp.abort(tcb)
    return 0
  }
  if (socket.listener !== null) {
    // One that reads no more listens no more.
    if (sqe.len !== abi.SHUT_WR) socket.stopListening()
    return 0
  }
  if (tcb === null || stack === null || tcb.state < SYN_RECEIVED) return -errno.ENOTCONN
  if (sqe.len !== abi.SHUT_WR) {
    socket.readShut = true
    stack.tcp.shutdownReceive(tcb)
    for (const reader of [...socket.readers]) reader.context.schedule(reader)
  }
  if (sqe.len !== abi.SHUT_RD) {
    socket.writeShut = true
    stack.tcp.shutdownSend(tcb, stack.clock.now())
  }
  return 0
}

function close(context: RingContext, sqe: Sqe): number {
  if (sqe.fileIndex !== 0) return context.files.remove(sqe.fileIndex - 1)
  const { files } = context.kernel
  // A ring ends with `queueExit`, from outside.
  if (files.get(sqe.fd)?.kind === 'ring') return -errno.EBADF
  const file = files.close(sqe.fd)
  if (file === null) return -errno.EBADF
  letGo(file)
  return 0
}

function timeout(context: RingContext, sqe: Sqe): void {
  const timespec = timeoutOf(context, sqe)
  if (typeof timespec === 'number') reply(context, sqe, timespec)
  else start(new TimeoutRequest(context, sqe, timespec), true)
}

/** The cancel's own completion comes before those of what it cancels (kernel record point 44). */
function cancel(context: RingContext, sqe: Sqe): void {
  const { fd, addrLow, addrHigh, len: opcode } = sqe
  const fixed = (sqe.flags & num.IOSQE_FIXED_FILE) !== 0 ? num.IORING_ASYNC_CANCEL_FD_FIXED : 0
  cancelMatching(context, { flags: sqe.opFlags | fixed, fd, addrLow, addrHigh, opcode }, (res) =>
    reply(context, sqe, res),
  )
}

/** The errno Linux would answer where our NIC has an error with an explanation. */
export function nicErrno(context: RingContext, error: unknown): number {
  if (!(error instanceof NicError)) throw error
  context.kernel.nicError = error
  switch (error.code) {
    case 'ZCRX_NIC_PERMISSION':
      return -errno.EPERM
    case 'ZCRX_NIC_NO_DEVICE':
    case 'ZCRX_NIC_DOWN':
      return -errno.ENODEV
    case 'ZCRX_NIC_NO_QUEUE':
      return -errno.ERANGE
    case 'ZCRX_NIC_BUSY':
      return -errno.EEXIST
    case 'ZCRX_NIC_MEMLOCK':
      return -errno.ENOMEM
    case 'ZCRX_NIC_MEMORY':
      return -errno.EINVAL
    default:
      return -errno.EOPNOTSUPP
  }
}
