import type { Lender } from '../../../stack/tcp/send-buffer.ts'
import { EBADF, EFAULT, EINVAL, ENOTSOCK } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import { MSG_DONTWAIT } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { OWED } from '../ledger.ts'
import type { RingPort } from '../port.ts'
import type { RequestPort } from '../request.ts'
import { Socket } from '../socket.ts'
import { Op } from './op.ts'
import { bytesOf } from './operands.ts'
import { begin, ImmediateRequest } from './reply.ts'
import { padded, SendRequest } from './send.ts'

export const sendZc: Op = new Op({ code: abi.IORING_OP_SEND_ZC, ioprio: true, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  if (sqe.pad2 !== 0 || sqe.addr3 !== 0 || (sqe.flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0) return -EINVAL
  const known =
    abi.IORING_RECVSEND_POLL_FIRST | abi.IORING_RECVSEND_FIXED_BUF | abi.IORING_SEND_ZC_REPORT_USAGE
  return (sqe.ioprio & ~known) !== 0 || padded(sqe) ? -EINVAL : 0
}

/** Errors, too, are followed by the notification. */
function start(context: RingPort, sqe: Sqe): void {
  const file = context.fileOf(sqe)
  // There are no registered buffers.
  const fixed = (sqe.ioprio & abi.IORING_RECVSEND_FIXED_BUF) !== 0
  const bytes = fixed ? null : bytesOf(context, sqe)
  if (file instanceof Socket && bytes !== null) {
    const mayWait = !file.nonBlocking && (sqe.opFlags & MSG_DONTWAIT) === 0
    begin(new SendZcRequest(context, sqe, file, bytes), mayWait)
    return
  }
  let error = EFAULT
  if (!(file instanceof Socket)) error = file === null ? EBADF : ENOTSOCK
  const request = new ImmediateRequest(context, sqe)
  context.complete(request, -error, abi.IORING_CQE_F_MORE)
  context.postLater(request, noticeOf(reports(sqe), true), abi.IORING_CQE_F_NOTIF)
}

/**
 * A SEND whose bytes stay the application's: the connection sends from where they lie, and a notification tells when they are not needed
 * any more, the last of them having been acknowledged. Few are copied all the same, and then that is at once.
 */
class SendZcRequest extends SendRequest implements Lender {
  protected override readonly lender: Lender | undefined
  readonly #reports: boolean
  /** Pieces that the connection has. */
  #out = 0
  #lentBytes = 0
  /** Its first completion is posted: letting go of the socket in front of that may end the connection, and bring all pieces back. */
  #completed = false

  constructor(context: RequestPort, sqe: Sqe, socket: Socket, bytes: Uint8Array) {
    super(context, sqe, socket, bytes)
    this.lender = context.keeper.full ? undefined : this
    this.#reports = reports(sqe)
  }

  lent(bytes: number): void {
    this.#lentBytes += bytes
    if (this.#out++ === 0) this.context.keeper.add(1)
  }

  returned(): void {
    if (--this.#out > 0) return
    this.context.keeper.remove(1)
    if (this.#completed) this.#notify()
  }

  override finish(res: number): void {
    if (this.finished) return
    super.finish(res, abi.IORING_CQE_F_MORE)
    this.#completed = true
    if (this.#out === 0) this.#notify()
    else this.slot = this.context.ledger?.enter(this.userDataLow, this.userDataHigh, OWED) ?? -1
  }

  #notify(): void {
    const copied = this.#lentBytes === 0 || this.#lentBytes < this.done
    if (this.slot >= 0) this.context.ledger?.leave(this.slot)
    this.slot = -1
    this.context.postLater(this, noticeOf(this.#reports, copied), abi.IORING_CQE_F_NOTIF)
  }
}

function reports(sqe: Sqe): boolean {
  return (sqe.ioprio & abi.IORING_SEND_ZC_REPORT_USAGE) !== 0
}

/** `res` of a notification. */
function noticeOf(reports: boolean, copied: boolean): number {
  return reports && copied ? abi.IORING_NOTIF_USAGE_ZC_COPIED : 0
}
