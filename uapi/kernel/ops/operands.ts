import { EBADF, EFAULT, EINVAL, ENOTSOCK, EPROTONOSUPPORT } from '../../abi/errno.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { OpenFile } from '../files.ts'
import type { RingPort } from '../port.ts'
import { Socket } from '../socket.ts'
import { reply } from './reply.ts'

/** Largest sockaddr there is. */
const SOCKADDR_BYTES = 128

/** What an entry works on; null when its descriptor names nothing, and then it has been answered. */
export function fileOf(context: RingPort, sqe: Sqe): OpenFile | null {
  const file = context.fileOf(sqe)
  if (file === null) reply(context, sqe, -EBADF)
  return file
}

/** The socket that an entry works on; null when it names none of ours, and then it has been answered. */
export function socketOf(context: RingPort, sqe: Sqe): Socket | null {
  const file = context.fileOf(sqe)
  if (file instanceof Socket) return file
  if (file === null) reply(context, sqe, -EBADF)
  // Sockets of other protocols receive nothing here (docs/conformance.md, V5).
  else reply(context, sqe, file.isSocket === true ? -EPROTONOSUPPORT : -ENOTSOCK)
  return null
}

/** What an entry sends; null when it is not memory. No bytes are read where there are none, so no address is needed. */
export function bytesOf(context: RingPort, sqe: Sqe): Uint8Array | null {
  return sqe.len === 0 ? new Uint8Array(0) : context.space.view(sqe.addr, sqe.len)
}

/** 0, or EFAULT where not all of it is memory. */
export function readable(context: RingPort, address: number, length: number): number {
  return context.space.view(address, length) === null ? -EFAULT : 0
}

/** Checks an entry that has a sockaddr and its length, and nothing else: 0 or minus errno. */
export function checkSockaddr(context: RingPort, sqe: Sqe): number {
  if (sqe.len !== 0 || sqe.bufGroup !== 0 || sqe.opFlags !== 0 || sqe.fileIndex !== 0) return -EINVAL
  if (sqe.off > SOCKADDR_BYTES) return -EINVAL
  return readable(context, sqe.addr, sqe.off)
}
