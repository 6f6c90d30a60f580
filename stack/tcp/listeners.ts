import type { IpAddress } from '../ip/address.ts'
import type { Segment } from './segment.ts'
import type { SocketOptions } from './socket-options.ts'
import { Listener } from './tcb.ts'

/** The passive opens of a stack, by port. */
export class Listeners {
  readonly #byPort = new Map<number, Listener[]>()

  /** @param address see `Listener`. Null when the port is taken. */
  add(address: IpAddress | null, port: number, backlog: number, options: SocketOptions): Listener | null {
    const taken = this.#byPort.get(port) ?? []
    if (taken.some((other) => other.conflicts(address, options.v6Only))) return null
    const listener = new Listener(address, port, Math.max(1, backlog), options)
    this.#byPort.set(port, [...taken, listener])
    return listener
  }

  remove(listener: Listener): void {
    listener.closed = true
    const others = (this.#byPort.get(listener.port) ?? []).filter((other) => other !== listener)
    if (others.length === 0) this.#byPort.delete(listener.port)
    else this.#byPort.set(listener.port, others)
  }

  /** Whether anybody listens on the port, at whatever address. */
  uses(port: number): boolean {
    return this.#byPort.has(port)
  }

  /** Who takes a SYN like this; null when nobody does. */
  find(segment: Segment): Listener | null {
    const candidates = this.#byPort.get(segment.destinationPort)
    if (candidates === undefined) return null
    for (const listener of candidates) if (listener.accepts(segment)) return listener
    return null
  }
}
