import type { IpAddress } from '../../address.ts'
import type { Segment } from './segment.ts'
import type { SocketOptions } from './socket-options.ts'
import { Listener } from './tcb.ts'

/** What a larger backlog is cut to, one below 0 too (Linux `net.core.somaxconn`). */
const SOMAXCONN = 4096

/** The backlog that listen(2) makes of its argument. */
export function backlogOf(asked: number): number {
  return Math.min(asked >>> 0, SOMAXCONN)
}

/** The passive opens of a stack, by port. */
export class Listeners {
  readonly #byPort = new Map<number, Listener[]>()

  /** @param address see `Listener` @param backlog as of listen(2): one more may wait. Null when the port is taken. */
  add(address: IpAddress | null, port: number, backlog: number, options: SocketOptions): Listener | null {
    const taken = this.#byPort.get(port) ?? []
    if (taken.some((other) => other.conflicts(address, options.v6Only))) return null
    const listener = new Listener(address, port, backlogOf(backlog), options)
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
