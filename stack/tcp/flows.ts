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

/** Slots of a part at first, and at the most. */
const FIRST_SLOTS = 64
const MOST_SLOTS = 1024
/** Hash bits that choose a part, at the most; a part that they can't divide any further grows. */
const MOST_DEPTH = 22

/** Connections whose hashes begin with the same `depth` bits: open addressing by the last ones, at most half full. */
class FlowPart {
  slots: (Tcb | null)[]
  mask: number
  count = 0
  readonly depth: number

  constructor(slots: number, depth: number) {
    this.slots = new Array(slots).fill(null)
    this.mask = slots - 1
    this.depth = depth
  }

  put(tcb: Tcb, hash: number): void {
    let at = hash & this.mask
    while (this.slots[at] !== null) at = (at + 1) & this.mask
    this.slots[at] = tcb
    this.count++
  }
}

/**
 * Connections by (local address, local port, remote address, remote port): open addressing with linear probing, deletion by shifting back,
 * so that a lookup touches one or two words and removal leaves no tombstones. In parts that are divided one by one (extendible hashing: Fagin
 * et al. 1979), so that nobody waits while a hundred thousand connections find new places.
 */
export class FlowTable {
  /** By the first `#depth` bits of a hash; a part of less depth is there several times. */
  #parts: FlowPart[] = [new FlowPart(FIRST_SLOTS, 0)]
  #depth = 0
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
    const hash = this.#hash(local, remote, ports)
    const { slots, mask } = this.#partOf(hash)
    let at = hash & mask
    for (;;) {
      const tcb = slots[at]!
      if (tcb === null) return null
      if (matches(tcb, segment)) {
        this.#last = tcb
        return tcb
      }
      at = (at + 1) & mask
    }
  }

  /** The connection between two endpoints. */
  get(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Tcb | null {
    const hash = this.#hashOf(local, localPort, remote, remotePort)
    const { slots, mask } = this.#partOf(hash)
    let at = hash & mask
    for (;;) {
      const tcb = slots[at]!
      if (tcb === null) return null
      if (
        tcb.remotePort === remotePort &&
        tcb.localPort === localPort &&
        tcb.remote.equals(remote) &&
        tcb.local.equals(local)
      ) {
        return tcb
      }
      at = (at + 1) & mask
    }
  }

  add(tcb: Tcb): void {
    const hash = this.#of(tcb)
    let part = this.#partOf(hash)
    while ((part.count + 1) * 2 > part.slots.length) {
      if (part.slots.length < MOST_SLOTS || part.depth === MOST_DEPTH) this.#grow(part)
      else this.#divide(part, hash)
      part = this.#partOf(hash)
    }
    part.put(tcb, hash)
    this.#count++
  }

  remove(tcb: Tcb): void {
    const hash = this.#of(tcb)
    const part = this.#partOf(hash)
    const { slots, mask } = part
    let hole = hash & mask
    while (slots[hole] !== tcb) {
      if (slots[hole] === null) return
      hole = (hole + 1) & mask
    }
    if (this.#last === tcb) this.#last = null
    part.count--
    this.#count--
    this.rows.remove(tcb)
    let at = hole
    for (;;) {
      at = (at + 1) & mask
      const next = slots[at]!
      if (next === null) break
      // An entry may move into the hole unless its home lies behind it.
      if (((at - this.#of(next)) & mask) >= ((at - hole) & mask)) {
        slots[hole] = next
        hole = at
      }
    }
    slots[hole] = null
  }

  /** Every connection, in no order. */
  *[Symbol.iterator](): IterableIterator<Tcb> {
    const parts = new Set(this.#parts)
    for (const { slots } of parts) for (const tcb of slots) if (tcb !== null) yield tcb
  }

  #partOf(hash: number): FlowPart {
    return this.#parts[this.#placeOf(hash)]!
  }

  /** Where in `#parts`. */
  #placeOf(hash: number): number {
    // In two steps, as a shift by 32 is none.
    return (hash >>> 1) >>> (31 - this.#depth)
  }

  #of(tcb: Tcb): number {
    return this.#hashOf(tcb.local, tcb.localPort, tcb.remote, tcb.remotePort)
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

  #grow(part: FlowPart): void {
    const old = part.slots
    part.slots = new Array(old.length * 2).fill(null)
    part.mask = part.slots.length - 1
    part.count = 0
    for (const tcb of old) if (tcb !== null) part.put(tcb, this.#of(tcb))
  }

  /** Puts two in the place of a part, by one more bit of the hashes. @param hash of one in it */
  #divide(part: FlowPart, hash: number): void {
    if (part.depth === this.#depth) {
      this.#parts = this.#parts.flatMap((one) => [one, one])
      this.#depth++
    }
    const depth = part.depth + 1
    const low = new FlowPart(part.slots.length, depth)
    const high = new FlowPart(part.slots.length, depth)
    for (const tcb of part.slots) {
      if (tcb === null) continue
      const its = this.#of(tcb)
      ;(((its >>> (32 - depth)) & 1) === 0 ? low : high).put(tcb, its)
    }
    const each = 1 << (this.#depth - depth)
    const first = this.#placeOf(hash) & ~(2 * each - 1)
    this.#parts.fill(low, first, first + each)
    this.#parts.fill(high, first + each, first + 2 * each)
  }
}
