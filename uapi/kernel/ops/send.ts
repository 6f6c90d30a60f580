import type { Stack } from '../../../stack/stack.ts'
import type { Lender } from '../../../stack/tcp/send-buffer.ts'
import { CLOSE_WAIT, CLOSED, ESTABLISHED, SYN_RECEIVED, SYN_SENT } from '../../../stack/tcp/state.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import { EFAULT, EINVAL, ENOBUFS, ENOENT, EPIPE } from '../../abi/errno.ts'
import {
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUF_MORE,
  IORING_CQE_F_BUFFER,
  IORING_OP_SEND,
  IORING_RECVSEND_BUNDLE,
  IORING_RECVSEND_POLL_FIRST,
  IOSQE_BUFFER_SELECT,
} from '../../abi/io-uring.ts'
import { MSG_DONTWAIT, MSG_OOB, MSG_WAITALL } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { type RequestPort, SocketRequest } from '../request.ts'
import type { Socket, WaitQueue } from '../socket.ts'
import { Op } from './op.ts'
import { bytesOf, socketOf } from './operands.ts'
import { begin, reply } from './reply.ts'

export const send: Op = new Op({ code: IORING_OP_SEND, ioprio: true, bufferSelect: true, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  // Without buffers to choose there is nothing to bundle.
  const bundles = (sqe.flags & IOSQE_BUFFER_SELECT) === 0 ? IORING_RECVSEND_BUNDLE : 0
  return (sqe.ioprio & ~(IORING_RECVSEND_POLL_FIRST | bundles)) !== 0 || padded(sqe) ? -EINVAL : 0
}

/** Behind the length of a destination, which connections have no use for, there is nothing. */
export function padded(sqe: Sqe): boolean {
  return sqe.fileIndex >>> 16 !== 0
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  const mayWait = !socket.nonBlocking && (sqe.opFlags & MSG_DONTWAIT) === 0
  if ((sqe.flags & IOSQE_BUFFER_SELECT) !== 0) {
    begin(new SendSelectRequest(context, sqe, socket), mayWait)
    return
  }
  const bytes = bytesOf(context, sqe)
  if (bytes === null) reply(context, sqe, -EFAULT)
  else begin(new SendRequest(context, sqe, socket, bytes), mayWait)
}

/** What sends wait for in common: their turn, and a connection that takes bytes. */
abstract class Sending extends SocketRequest {
  protected readonly urgent: boolean
  /** MSG_WAITALL: it goes on until all bytes are taken. */
  protected readonly all: boolean

  constructor(context: RequestPort, sqe: Sqe, socket: Socket) {
    super(context, sqe, socket)
    this.urgent = (sqe.opFlags & MSG_OOB) !== 0
    this.all = (sqe.opFlags & MSG_WAITALL) !== 0
  }

  protected override get queue(): WaitQueue {
    return 'writers'
  }

  /** The connection takes bytes, and it is this request's turn. */
  protected abstract send(stack: Stack, tcb: Tcb): void

  override run(): void {
    const { tcb, stack, writeShut } = this.socket
    if (tcb === null || stack === null) {
      // Of a socket that was never connected, as of one that is no more.
      this.finish(-EPIPE)
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
    if (this.socket.writers[0] === this) this.send(stack, tcb)
  }

  override detach(): void {
    super.detach()
    this.socket.writers[0]?.wake()
  }
}

/** Without buffer selection: completes with the bytes the send buffer took; waits while it takes none. */
export class SendRequest extends Sending {
  readonly #bytes: Uint8Array
  readonly #length: number
  /** Bytes taken. */
  protected done = 0
  /** Whose the bytes stay until they are acknowledged; without one they are copied. */
  protected readonly lender: Lender | undefined = undefined

  constructor(context: RequestPort, sqe: Sqe, socket: Socket, bytes: Uint8Array) {
    super(context, sqe, socket)
    this.#bytes = bytes
    this.#length = bytes.length
  }

  override failedWith(res: number): boolean {
    return res < 0 || (this.all && res < this.#length)
  }

  protected override send(stack: Stack, tcb: Tcb): void {
    // Detached while it waited.
    if (this.#bytes.length < this.#length) {
      this.finish(-EFAULT)
      return
    }
    const now = stack.clock.now()
    this.done += stack.tcp.send(tcb, this.#bytes, this.done, now, this.urgent, this.lender)
    if (this.done === this.#length || (this.done > 0 && !this.all)) this.finish(this.done)
  }

  /** What was taken is told, whatever keeps the rest from it. */
  override finish(res: number, flags = 0): void {
    super.finish(res < 0 && this.done > 0 ? this.done : res, flags)
  }
}

/** With IOSQE_BUFFER_SELECT: what it sends is the next buffer of a group when it is its turn. */
class SendSelectRequest extends Sending {
  readonly #groupId: number
  readonly #most: number

  constructor(context: RequestPort, sqe: Sqe, socket: Socket) {
    super(context, sqe, socket)
    this.#groupId = sqe.bufGroup
    this.#most = sqe.len
  }

  protected override send(stack: Stack, tcb: Tcb): void {
    const group = this.context.buffers.get(this.#groupId)
    const selection = group?.peek(this.#most) ?? null
    if (group === null) this.finish(-ENOENT)
    else if (selection === null) this.finish(-ENOBUFS)
    else if (selection.bytes === null) this.finish(-EFAULT)
    else {
      const taken = stack.tcp.send(tcb, selection.bytes, 0, stack.clock.now(), this.urgent)
      if (taken === 0 && selection.bytes.length > 0) return
      const id = (selection.id << IORING_CQE_BUFFER_SHIFT) | IORING_CQE_F_BUFFER
      this.finish(taken, group.commit(taken) ? id | IORING_CQE_F_BUF_MORE : id)
    }
  }
}
