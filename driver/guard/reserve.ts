import { NicError } from '../../errors.ts'
import { loadNative, type Native } from '../native/index.ts'
import { ERRNO, inNamespace, systemFailure } from '../system.ts'
import { type Guard, portKey, portTaken, textOf } from './guard.ts'
import { isListening } from './listening.ts'

/** A port that this thread holds, and for how many. */
interface Reservation {
  readonly fd: number
  holders: number
}

/** Queues of an interface have stacks of their own, which listen on the same port: they hold it together. */
const reservations = new Map<string, Reservation>()

/**
 * Sockets of the kernel that are bound to the ports and do not listen, for ways in that take the segments away from the
 * kernel: there is nothing to silence, but a port that a service of the host has is refused, and no service can take it
 * meanwhile.
 */
export class ReservedPorts implements Guard {
  readonly #native: Native
  readonly #device: string
  readonly #ifIndex: number
  readonly #netns: string | undefined
  readonly #shared: boolean
  readonly #held = new Set<string>()

  /**
   * @param ifIndex of link-local addresses @param netns see `PacketNicOptions` @param shared a queue of another thread may have the
   *   port already @throws NicError without the addon
   */
  constructor(device: string, ifIndex: number, netns: string | undefined, shared: boolean) {
    this.#native = loadNative()
    this.#shared = shared
    this.#device = device
    this.#ifIndex = ifIndex
    this.#netns = netns
  }

  hold(address: Uint8Array, port: number): void {
    const key = this.#key(address, port)
    if (this.#held.has(key)) return
    let reservation = reservations.get(key)
    if (reservation === undefined) {
      const native = this.#native
      const fd = inNamespace(native, this.#netns, () => native.reservePort(address, port, this.#ifIndex))
      if (fd === -ERRNO.EADDRINUSE && this.#shared) return
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
      reservation = { fd, holders: 0 }
      reservations.set(key, reservation)
    }
    reservation.holders += 1
    this.#held.add(key)
  }

  release(address: Uint8Array, port: number): void {
    this.#release(this.#key(address, port))
  }

  close(): void {
    for (const key of this.#held) this.#release(key)
  }

  #key(address: Uint8Array, port: number): string {
    return `${this.#netns ?? ''} ${this.#ifIndex} ${portKey(address, port)}`
  }

  #release(key: string): void {
    const reservation = reservations.get(key)
    if (reservation === undefined || !this.#held.delete(key)) return
    reservation.holders -= 1
    if (reservation.holders > 0) return
    reservations.delete(key)
    this.#native.close(reservation.fd)
  }
}
