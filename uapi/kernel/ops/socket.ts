import { EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '../../abi/errno.ts'
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
/** There are no types from this one on (SOCK_MAX). */
const SOCK_TYPES = 11
/** Datagrams and raw packets: types that the families have, and nothing here serves. */
const UNSERVED_TYPES = [2, 3]
/** IPPROTO_MAX */
const PROTOCOLS = 263

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
  const type = sqe.off & SOCK_TYPE_MASK
  if (type >= SOCK_TYPES || sqe.len >= PROTOCOLS) return -EINVAL
  if (UNSERVED_TYPES.includes(type)) return -EPROTONOSUPPORT
  if (type !== SOCK_STREAM) return -ESOCKTNOSUPPORT
  if (sqe.len !== 0 && sqe.len !== IPPROTO_TCP) return -EPROTONOSUPPORT
  return install(context, new Socket(context.kernel, sqe.fd), sqe.fileIndex)
}
