/** Hardware addresses of neighbours (RFC 826), bounded; the oldest entry goes first. */
export class Neighbours {
  readonly #table = new Map<
    number,
    { readonly mac: Uint8Array; askedAt: number; known: boolean; asked: boolean }
  >()
  readonly #limit: number

  constructor(limit = 1024) {
    this.#limit = limit
  }

  /** Copies the address to `mac` and returns true when it is known. */
  lookup(address: number, mac: Uint8Array): boolean {
    const entry = this.#table.get(address)
    if (entry === undefined || !entry.known) return false
    mac.set(entry.mac)
    return true
  }

  /** Notes what a neighbour said of itself. Returns true when that is news, or was asked for. `create` false only updates. */
  learn(address: number, mac: Uint8Array, create: boolean): boolean {
    const entry = this.#table.get(address)
    if (entry === undefined) {
      if (!create) return false
      this.#make(address).mac.set(mac)
      this.#table.get(address)!.known = true
      return true
    }
    const news = entry.asked || !entry.known || entry.mac.some((byte, i) => byte !== mac[i])
    entry.mac.set(mac)
    entry.known = true
    entry.asked = false
    return news
  }

  /** Whether a request for the address may be sent at `now` (microseconds): at most one a second (RFC 1122 2.3.2.1). */
  mayAsk(address: number, now: number): boolean {
    const entry = this.#table.get(address) ?? this.#make(address)
    if (now - entry.askedAt < 1_000_000) return false
    entry.askedAt = now
    entry.asked = true
    return true
  }

  #make(address: number): { mac: Uint8Array; askedAt: number; known: boolean; asked: boolean } {
    if (this.#table.size >= this.#limit) {
      for (const oldest of this.#table.keys()) {
        this.#table.delete(oldest)
        break
      }
    }
    const entry = { mac: new Uint8Array(6), askedAt: Number.NEGATIVE_INFINITY, known: false, asked: false }
    this.#table.set(address, entry)
    return entry
  }
}
