import { NicError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import { ERRNO, inNamespace, systemFailure } from '../system.ts'
import { type Guard, portKey, portTaken } from './guard.ts'

/**
 * A listening socket of the kernel for each port, which drops every segment by a filter: the kernel finds whose the segment
 * is, and so neither resets nor answers it. Taps (AF_PACKET) and raw sockets see the segment before.
 *
 * Against a firewall rule this needs no privilege, nothing is left when the process ends however it ends, a port that a
 * service of the host has is refused, and no service can take the port meanwhile.
 */
export class DeafSockets implements Guard {
  readonly #native: Native
  readonly #device: string
  readonly #ifIndex: number
  readonly #netns: string | undefined
  readonly #shared: boolean
  readonly #sockets = new Map<string, number>()

  /** @param ifIndex of link-local addresses @param shared other queues of this user may hold the same port */
  constructor(native: Native, device: string, ifIndex: number, netns: string | undefined, shared: boolean) {
    this.#native = native
    this.#device = device
    this.#ifIndex = ifIndex
    this.#netns = netns
    this.#shared = shared
  }

  hold(address: Uint8Array, port: number): void {
    const native = this.#native
    const fd = inNamespace(native, this.#netns, () =>
      native.deafSocket(address, port, this.#ifIndex, this.#shared),
    )
    if (fd === -ERRNO.EADDRINUSE) throw portTaken(address, port, 'take another port', -fd)
    if (fd === -ERRNO.EMFILE || fd === -ERRNO.ENFILE) {
      throw new NicError(
        'ZCRX_NIC_SYSTEM',
        `no descriptor is left for the socket that holds TCP port ${port}`,
        'ulimit -n <more>',
        -fd,
      )
    }
    if (fd < 0) throw systemFailure(fd, `holding TCP port ${port}`, this.#device)
    this.#sockets.set(portKey(address, port), fd)
  }

  release(address: Uint8Array, port: number): void {
    const key = portKey(address, port)
    const fd = this.#sockets.get(key)
    if (fd === undefined) return
    this.#sockets.delete(key)
    this.#native.close(fd)
  }

  close(): void {
    for (const fd of this.#sockets.values()) this.#native.close(fd)
    this.#sockets.clear()
  }
}
