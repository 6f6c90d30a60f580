import { CLOSED, ESTABLISHED } from '../../stack/tcp/state.ts'
import { IORING_ACCEPT_MULTISHOT } from '../abi/constants.ts'
import { ECONNRESET, EFAULT, EINVAL } from '../abi/errno.ts'
import { IORING_CQE_F_SOCK_NONEMPTY } from '../abi/ring.ts'
import { SOCK_NONBLOCK } from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { install } from './fixed-files.ts'
import { type Request, SocketRequest } from './request.ts'
import { writeSockaddr } from './sockaddr.ts'
import { Socket } from './socket.ts'

/** IORING_OP_ACCEPT, single or multishot. */
export class AcceptRequest extends SocketRequest {
  readonly #multishot: boolean
  readonly #nonBlocking: boolean
  readonly #sockaddr: Uint8Array | null
  readonly #fileIndex: number

  constructor(context: RingContext, sqe: Sqe, socket: Socket, sockaddr: Uint8Array | null) {
    super(context, sqe, socket)
    this.#fileIndex = sqe.fileIndex
    this.#multishot = (sqe.ioprio & IORING_ACCEPT_MULTISHOT) !== 0
    this.#sockaddr = sockaddr
    this.#nonBlocking = (sqe.opFlags & SOCK_NONBLOCK) !== 0
  }

  protected override queue(): Request[] {
    return this.socket.acceptors
  }

  override detach(): void {
    const { acceptors, listener } = this.socket
    super.detach()
    // Several connections may have come with one event.
    const next = acceptors[0]
    if (next !== undefined && listener !== null && listener.ready.length > 0) next.context.schedule(next)
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
      socket.nonBlocking = this.#nonBlocking
      const fd = install(this.context, socket, this.#fileIndex)
      if (fd < 0) {
        this.finish(fd)
        return
      }
      if (this.#sockaddr !== null) writeSockaddr(this.#sockaddr, socket.family, tcb.remote, tcb.remotePort)
      const flags = listener.ready.length > 0 ? IORING_CQE_F_SOCK_NONEMPTY : 0
      if (!this.#multishot || !this.context.postMore(this, fd, flags)) {
        this.finish(fd, flags)
        return
      }
    }
  }
}

/** IORING_OP_CONNECT. */
export class ConnectRequest extends SocketRequest {
  protected override queue(): Request[] {
    return this.socket.connectors
  }

  override run(): void {
    const { tcb } = this.socket
    if (tcb === null) this.finish(-EFAULT)
    else if (tcb.state === CLOSED) {
      this.socket.errorReported = true
      this.finish(-(tcb.error || ECONNRESET))
    } else if (tcb.state >= ESTABLISHED) this.finish(0)
  }
}
