import { networkInterfaces } from 'node:os'
import { IpAddress } from '../../../address.ts'
import type { Native } from '../../../driver/native/index.ts'
import { endpointOf, SockaddrIn6 } from '../../abi/sockaddr.ts'

/**
 * Sockets of the kernel by system calls of their own: what io_uring has an opcode for on newer kernels only (bind, listen, socket
 * options, getsockname), and whose a descriptor is.
 */
export class LinuxSockets {
  readonly #native: Native

  constructor(native: Native) {
    this.#native = native
  }

  /** A TCP socket that listens: its descriptor, or minus errno. @param options level, name and value of each */
  listen(
    sockaddr: Uint8Array,
    options: readonly (readonly [number, number, number])[],
    backlog: number,
  ): number {
    scope(sockaddr)
    return this.#native.listenSocket(sockaddr, Uint32Array.from(options.flat()), backlog)
  }

  /** getsockname(2). Returns 0 or minus errno. */
  name(fd: number, sockaddr: Uint8Array): number {
    return Math.min(0, this.#native.socketName(fd, false, sockaddr))
  }

  setOption(fd: number, level: number, name: number, value: Uint8Array): number {
    return this.#native.setSocketOption(fd, level, name, value)
  }

  /** shutdown(2): no entry of a ring, which would look up the number when it may be another socket's. Returns 0 or minus errno. */
  shutdown(fd: number, how: number): number {
    return this.#native.shutdownSocket(fd, how)
  }

  /** An entry of a ring has opened it: it is closed with this thread at the latest. */
  opened(fd: number): void {
    this.#native.adopt(fd)
  }

  /** An entry of a ring is about to close it. */
  closing(fd: number): void {
    this.#native.disown(fd)
  }
}

/** An address of one link only says which that is: the one that has it. */
function scope(sockaddr: Uint8Array): void {
  const { address } = endpointOf(sockaddr) ?? {}
  if (address === undefined || !address.linkLocal || address.version !== 6) return
  for (const one of Object.values(networkInterfaces()).flat()) {
    if (one?.family !== 'IPv6' || IpAddress.parse(one.address)?.equals(address) !== true) continue
    new SockaddrIn6(sockaddr).scopeId = one.scopeid
    return
  }
}
