import { EFAULT, EINVAL } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { install } from '../fixed-files.ts'
import type { RingPort } from '../port.ts'
import { type RequestPort, SocketRequest } from '../request.ts'
import { SOCKLEN_BYTES, sockaddrBytes, sockaddrFor } from '../sockaddr.ts'
import { Socket, type WaitQueue } from '../socket.ts'
import { Op } from './op.ts'
import { socketOf } from './operands.ts'
import { begin, reply } from './reply.ts'

export const accept: Op = new Op({ code: abi.IORING_OP_ACCEPT, ioprio: true, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  const { ioprio, opFlags, fileIndex } = sqe
  const known = abi.IORING_ACCEPT_MULTISHOT | abi.IORING_ACCEPT_DONTWAIT | abi.IORING_ACCEPT_POLL_FIRST
  if (sqe.len !== 0 || sqe.bufGroup !== 0 || (ioprio & ~known) !== 0) return -EINVAL
  if ((opFlags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL
  if (fileIndex === 0) return 0
  if ((opFlags & SOCK_CLOEXEC) !== 0) return -EINVAL
  // Several connections don't fit one slot.
  const multishot = (ioprio & abi.IORING_ACCEPT_MULTISHOT) !== 0
  return multishot && fileIndex !== abi.IORING_FILE_INDEX_ALLOC ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  if (socket.listener === null) {
    reply(context, sqe, -EINVAL)
    return
  }
  let sockaddr: SockaddrPlace | null = null
  if (sqe.addr !== 0) {
    const place = sockaddrPlace(context, sqe, socket.family)
    if (typeof place === 'number') {
      reply(context, sqe, place)
      return
    }
    sockaddr = place
  }
  const dontWait = socket.nonBlocking || (sqe.ioprio & abi.IORING_ACCEPT_DONTWAIT) !== 0
  begin(new AcceptRequest(context, sqe, socket, sockaddr), !dontWait)
}

/** Where a peer's sockaddr goes, and the `int` that says how much there is room for, and gets how long it is. */
interface SockaddrPlace {
  readonly bytes: Uint8Array
  /** Null where `addr2` is NULL: there is room for all of it, and nobody is told. */
  readonly length: DataView | null
}

/** Minus errno when there is no such place. */
function sockaddrPlace({ space }: RingPort, sqe: Sqe, family: number): SockaddrPlace | number {
  const whole = sockaddrBytes(family)
  if (sqe.off === 0) {
    const bytes = space.writable(sqe.addr, whole)
    return bytes === null ? -EFAULT : { bytes, length: null }
  }
  const there = space.writable(sqe.off, SOCKLEN_BYTES)
  if (there === null) return -EFAULT
  const length = new DataView(there.buffer, there.byteOffset, SOCKLEN_BYTES)
  const room = length.getInt32(0, true)
  if (room < 0) return -EINVAL
  const bytes = space.writable(sqe.addr, Math.min(room, whole))
  return bytes === null ? -EFAULT : { bytes, length }
}

/** Writes a peer's sockaddr, cut to the room that there is (accept(2)). */
function tell({ bytes, length }: SockaddrPlace, { family, tcb }: Socket): void {
  const whole = sockaddrFor(family, { address: tcb!.remote, port: tcb!.remotePort })
  bytes.set(whole.subarray(0, bytes.length))
  length?.setInt32(0, whole.length, true)
}

/** Single or multishot. */
class AcceptRequest extends SocketRequest {
  readonly #multishot: boolean
  readonly #sockaddr: SockaddrPlace | null
  readonly #fileIndex: number

  constructor(context: RequestPort, sqe: Sqe, socket: Socket, sockaddr: SockaddrPlace | null) {
    super(context, sqe, socket)
    this.#fileIndex = sqe.fileIndex
    this.#multishot = (sqe.ioprio & abi.IORING_ACCEPT_MULTISHOT) !== 0
    this.#sockaddr = sockaddr
  }

  protected override get queue(): WaitQueue {
    return 'acceptors'
  }

  override detach(): void {
    const { listener } = this.socket
    super.detach()
    // Several connections may have come with one event.
    const next = this.socket.acceptors[0]
    if (next !== undefined && listener !== null && listener.ready.length > 0) next.wake()
  }

  override run(): void {
    const { listener, stack, kernel } = this.socket
    if (listener === null || stack === null || listener.closed) {
      this.finish(-EINVAL)
      return
    }
    for (;;) {
      const tcb = stack.tcp.accept(listener)
      if (tcb === null) return
      const socket = new Socket(kernel, this.socket.family)
      socket.adopt(stack, tcb)
      const fd = install(this.context, socket, this.#fileIndex)
      if (fd < 0) {
        this.finish(fd)
        return
      }
      if (this.#sockaddr !== null) tell(this.#sockaddr, socket)
      const flags = listener.ready.length > 0 ? abi.IORING_CQE_F_SOCK_NONEMPTY : 0
      if (!this.#multishot || !this.context.postMore(this, fd, flags)) {
        this.finish(fd, flags)
        return
      }
    }
  }
}
