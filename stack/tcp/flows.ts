import type { IpAddress } from '../../address.ts'
import { FlowRows } from './rows.ts'
import type { Segment } from './segment.ts'
import type { Tcb } from './tcb.ts'

/** Ports and last words differ first, whatever the family. */
function matches(tcb: Tcb, segment: Segment): boolean {
  if (tcb.remotePort !== segment.sourcePort || tcb.localPort !== segment.destinationPort) return false
  const { local, remote } = tcb
  return (
    remote.w3 === segment.source3 &&
    local.w3 === segment.destination3 &&
    remote.w2 === segment.source2 &&
    local.w2 === segment.destination2 &&
    remote.w1 === segment.source1 &&
    local.w1 === segment.destination1 &&
    remote.w0 === segment.source0 &&
    local.w0 === segment.destination0
  )
}

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
  /** Those that bring bulk data. */
  readonly rows: FlowRows

  constructor(key0: number, key1: number) {
    this.rows = new FlowRows(key0, key1)
    this.#key0 = key0
    this.#key1 = key1 | 1
    this.#slots = new Array(64).fill(null)
    this.#mask = 63
  }

  get count(): number {
    return this.#count
  }

  /** The connection a segment belongs to. */
  find(segment: Segment): Tcb | null {
    const last = this.#last
    if (last !== null && matches(last, segment)) return last
    const ports = (segment.sourcePort << 16) | segment.destinationPort
    let remote = segment.source3
    let local = segment.destination3
    if (segment.version === 6) {
      remote = this.#foldWords(segment.source0, segment.source1, segment.source2, remote)
      local = this.#foldWords(segment.destination0, segment.destination1, segment.destination2, local)
    }
    let at = this.#hash(local, remote, ports) & this.#mask
    for (;;) {
      const tcb = this.#slots[at]!
      if (tcb === null) return null
      if (matches(tcb, segment)) {
        this.#last = tcb
        return tcb
      }
      at = (at + 1) & this.#mask
    }
  }

  /** The connection between two endpoints. */
  get(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Tcb | null {
    let at = this.#hashOf(local, localPort, remote, remotePort) & this.#mask
    for (;;) {
      const tcb = this.#slots[at]!
      if (tcb === null) return null
      if (
        tcb.remotePort === remotePort &&
        tcb.localPort === localPort &&
        tcb.remote.equals(remote) &&
        tcb.local.equals(local)
      ) {
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
    this.rows.remove(tcb)
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
    return this.#hashOf(tcb.local, tcb.localPort, tcb.remote, tcb.remotePort) & this.#mask
  }

  #hashOf(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): number {
    const ports = (remotePort << 16) | localPort
    if (local.version === 4) return this.#hash(local.w3, remote.w3, ports)
    return this.#hash(
      this.#foldWords(local.w0, local.w1, local.w2, local.w3),
      this.#foldWords(remote.w0, remote.w1, remote.w2, remote.w3),
      ports,
    )
  }

  #hash(local: number, remote: number, ports: number): number {
    let h = Math.imul(remote ^ this.#key0, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 15)) + ports, this.#key1)
    h = Math.imul((h ^ (h >>> 13)) + local, 0x85ebca6b)
    return h ^ (h >>> 16)
  }

  /** Four words of an IPv6 address as one: keyed at every step, as a peer chooses many of their bits. */
  #foldWords(w0: number, w1: number, w2: number, w3: number): number {
    let h = Math.imul(w0 ^ this.#key0, this.#key1)
    h = Math.imul((h ^ (h >>> 15)) + w1, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 13)) + (w2 ^ this.#key0), this.#key1)
    h = Math.imul((h ^ (h >>> 15)) + w3, 0x85ebca6b)
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
