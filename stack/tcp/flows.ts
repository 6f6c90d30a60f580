import type { Tcb } from './tcb.ts'

/**
 * Connections by (local address, local port, remote address, remote port): open addressing with linear probing, at most
 * half full, deletion by shifting back, so that a lookup touches one or two words and removal leaves no tombstones.
 */
export class FlowTable {
  #slots: (Tcb | null)[]
  #mask: number
  #count = 0
  /** Secret, so that a peer can't choose ports that collide. */
  readonly #key0: number
  readonly #key1: number
  #last: Tcb | null = null

  constructor(key0: number, key1: number) {
    this.#key0 = key0
    this.#key1 = key1 | 1
    this.#slots = new Array(64).fill(null)
    this.#mask = 63
  }

  get count(): number {
    return this.#count
  }

  find(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): Tcb | null {
    const last = this.#last
    if (
      last !== null &&
      last.remotePort === remotePort &&
      last.remoteAddress === remoteAddress &&
      last.localPort === localPort &&
      last.localAddress === localAddress
    ) {
      return last
    }
    let at = this.#hash(localAddress, localPort, remoteAddress, remotePort) & this.#mask
    for (;;) {
      const tcb = this.#slots[at]!
      if (tcb === null) return null
      if (
        tcb.remotePort === remotePort &&
        tcb.remoteAddress === remoteAddress &&
        tcb.localPort === localPort &&
        tcb.localAddress === localAddress
      ) {
        this.#last = tcb
        return tcb
      }
      at = (at + 1) & this.#mask
    }
  }

  add(tcb: Tcb): void {
    if ((this.#count + 1) * 2 > this.#slots.length) this.#grow()
    this.#place(tcb)
    this.#count++
  }

  remove(tcb: Tcb): void {
    let hole = this.#home(tcb)
    while (this.#slots[hole] !== tcb) {
      if (this.#slots[hole] === null) return
      hole = (hole + 1) & this.#mask
    }
    if (this.#last === tcb) this.#last = null
    this.#count--
    let at = hole
    for (;;) {
      at = (at + 1) & this.#mask
      const next = this.#slots[at]!
      if (next === null) break
      // An entry may move into the hole unless its home lies behind it.
      if (((at - this.#home(next)) & this.#mask) >= ((at - hole) & this.#mask)) {
        this.#slots[hole] = next
        hole = at
      }
    }
    this.#slots[hole] = null
  }

  /** Every connection, in no order. */
  *[Symbol.iterator](): IterableIterator<Tcb> {
    for (const tcb of this.#slots) if (tcb !== null) yield tcb
  }

  #home(tcb: Tcb): number {
    return this.#hash(tcb.localAddress, tcb.localPort, tcb.remoteAddress, tcb.remotePort) & this.#mask
  }

  #hash(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): number {
    let h = Math.imul(remoteAddress ^ this.#key0, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 15)) + ((remotePort << 16) | localPort), this.#key1)
    h = Math.imul((h ^ (h >>> 13)) + localAddress, 0x85ebca6b)
    return h ^ (h >>> 16)
  }

  #place(tcb: Tcb): void {
    let at = this.#home(tcb)
    while (this.#slots[at] !== null) at = (at + 1) & this.#mask
    this.#slots[at] = tcb
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Array(old.length * 2).fill(null)
    this.#mask = this.#slots.length - 1
    for (const tcb of old) if (tcb !== null) this.#place(tcb)
  }
}
