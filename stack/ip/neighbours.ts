import { get16, get32 } from '../wire/bytes.ts'
import type { IpAddress } from './address.ts'

/** What is known of one neighbour. */
export class Neighbour {
  readonly address: IpAddress
  /** Hardware address, first two and last four bytes; valid with `known`. */
  macHigh = 0
  macLow = 0
  known = false
  /** An answer is awaited. */
  asked = false
  /** Microseconds. */
  askedAt = Number.NEGATIVE_INFINITY

  constructor(address: IpAddress) {
    this.address = address
  }
}

/** Hardware addresses of neighbours (RFC 826), bounded; the oldest entry goes first. */
export class Neighbours {
  readonly #table = new Map<number | string, Neighbour>()
  readonly #limit: number

  constructor(limit = 1024) {
    this.#limit = limit
  }

  /** The neighbour whose hardware address is known, else null. */
  lookup(address: IpAddress): Neighbour | null {
    const entry = this.#table.get(keyOf(address))
    return entry?.known === true ? entry : null
  }

  /**
   * Notes what a neighbour said of itself, six bytes. Returns its entry when that is news, or was asked for, else null.
   * `create` false only updates.
   */
  learn(address: IpAddress, mac: Uint8Array, create: boolean): Neighbour | null {
    let entry = this.#table.get(keyOf(address))
    if (entry === undefined) {
      if (!create) return null
      entry = this.#make(address)
    }
    const high = get16(mac, 0)
    const low = get32(mac, 2)
    const news = entry.asked || !entry.known || entry.macHigh !== high || entry.macLow !== low
    entry.macHigh = high
    entry.macLow = low
    entry.known = true
    entry.asked = false
    return news ? entry : null
  }

  /** Whether a request for the address may be sent at `now` (microseconds): at most one a second (RFC 1122 2.3.2.1). */
  mayAsk(address: IpAddress, now: number): boolean {
    const entry = this.#table.get(keyOf(address)) ?? this.#make(address)
    if (now - entry.askedAt < 1_000_000) return false
    entry.askedAt = now
    entry.asked = true
    return true
  }

  #make(address: IpAddress): Neighbour {
    if (this.#table.size >= this.#limit) {
      for (const oldest of this.#table.keys()) {
        this.#table.delete(oldest)
        break
      }
    }
    const entry = new Neighbour(address)
    this.#table.set(keyOf(address), entry)
    return entry
  }
}

function keyOf(address: IpAddress): number | string {
  return address.version === 4 ? address.w3 : address.toString()
}
