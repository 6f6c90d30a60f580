import type { IpAddress } from '../../address.ts'

interface Entry {
  readonly mtu: number
  /** Microseconds. */
  readonly until: number
}

/** Path MTUs that ICMP told of, by destination; bounded, and forgotten in time, as paths change (RFC 1191 6.3, RFC 8201 5.3). */
export class PathMtus {
  readonly #table = new Map<string, Entry>()
  readonly #limit: number
  readonly #lifeUs: number

  constructor(limit: number, lifeUs: number) {
    this.#limit = limit
    this.#lifeUs = lifeUs
  }

  /** The path MTU to an address, Infinity when none is known. @param now microseconds */
  get(address: IpAddress, now: number): number {
    if (this.#table.size === 0) return Number.POSITIVE_INFINITY
    const key = address.toString()
    const entry = this.#table.get(key)
    if (entry === undefined) return Number.POSITIVE_INFINITY
    if (entry.until > now) return entry.mtu
    this.#table.delete(key)
    return Number.POSITIVE_INFINITY
  }

  /** Notes a path MTU; the oldest entry makes room. */
  set(address: IpAddress, mtu: number, now: number): void {
    const key = address.toString()
    this.#table.delete(key)
    if (this.#table.size >= this.#limit) {
      for (const oldest of this.#table.keys()) {
        this.#table.delete(oldest)
        break
      }
    }
    this.#table.set(key, { mtu, until: now + this.#lifeUs })
  }
}
