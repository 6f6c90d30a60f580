import { IpAddress } from '../../address.ts'
import { EAFNOSUPPORT, EFAULT, EINVAL } from '../abi/errno.ts'
import { SockaddrIn, SockaddrIn6 } from '../abi/sockaddr.ts'
import { AF_INET6 } from '../abi/socket.ts'
import type { AddressSpace } from './address-space.ts'

/** Bytes of the `int` that says how long a sockaddr may be, and gets how long it is. */
export const SOCKLEN_BYTES = 4

/** An address and port as BIND and CONNECT give them. */
export interface Endpoint {
  readonly address: IpAddress
  /** Host order. */
  readonly port: number
}

/** Bytes of the sockaddr that sockets of a family speak. */
export function sockaddrBytes(family: number): number {
  return family === AF_INET6 ? SockaddrIn6.SIZE : SockaddrIn.SIZE
}

/** Reads the sockaddr of `length` bytes at a user address, which must be of the socket's family; else a negative errno. */
export function readSockaddr(
  space: AddressSpace,
  family: number,
  address: number,
  length: number,
): Endpoint | number {
  const v6 = family === AF_INET6
  if (length < (v6 ? SockaddrIn6.MIN_SIZE : SockaddrIn.SIZE)) return -EINVAL
  const bytes = space.view(address, Math.min(length, sockaddrBytes(family)))
  if (bytes === null) return -EFAULT
  const sockaddr = v6 ? new SockaddrIn6(bytes) : new SockaddrIn(bytes)
  if (sockaddr.family !== family) return -EAFNOSUPPORT
  const where = sockaddr.address
  return { address: typeof where === 'number' ? IpAddress.v4(where) : where, port: sockaddr.port }
}

/** The sockaddr that a socket of this family tells of an address; an IPv4 one is v4-mapped for AF_INET6. */
export function sockaddrFor(family: number, { address, port }: Endpoint): Uint8Array {
  return family === AF_INET6 ? SockaddrIn6.of(address, port) : SockaddrIn.of(address, port)
}
