/** Selectively acknowledged (RFC 2018): the peer holds it. */
export const SACKED = 1
/** Taken for lost. */
export const LOST = 2
/** Sent again since it was taken for lost, and that copy may still be in the network. */
export const RESENT = 4
/** Was ever sent more than once: its round trip can't be told (Karn). */
export const EVER_RESENT = 8

/** Told of every segment found delivered; see `Rack`. */
export interface DeliveryWatch {
  delivered(sentAt: number, end: number, everResent: boolean, now: number): void
}

/**
 * The scoreboard: segments sent and not yet acknowledged, in the order of their sequence numbers, with when each was last
 * sent and what became of it. A ring of plain arrays; a second order, by time of the last transmission, is a linked list
 * over the same slots, so that loss detection (RFC 8985) touches only segments it has something to say about.
 *
 * A FIN takes one sequence number at the end of the last segment, as on the wire.
 */
export class Flight {
  /** First and one past the last sequence number of the segment in a slot. */
  seq: Int32Array
  end: Int32Array
  /** Microseconds. */
  sentAt: Float64Array
  flags: Uint8Array
  /** Neighbours in time order, -1 at the ends. Sacked segments, and lost ones not resent, are on no list. */
  #later: Int32Array
  #earlier: Int32Array
  /** Slot sent longest ago, -1 when the list is empty. */
  oldest = -1
  #newest = -1
  #first = 0
  count = 0
  /** Sums over the segments: what the peer holds, what is lost and not delivered since, what of that was sent again. */
  sackedBytes = 0
  sackedCount = 0
  lostBytes = 0
  resentBytes = 0
  /** Position before which no segment waits to be sent again. */
  #lostFrom = 0
  /** Bytes found delivered since `begin`. */
  delivered = 0
  /** Something was found to be lost that was not known to be. */
  newlyLost = false
  /** When the earliest segment among these was sent that was never resent; -1 when there was none. */
  timedAt = -1
  /** A segment among those acknowledged had been resent: round trips of others that waited for it mean nothing. */
  ambiguous = false
  /** Blocks of the previous ACK: what they say is known. */
  readonly #known = new Int32Array(8)
  #knownBlocks = 0

  constructor(capacity = 16) {
    this.seq = new Int32Array(capacity)
    this.end = new Int32Array(capacity)
    this.sentAt = new Float64Array(capacity)
    this.flags = new Uint8Array(capacity)
    this.#later = new Int32Array(capacity)
    this.#earlier = new Int32Array(capacity)
  }

  /** Slot of the segment at a position, 0 = the lowest sequence number. */
  slot(position: number): number {
    return (this.#first + position) & (this.seq.length - 1)
  }

  /** Bytes thought to be in the network (RFC 6675 pipe). */
  get pipe(): number {
    if (this.count === 0) return 0
    const outstanding = (this.end[this.slot(this.count - 1)]! - this.seq[this.#first]!) | 0
    return outstanding - this.sackedBytes - this.lostBytes + this.resentBytes
  }

  /** Notes a segment sent for the first time, directly behind the last one. */
  push(seq: number, end: number, now: number): void {
    if (this.count === this.seq.length) this.#grow()
    const slot = this.slot(this.count++)
    this.seq[slot] = seq
    this.end[slot] = end
    this.flags[slot] = 0
    this.#touch(slot, now)
  }

  /** Notes that a segment was sent again. */
  resent(slot: number, now: number): void {
    const flags = this.flags[slot]!
    if ((flags & LOST) !== 0 && (flags & RESENT) === 0) this.resentBytes += this.#bytes(slot)
    else this.#unlink(slot)
    this.flags[slot] = flags | EVER_RESENT | ((flags & LOST) !== 0 ? RESENT : 0)
    this.#touch(slot, now)
  }

  /** Takes a segment for lost: it waits to be sent again. */
  lose(slot: number): void {
    const flags = this.flags[slot]!
    if ((flags & SACKED) !== 0) return
    const bytes = this.#bytes(slot)
    if ((flags & (LOST | RESENT)) !== LOST) this.newlyLost = true
    if ((flags & LOST) === 0) {
      this.lostBytes += bytes
      this.#unlink(slot)
    } else if ((flags & RESENT) !== 0) {
      this.resentBytes -= bytes
      this.#unlink(slot)
    }
    this.flags[slot] = (flags | LOST) & ~RESENT
    const position = (slot - this.#first) & (this.seq.length - 1)
    if (position < this.#lostFrom) this.#lostFrom = position
  }

  /** The lowest lost segment not yet sent again, -1 when none waits. */
  nextLost(): number {
    if (this.lostBytes === this.resentBytes) return -1
    for (let i = this.#lostFrom; i < this.count; i++) {
      const slot = this.slot(i)
      if ((this.flags[slot]! & (LOST | RESENT | SACKED)) === LOST) {
        this.#lostFrom = i
        return slot
      }
    }
    return -1
  }

  /** Slot sent next after `slot` in time, -1 at the end. */
  later(slot: number): number {
    return this.#later[slot]!
  }

  /** Begins to count what an ACK delivers. */
  begin(): void {
    this.delivered = 0
    this.newlyLost = false
    this.timedAt = -1
    this.ambiguous = false
  }

  /** Takes back that anything is lost: the segments were only late. */
  unlose(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.slot(i)
      const flags = this.flags[slot]!
      if ((flags & LOST) !== 0) this.flags[slot] = flags & ~(LOST | RESENT)
    }
    this.#relink()
    this.lostBytes = 0
    this.resentBytes = 0
    this.#lostFrom = 0
  }

  /** Removes what lies below `una`. */
  acknowledge(una: number, watch: DeliveryWatch, now: number): void {
    while (this.count > 0) {
      const slot = this.#first
      if (((this.end[slot]! - una) | 0) > 0) {
        this.#trim(slot, una)
        break
      }
      const flags = this.flags[slot]!
      const bytes = this.#bytes(slot)
      if ((flags & SACKED) !== 0) {
        this.sackedBytes -= bytes
        this.sackedCount--
      } else {
        this.delivered += bytes
        if ((flags & LOST) !== 0) this.lostBytes -= bytes
        if ((flags & RESENT) !== 0) this.resentBytes -= bytes
        if ((flags & LOST) === 0 || (flags & RESENT) !== 0) this.#unlink(slot)
        this.#time(flags, slot)
        watch.delivered(this.sentAt[slot]!, this.end[slot]!, (flags & EVER_RESENT) !== 0, now)
      }
      this.#first = (this.#first + 1) & (this.seq.length - 1)
      this.count--
      if (this.#lostFrom > 0) this.#lostFrom--
    }
    if (this.count === 0) {
      this.#lostFrom = 0
      this.#knownBlocks = 0
    }
  }

  /** Marks what a SACK block covers whole. What the previous ACK said already is skipped. */
  sack(start: number, end: number, watch: DeliveryWatch, now: number): void {
    for (let i = 0; i < this.#knownBlocks; i++) {
      const knownStart = this.#known[2 * i]!
      const knownEnd = this.#known[2 * i + 1]!
      if (((knownStart - start) | 0) >= 0 && ((end - knownEnd) | 0) >= 0) {
        this.#mark(start, knownStart, watch, now)
        this.#mark(knownEnd, end, watch, now)
        return
      }
    }
    this.#mark(start, end, watch, now)
  }

  /** Remembers the blocks of this ACK for the next. */
  know(edges: Int32Array, blocks: number): void {
    this.#knownBlocks = Math.min(4, blocks)
    for (let i = 0; i < 2 * this.#knownBlocks; i++) this.#known[i] = edges[i]!
  }

  /** The peer has thrown away what it had selectively acknowledged (RFC 2018 section 8): nothing is sacked any more. */
  renege(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.slot(i)
      this.flags[slot]! &= ~SACKED
    }
    this.#relink()
    this.sackedBytes = 0
    this.sackedCount = 0
    this.#knownBlocks = 0
  }

  /** Forgets everything. */
  clear(): void {
    this.count = 0
    this.#first = 0
    this.oldest = -1
    this.#newest = -1
    this.sackedBytes = this.sackedCount = this.lostBytes = this.resentBytes = 0
    this.#lostFrom = 0
    this.#knownBlocks = 0
    this.begin()
  }

  /** Position of the first segment that begins at or after `seq`. */
  position(seq: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (((this.seq[this.slot(middle)]! - seq) | 0) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #mark(start: number, end: number, watch: DeliveryWatch, now: number): void {
    for (let i = this.position(start); i < this.count; i++) {
      const slot = this.slot(i)
      if (((this.end[slot]! - end) | 0) > 0) return
      const flags = this.flags[slot]!
      if ((flags & SACKED) !== 0) continue
      const bytes = this.#bytes(slot)
      if ((flags & LOST) !== 0) this.lostBytes -= bytes
      if ((flags & RESENT) !== 0) this.resentBytes -= bytes
      if ((flags & LOST) === 0 || (flags & RESENT) !== 0) this.#unlink(slot)
      this.flags[slot] = (flags & EVER_RESENT) | SACKED
      this.sackedBytes += bytes
      this.sackedCount++
      this.delivered += bytes
      this.#time(flags, slot)
      watch.delivered(this.sentAt[slot]!, this.end[slot]!, (flags & EVER_RESENT) !== 0, now)
    }
  }

  /** The front of a segment was acknowledged. */
  #trim(slot: number, una: number): void {
    const bytes = (una - this.seq[slot]!) | 0
    if (bytes <= 0) return
    const flags = this.flags[slot]!
    this.seq[slot] = una
    if ((flags & SACKED) !== 0) this.sackedBytes -= bytes
    else this.delivered += bytes
    if ((flags & LOST) !== 0) this.lostBytes -= bytes
    if ((flags & RESENT) !== 0) this.resentBytes -= bytes
  }

  #time(flags: number, slot: number): void {
    if ((flags & EVER_RESENT) !== 0) this.ambiguous = true
    else if (this.timedAt < 0 || this.sentAt[slot]! < this.timedAt) this.timedAt = this.sentAt[slot]!
  }

  #bytes(slot: number): number {
    return (this.end[slot]! - this.seq[slot]!) | 0
  }

  /** Puts a slot at the end of the time order. */
  #touch(slot: number, now: number): void {
    this.sentAt[slot] = now
    this.#later[slot] = -1
    this.#earlier[slot] = this.#newest
    if (this.#newest >= 0) this.#later[this.#newest] = slot
    else this.oldest = slot
    this.#newest = slot
  }

  /** Makes the time order anew, after segments that had left it came back. */
  #relink(): void {
    const slots: number[] = []
    for (let i = 0; i < this.count; i++) {
      const slot = this.slot(i)
      const flags = this.flags[slot]!
      if ((flags & SACKED) === 0 && ((flags & LOST) === 0 || (flags & RESENT) !== 0)) slots.push(slot)
    }
    // Equal times keep the order of sequence numbers.
    slots.sort((a, b) => this.sentAt[a]! - this.sentAt[b]!)
    this.oldest = -1
    this.#newest = -1
    for (const slot of slots) this.#touch(slot, this.sentAt[slot]!)
  }

  #unlink(slot: number): void {
    const later = this.#later[slot]!
    const earlier = this.#earlier[slot]!
    if (earlier >= 0) this.#later[earlier] = later
    else this.oldest = later
    if (later >= 0) this.#earlier[later] = earlier
    else this.#newest = earlier
  }

  #grow(): void {
    const size = this.seq.length * 2
    const seq = new Int32Array(size)
    const end = new Int32Array(size)
    const sentAt = new Float64Array(size)
    const flags = new Uint8Array(size)
    for (let i = 0; i < this.count; i++) {
      const slot = this.slot(i)
      seq[i] = this.seq[slot]!
      end[i] = this.end[slot]!
      sentAt[i] = this.sentAt[slot]!
      flags[i] = this.flags[slot]!
    }
    this.seq = seq
    this.end = end
    this.sentAt = sentAt
    this.flags = flags
    this.#later = new Int32Array(size)
    this.#earlier = new Int32Array(size)
    this.#first = 0
    this.#relink()
  }
}
