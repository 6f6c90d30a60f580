import { IpAddress } from '../../../address.ts'
import { backlogOf } from '../../../stack/tcp/listeners.ts'
import { EADDRINUSE, EINVAL } from '../../abi/errno.ts'
import { IORING_OP_LISTEN } from '../../abi/io-uring.ts'
import { AF_INET } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { nicErrno } from '../nic-errno.ts'
import type { RingPort } from '../port.ts'
import type { Socket } from '../socket.ts'
import { Op } from './op.ts'
import { socketOf } from './operands.ts'
import { reply } from './reply.ts'

export const listen: Op = new Op({ code: IORING_OP_LISTEN, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  const unused = sqe.addr === 0 && sqe.bufGroup === 0 && sqe.opFlags === 0 && sqe.off === 0
  return unused && sqe.fileIndex === 0 ? 0 : -EINVAL
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket !== null) reply(context, sqe, listenOn(context, sqe, socket))
}

function listenOn(context: RingPort, sqe: Sqe, socket: Socket): number {
  if (socket.tcb !== null) return -EINVAL
  if (socket.listener !== null) {
    // Called again it changes the backlog (listen(2)).
    socket.listener.backlog = backlogOf(sqe.len)
    return 0
  }
  const { ports } = context.kernel
  const any = socket.family === AF_INET ? IpAddress.any4 : IpAddress.any6
  const unbound = socket.bound === null ? ports.bind(socket, any, 0) : 0
  if (unbound < 0) return unbound
  const { bound, stack } = socket
  const listener = stack!.tcp.listen(bound!.address, bound!.port, sqe.len, socket.options)
  if (listener === null) return -EADDRINUSE
  try {
    context.kernel.steer(stack!, bound!.address, listener.port, socket.options.v6Only)
  } catch (error) {
    stack!.tcp.unlisten(listener)
    return nicErrno(context.kernel, error)
  }
  listener.owner = socket
  socket.listener = listener
  return 0
}
