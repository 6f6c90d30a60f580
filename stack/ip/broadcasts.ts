import type { IpAddress } from '../../address.ts'

/** An address and how many bits of it all hosts of its network share. */
interface Prefixed {
  readonly address: IpAddress
  readonly prefixLength: number
}

/** The broadcast addresses of the networks that our addresses are on: nobody's own (RFC 1122 3.2.1.3, RFC 9293 MUST-46, MUST-63). */
export class Broadcasts {
  readonly #given = new Map<string, number>()
  #host: readonly number[] = []
  #all: readonly number[] = []

  /** One of our addresses, with the prefix of its network. */
  set(address: IpAddress, prefixLength: number): void {
    const broadcast = broadcastOf({ address, prefixLength })
    if (broadcast === null) this.#given.delete(address.toString())
    else this.#given.set(address.toString(), broadcast)
    this.#merge()
  }

  forget(address: IpAddress): void {
    if (this.#given.delete(address.toString())) this.#merge()
  }

  /** Those that the host's kernel has on the interface, in the place of those before. */
  setHost(addresses: readonly Prefixed[]): void {
    this.#host = addresses.flatMap((address) => broadcastOf(address) ?? [])
    this.#merge()
  }

  /** @param address an IPv4 address as an integer */
  has(address: number): boolean {
    return this.#all.length > 0 && this.#all.includes(address | 0)
  }

  #merge(): void {
    this.#all = [...this.#given.values(), ...this.#host]
  }
}

/** RFC 3021: networks of 31 bits have none. */
function broadcastOf({ address, prefixLength }: Prefixed): number | null {
  if (address.version !== 4 || prefixLength < 1 || prefixLength > 30) return null
  return address.w3 | (-1 >>> prefixLength)
}
