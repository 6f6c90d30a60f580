import { ArgumentError } from '../errors.ts'

/** An address of which a queue is to get frames. */
export interface FlowAddress {
  /** Network order, 4 or 16 bytes. */
  readonly bytes: Uint8Array
  /** How often it was claimed; more than 0: everything to it. */
  claims: number
  /** TCP ports steered, and how often each. */
  readonly ports: Map<number, number>
}

/** What `Steering.steer` and `Steering.claim` have asked for, each as often as it was asked for. */
export class Flows {
  readonly #addresses = new Map<string, FlowAddress>()

  /** Addresses of which anything is wanted. */
  get addresses(): Iterable<FlowAddress> {
    return this.#addresses.values()
  }

  /** Whether everything to the address is wanted. */
  claimed(address: Uint8Array): boolean {
    return (this.#addresses.get(keyOf(address))?.claims ?? 0) > 0
  }

  /** Whether TCP to this port of the address was steered. */
  steered(address: Uint8Array, port: number): boolean {
    return this.#addresses.get(keyOf(address))?.ports.has(port) === true
  }

  /** @param port 0 claims the whole address. Returns whether that is news. */
  add(address: Uint8Array, port: number): boolean {
    const key = keyOf(checkAddress(address))
    let entry = this.#addresses.get(key)
    if (entry === undefined) {
      entry = { bytes: address.slice(), claims: 0, ports: new Map() }
      this.#addresses.set(key, entry)
    }
    if (port === 0) return ++entry.claims === 1
    const times = (entry.ports.get(port) ?? 0) + 1
    entry.ports.set(port, times)
    return times === 1
  }

  /** Undoes one `add`. Returns whether that was the last of its kind. */
  remove(address: Uint8Array, port: number): boolean {
    const key = keyOf(address)
    const entry = this.#addresses.get(key)
    if (entry === undefined) return false
    let last: boolean
    if (port === 0) {
      if (entry.claims === 0) return false
      last = --entry.claims === 0
    } else {
      const times = entry.ports.get(port) ?? 0
      if (times === 0) return false
      last = times === 1
      if (last) entry.ports.delete(port)
      else entry.ports.set(port, times - 1)
    }
    if (entry.claims === 0 && entry.ports.size === 0) this.#addresses.delete(key)
    return last
  }
}

/** @throws ArgumentError unless it is a TCP port */
export function checkPort(port: number): number {
  if (Number.isInteger(port) && port > 0 && port < 65536) return port
  throw new ArgumentError(`${port} is not a TCP port`)
}

/** @throws ArgumentError unless it is an address in network order */
export function checkAddress(address: Uint8Array): Uint8Array {
  if (address.length === 4 || address.length === 16) return address
  throw new ArgumentError(`an address has 4 or 16 bytes, not ${address.length}`)
}

function keyOf(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString('hex')
}
