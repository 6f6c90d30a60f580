import { EINVAL } from '../../abi/errno.ts'
import { IORING_OP_BIND } from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { readSockaddr } from '../sockaddr.ts'
import type { Socket } from '../socket.ts'
import { Op } from './op.ts'
import { checkSockaddr, socketOf } from './operands.ts'
import { reply } from './reply.ts'

export const bind: Op = new Op({ code: IORING_OP_BIND, prepare: checkSockaddr, start })

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket !== null) reply(context, sqe, bindTo(context, sqe, socket))
}

function bindTo(context: RingPort, sqe: Sqe, socket: Socket): number {
  const sockaddr = readSockaddr(context.space, socket.family, sqe.addr, sqe.off)
  if (typeof sockaddr === 'number') return sockaddr
  if (socket.bound !== null || socket.tcb !== null) return -EINVAL
  if (socket.options.v6Only && sockaddr.address.version === 4) return -EINVAL
  return context.kernel.ports.bind(socket, sockaddr.address, sockaddr.port)
}
