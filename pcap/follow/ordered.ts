import { seqDiff, seqGt, seqLt } from '../../stack/wire/seq.ts'
import { Heap } from './heap.ts'

/** Takes what an `OrderedStream` puts in order. `bytes` is the caller's and valid during the call only. */
export interface StreamTaker {
  data(bytes: Uint8Array, at: number, length: number): void
  /** Bytes the receiver acknowledged and the capture does not have. */
  missing(length: number): void
  /** Bytes that were on the wire, but cut off when it was captured. */
  cut(length: number): void
}

/** What all streams of a capture together may hold. */
export class HeldBytes {
  held = 0
  readonly limit: number

  /** @param limit bytes */
  constructor(limit: number) {
    this.limit = limit
  }
}

/** A segment that came before what it follows. */
class Piece {
  readonly number: number
  seq: number
  readonly bytes: Uint8Array

  constructor(number: number, seq: number, bytes: Uint8Array) {
    this.number = number
    this.seq = seq
    this.bytes = bytes
  }
}

function begunEarlier(a: Piece, b: Piece): boolean {
  return seqLt(a.seq, b.seq)
}

function arrivedEarlier(a: Piece, b: Piece): boolean {
  return a.number < b.number
}

/** Of streams that had nothing out of order yet. */
const NOTHING = new Heap<Piece>(begunEarlier)

/** For a piece in memory that its heap knows of as well. */
const PIECE_OVERHEAD = 128

/**
 * One direction of a conversation put in order, without an endpoint: what came first counts, as in Wireshark's "follow TCP
 * stream", and what lies behind a hole waits until the hole is filled or the receiver acknowledges bytes behind it.
 */
export class OrderedStream {
  /** The next sequence number; meaningful once `begun`. */
  next = 0
  begun = false
  /** Times that pieces had to be let through because too much was held. */
  forced = 0
  readonly #taker: StreamTaker
  readonly #budget: HeldBytes
  /** What lies behind a hole, by where it begins. */
  #ahead: Heap<Piece> = NOTHING
  /** What may be taken now, by arrival. */
  #due: Heap<Piece> = NOTHING
  #kept = 0

  constructor(taker: StreamTaker, budget: HeldBytes) {
    this.#taker = taker
    this.#budget = budget
  }

  /** Pieces that wait behind a hole. */
  get waiting(): number {
    return this.#ahead.size
  }

  /** The first segment, or any one before `begun`, says where the stream begins. */
  begin(seq: number): void {
    this.next = seq
    this.begun = true
  }

  /** The sender's numbers begin later than had been believed: what is known, and what waits, counts from there. */
  shift(by: number): void {
    this.next = (this.next + by) | 0
    for (const piece of this.#ahead) piece.seq = (piece.seq + by) | 0
  }

  /**
   * Payload of a segment: `length` bytes on the wire from `seq` on, of which the first `captured` lie at `bytes[at]`.
   */
  segment(seq: number, bytes: Uint8Array, at: number, captured: number, length: number): void {
    const ahead = seqDiff(seq, this.next)
    if (ahead > 0) {
      if (captured > 0) this.#keep(seq, bytes.slice(at, at + captured))
      return
    }
    const skip = -ahead
    // What is new of it was not captured: another copy of it may be.
    if (captured <= skip) return
    this.#take(bytes, at + skip, captured - skip, length - skip)
    if (this.#ahead.size > 0) this.#drain()
  }

  /** The receiver has everything in front of `ack`. */
  acknowledged(ack: number): void {
    while (this.#ahead.size > 0 && seqGt(ack, this.#ahead.peek().seq)) this.#leap()
  }

  /** Nothing more comes: pieces behind holes that nobody acknowledged are given up. Returns their bytes. */
  end(): number {
    let bytes = 0
    while (this.#ahead.size > 0) {
      const piece = this.#ahead.pop()
      bytes += piece.bytes.length
      this.#budget.held -= piece.bytes.length + PIECE_OVERHEAD
    }
    return bytes
  }

  #take(bytes: Uint8Array, at: number, captured: number, length: number): void {
    this.next = (this.next + length) | 0
    if (captured > 0) this.#taker.data(bytes, at, captured)
    if (length > captured) this.#taker.cut(length - captured)
  }

  #keep(seq: number, bytes: Uint8Array): void {
    const budget = this.#budget
    if (this.#ahead === NOTHING) {
      this.#ahead = new Heap(begunEarlier)
      this.#due = new Heap(arrivedEarlier)
    }
    this.#ahead.push(new Piece(this.#kept++, seq, bytes))
    budget.held += bytes.length + PIECE_OVERHEAD
    while (budget.held > budget.limit && this.#ahead.size > 0) {
      this.forced++
      this.#leap()
    }
  }

  /** Goes on behind the hole. */
  #leap(): void {
    const { seq } = this.#ahead.peek()
    this.#taker.missing(seqDiff(seq, this.next))
    this.next = seq
    this.#drain()
  }

  /** Takes every piece that follows now, those that arrived first before others. */
  #drain(): void {
    const ahead = this.#ahead
    const due = this.#due
    for (;;) {
      while (ahead.size > 0 && seqDiff(ahead.peek().seq, this.next) <= 0) due.push(ahead.pop())
      if (due.size === 0) return
      const piece = due.pop()
      this.#budget.held -= piece.bytes.length + PIECE_OVERHEAD
      const skip = seqDiff(this.next, piece.seq)
      const rest = piece.bytes.length - skip
      if (rest > 0) this.#take(piece.bytes, skip, rest, rest)
    }
  }
}
