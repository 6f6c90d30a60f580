import { SYN_RECEIVED, SYN_SENT, TIME_WAIT } from '../../../stack/tcp/state.ts'
import { EINVAL, ENOTCONN } from '../../abi/errno.ts'
import { IORING_OP_SHUTDOWN } from '../../abi/io-uring.ts'
import { SHUT_RD, SHUT_RDWR, SHUT_WR } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import type { Socket } from '../socket.ts'
import { Op } from './op.ts'
import { socketOf } from './operands.ts'
import { reply } from './reply.ts'

export const shutdown: Op = new Op({ code: IORING_OP_SHUTDOWN, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  const unused = sqe.off === 0 && sqe.addr === 0 && sqe.opFlags === 0 && sqe.bufGroup === 0
  return unused && sqe.fileIndex === 0 ? 0 : -EINVAL
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  const result = shut(socket, sqe.len)
  // Whether or not there was anything to shut.
  if (result !== -EINVAL) for (const poller of socket.pollers) poller.wake()
  reply(context, sqe, result)
}

function shut(socket: Socket, how: number): number {
  const { tcb, stack } = socket
  if (how > SHUT_RDWR) return -EINVAL
  if (tcb !== null && stack !== null && tcb.state === SYN_SENT) {
    // Linux gives the attempt up.
    stack.tcp.abort(tcb)
    return 0
  }
  if (socket.listener !== null) {
    // One that reads no more listens no more.
    if (how !== SHUT_WR) socket.stopListening()
    return 0
  }
  if (tcb === null || stack === null || tcb.state < SYN_RECEIVED || tcb.state === TIME_WAIT) return -ENOTCONN
  if (how !== SHUT_WR) {
    socket.readShut = true
    stack.tcp.shutdownReceive(tcb)
    for (const reader of [...socket.readers]) reader.wake()
  }
  if (how !== SHUT_RD) {
    socket.writeShut = true
    stack.tcp.shutdownSend(tcb, stack.clock.now())
  }
  return 0
}
