import { NicError } from '../../errors.ts'
import { loadNative, type Native } from '../native/index.ts'
import { ERRNO, inNamespace, systemFailure } from '../system.ts'
import { type Guard, portKey, portTaken, textOf } from './guard.ts'
import { isListening } from './listening.ts'

/**
 * Sockets of the kernel that are bound to the ports and do not listen, for ways in that take the segments away from the
 * kernel: there is nothing to silence, but a port that a service of the host has is refused, and no service can take it
 * meanwhile. Queues of one interface have stacks of their own, which listen on the same port: those of this process hold it
 * together, in whatever threads they are, until the last lets go.
 */
export class ReservedPorts implements Guard {
  readonly #native: Native
  readonly #device: string
  readonly #ifIndex: number
  readonly #netns: string | undefined
  readonly #sockets = new Map<string, number>()

  /** @param ifIndex of `device` @param netns see `PacketNicOptions` @throws NicError without the addon */
  constructor(device: string, ifIndex: number, netns: string | undefined) {
    this.#native = loadNative()
    this.#device = device
    this.#ifIndex = ifIndex
    this.#netns = netns
  }

  hold(address: Uint8Array, port: number): void {
    const native = this.#native
    const key = portKey(address, port)
    if (this.#sockets.has(key)) return
    const fd = inNamespace(native, this.#netns, () => native.reservePort(address, port, this.#ifIndex))
    // Ports below 1024 take a capability that AF_XDP does not: who has the port can be looked up, and may take it later.
    const unheld = fd === -ERRNO.EACCES
    if (unheld && !inNamespace(native, this.#netns, () => isListening(address, port))) return
    if (fd === -ERRNO.EADDRINUSE || unheld)
      throw portTaken(address, port, 'take another port, or this one from it: takeOver (--take-over)', -fd)
    if (fd === -ERRNO.EADDRNOTAVAIL) {
      throw new NicError(
        'ZCRX_NIC_SYSTEM',
        `${textOf(address)} is no address of this host any more`,
        'look at its addresses: ip address',
        -fd,
      )
    }
    if (fd < 0) throw systemFailure(fd, `reserving TCP port ${port}`, this.#device)
    this.#sockets.set(key, fd)
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
