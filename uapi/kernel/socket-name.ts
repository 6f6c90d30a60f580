import { IpAddress } from '../../address.ts'
import { CLOSED, SYN_SENT, TIME_WAIT } from '../../stack/tcp/state.ts'
import { EFAULT, EINVAL, ENOTCONN } from '../abi/errno.ts'
import { AF_INET6 } from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { AddressSpace } from './address-space.ts'
import { type Endpoint, SOCKLEN_BYTES, sockaddrFor } from './sockaddr.ts'
import type { Socket } from './socket.ts'

/**
 * SOCKET_URING_OP_GETSOCKNAME: getsockname(2), or with `optlen` 1 getpeername(2). `addr` is where the sockaddr goes, cut to
 * the length that `addr3` points to; its whole length is written there, before the sockaddr is. 0 or minus errno, in the
 * order of Linux's `io_uring_cmd_getsockname`, `inet_getname` and `move_addr_to_user`.
 */
export function socketName(space: AddressSpace, sqe: Sqe, socket: Socket): number {
  if (sqe.ioprio !== 0 || sqe.offHigh !== 0 || sqe.len !== 0 || sqe.opFlags !== 0) return -EINVAL
  if (sqe.optlen > 1) return -EINVAL
  const name = sqe.optlen === 1 ? peerOf(socket) : localOf(socket)
  if (name === null) return -ENOTCONN
  const there = space.view(sqe.addr3, SOCKLEN_BYTES)
  if (there === null) return -EFAULT
  const length = new DataView(there.buffer, there.byteOffset, SOCKLEN_BYTES)
  const room = length.getInt32(0, true)
  if (room < 0) return -EINVAL
  if (!space.isWritable(there)) return -EFAULT
  const whole = sockaddrFor(socket.family, name)
  length.setInt32(0, whole.length, true)
  const most = Math.min(room, whole.length)
  if (most === 0) return 0
  const into = space.writable(sqe.addr, most)
  if (into === null) return -EFAULT
  into.set(whole.subarray(0, most))
  return 0
}

/** Of a connection its own address, else what the socket is bound to; address and port 0 where it is neither. */
function localOf({ tcb, bound, family }: Socket): Endpoint {
  if (tcb !== null) return { address: tcb.local, port: tcb.localPort }
  return bound ?? { address: family === AF_INET6 ? IpAddress.any6 : IpAddress.any4, port: 0 }
}

/** Null without a connection. To who holds the socket one in TIME-WAIT has ended, as on Linux. */
function peerOf({ tcb }: Socket): Endpoint | null {
  if (tcb === null || tcb.state === CLOSED || tcb.state === SYN_SENT || tcb.state === TIME_WAIT) return null
  return { address: tcb.remote, port: tcb.remotePort }
}
