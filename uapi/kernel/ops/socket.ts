import { EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT } from '../../abi/errno.ts'
import { IPPROTO_TCP } from '../../abi/in.ts'
import { IORING_OP_SOCKET } from '../../abi/io-uring.ts'
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { install } from '../fixed-files.ts'
import type { RingPort } from '../port.ts'
import { Socket } from '../socket.ts'
import { Op } from './op.ts'
import { reply } from './reply.ts'

const SOCK_TYPE_MASK = 0xf

export const socket: Op = new Op({ code: IORING_OP_SOCKET, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  if (sqe.addr !== 0 || sqe.opFlags !== 0 || sqe.bufGroup !== 0) return -EINVAL
  const flags = sqe.off & ~SOCK_TYPE_MASK
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL
  return sqe.fileIndex !== 0 && (flags & SOCK_CLOEXEC) !== 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  reply(context, sqe, open(context, sqe))
}

function open(context: RingPort, sqe: Sqe): number {
  if (sqe.fd !== AF_INET && sqe.fd !== AF_INET6) return -EAFNOSUPPORT
  if ((sqe.off & SOCK_TYPE_MASK) !== SOCK_STREAM) return -EPROTONOSUPPORT
  if (sqe.len !== 0 && sqe.len !== IPPROTO_TCP) return -EPROTONOSUPPORT
  const made = new Socket(context.kernel, sqe.fd)
  made.nonBlocking = (sqe.off & SOCK_NONBLOCK) !== 0
  return install(context, made, sqe.fileIndex)
}
