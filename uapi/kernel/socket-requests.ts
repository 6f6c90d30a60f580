import { CLOSE_WAIT, CLOSED, ESTABLISHED, SYN_RECEIVED, SYN_SENT } from '../../stack/tcp/state.ts'
import { IORING_ACCEPT_MULTISHOT } from '../abi/constants.ts'
import { ECONNRESET, EFAULT, EINVAL, ENOTCONN, EPIPE } from '../abi/errno.ts'
import { IORING_CQE_F_SOCK_NONEMPTY } from '../abi/ring.ts'
import { MSG_OOB, MSG_WAITALL, SOCK_NONBLOCK } from '../abi/socket.ts'
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

/** IORING_OP_SEND: completes with the bytes the send buffer took; waits while it takes none. */
export class SendRequest extends SocketRequest {
  readonly #bytes: Uint8Array
  readonly #urgent: boolean
  readonly #all: boolean

  constructor(context: RingContext, sqe: Sqe, socket: Socket, bytes: Uint8Array) {
    super(context, sqe, socket)
    this.#bytes = bytes
    this.#urgent = (sqe.opFlags & MSG_OOB) !== 0
    this.#all = (sqe.opFlags & MSG_WAITALL) !== 0
  }

  protected override queue(): Request[] {
    return this.socket.writers
  }

  override failedWith(res: number): boolean {
    return res < 0 || (this.#all && res < this.#bytes.length)
  }

  override run(): void {
    const { tcb, stack, writeShut } = this.socket
    if (tcb === null || stack === null) {
      this.finish(-ENOTCONN)
      return
    }
    if (tcb.state === CLOSED) {
      // The error that ended the connection once, as sk_stream_error() has it.
      this.finish(-(this.socket.takeError() || EPIPE))
      return
    }
    if (writeShut) {
      this.finish(-EPIPE)
      return
    }
    const opening = tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED
    if (opening && !tcb.fastOpened) return
    if (!opening && tcb.state !== ESTABLISHED && tcb.state !== CLOSE_WAIT) {
      this.finish(-EPIPE)
      return
    }
    // Sends of one socket complete in the order they were submitted in.
    if (this.socket.writers[0] !== this) return
    const taken = stack.tcp.send(tcb, this.#bytes, 0, stack.clock.now(), this.#urgent)
    if (taken > 0 || this.#bytes.length === 0) this.finish(taken)
  }

  override detach(): void {
    super.detach()
    const next = this.socket.writers[0]
    if (next !== undefined) next.context.schedule(next)
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
