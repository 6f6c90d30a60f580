import { CLOSED, SYN_RECEIVED } from '../../../stack/tcp/state.ts'
import { seqDiff } from '../../../stack/wire/seq.ts'
import { EINVAL, EOPNOTSUPP } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { OpenFile } from '../files.ts'
import type { RingPort } from '../port.ts'
import { Socket } from '../socket.ts'
import { socketName } from '../socket-name.ts'
import { socketOption } from '../socket-options.ts'
import { Op } from './op.ts'
import { fileOf } from './operands.ts'
import { reply } from './reply.ts'

export const uringCmd: Op = new Op({
  code: abi.IORING_OP_URING_CMD,
  bufferSelect: true,
  iopoll: true,
  prepare,
  start,
})

function prepare(_context: RingPort, sqe: Sqe): number {
  // The word behind the command's number (`__pad1`) belongs to nobody.
  if ((sqe.opFlags & ~abi.IORING_URING_CMD_FIXED) !== 0) return -EINVAL
  return (sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0 || sqe.offHigh !== 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const file = fileOf(context, sqe)
  if (file !== null) reply(context, sqe, command(context, sqe, file))
}

/** Sockets alone have commands. */
function command(context: RingPort, sqe: Sqe, file: OpenFile): number {
  return file instanceof Socket ? socketCommand(context, sqe, file) : -EOPNOTSUPP
}

function socketCommand({ space, kernel }: RingPort, sqe: Sqe, socket: Socket): number {
  switch (sqe.cmdOp) {
    case abi.SOCKET_URING_OP_SIOCINQ:
      if (socket.listener !== null) return -EINVAL
      return Math.min(socket.tcb?.rcv.queuedBytes ?? 0, socket.untilUrgent())
    case abi.SOCKET_URING_OP_SIOCOUTQ:
      return socket.listener === null ? unacknowledged(socket) : -EINVAL
    case abi.SOCKET_URING_OP_GETSOCKOPT:
    case abi.SOCKET_URING_OP_SETSOCKOPT:
      return socketOption(space, sqe, socket, kernel.readsEveryLevel)
    case abi.SOCKET_URING_OP_GETSOCKNAME:
      return socketName(space, sqe, socket)
    default:
      return -EOPNOTSUPP
  }
}

/** Bytes given to SEND that the peer has not acknowledged; a FIN counts as one, as on Linux. */
function unacknowledged(socket: Socket): number {
  const { tcb } = socket
  if (tcb === null || tcb.state === CLOSED || tcb.state < SYN_RECEIVED) return 0
  const flight = seqDiff(tcb.snd.max, tcb.snd.una)
  return Math.max(tcb.snd.buffered, flight)
}
