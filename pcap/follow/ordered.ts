import { seqDiff, seqGt, seqLt } from '../../stack/wire/seq.ts'
import { ACK } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import { Heap } from './heap.ts'

/** Takes what an `OrderedStream` puts in order. `bytes` is the caller's and valid during the call only. */
export interface StreamTaker {
  data(bytes: Uint8Array, at: number, length: number): void
  /** Bytes the receiver acknowledged and the capture does not have. */
  missing(length: number): void
  /** Bytes that were on the wire, but cut off when it was captured; or that were acknowledged, and nothing follows them. */
  cut(length: number): void
}

/** Numbers further ahead than this are nonsense. */
const BELIEVABLE = 2 ** 30

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
  /** The first and the highest acknowledgement of the receiver's. */
  #ackFirst = 0
  #acked = 0
  #ackKnown = false
  #finAt = 0
  #finKnown = false
  /** Behind the last number that was sent. */
  #reach = 0

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
    this.next = this.#reach = seq
    this.begun = true
  }

  /** Everything in front of its FIN was put in order, or found missing. */
  get finished(): boolean {
    return this.#finKnown && this.next === this.#finAt
  }

  /** The receiver has acknowledged something. */
  get acknowledges(): boolean {
    return this.#ackKnown
  }

  /** Whether its receiver may expect what has this number next: it has acknowledged what is in front, or that is all there is. */
  isNext(seq: number): boolean {
    if (this.begun && (seq === this.next || seq === this.#reach)) return true
    return this.#ackKnown && seq === this.#acked
  }

  /** The sender's numbers begin later than had been believed: what is known, and what waits, counts from there. */
  shift(by: number): void {
    this.next = (this.next + by) | 0
    this.#reach = (this.#reach + by) | 0
    for (const piece of this.#ahead) piece.seq = (piece.seq + by) | 0
  }

  /**
   * Payload of a segment: `length` bytes on the wire from `seq` on, of which the first `captured` lie at `bytes[at]`.
   */
  segment(seq: number, bytes: Uint8Array, at: number, captured: number, length: number): void {
    const ahead = seqDiff(seq, this.next)
    this.#reached((seq + length) | 0)
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

  /** The sender has ended the stream behind `at`. */
  fin(at: number): void {
    this.#finAt = at
    this.#finKnown = true
    this.#reached((at + 1) | 0)
  }

  /** Whether `ack` says more than the capture has of the stream: then much depends on it. */
  isBeyond(ack: number): boolean {
    return this.begun ? seqGt(ack, this.next) : this.#ackKnown && seqGt(ack, this.#acked)
  }

  /** The receiver has everything in front of `ack`. @param sound it is believed also where nothing follows */
  acknowledged(ack: number, sound = true): void {
    if (sound) this.#noteAck(ack)
    if (!this.begun) return
    while (this.#ahead.size > 0 && seqGt(ack, this.#ahead.peek().seq)) this.#leap()
  }

  /**
   * Nothing more comes: pieces behind holes that nobody acknowledged are given up, and what was acknowledged behind the last
   * byte is missing: not before, since it may come late. Returns how many bytes stay behind that were sent and not acknowledged; a FIN counts as one.
   */
  end(): number {
    let behind = 0
    while (this.#ahead.size > 0) {
      const piece = this.#ahead.pop()
      behind += piece.bytes.length
      this.#budget.held -= piece.bytes.length + PIECE_OVERHEAD
    }
    if (this.#ackKnown) {
      const from = this.begun ? this.next : this.#ackFirst
      const to = this.#finKnown && seqGt(this.#acked, this.#finAt) ? this.#finAt : this.#acked
      const ahead = seqDiff(to, from)
      if (isAhead(ahead)) {
        this.next = to
        this.#taker.cut(ahead)
      }
    }
    const finBehind = this.#finKnown && this.begun && isAhead(seqDiff(this.#finAt, this.next))
    return finBehind ? behind + 1 : behind
  }

  #noteAck(ack: number): void {
    if (!this.#ackKnown) {
      this.#ackKnown = true
      this.#ackFirst = this.#acked = ack
      return
    }
    const ahead = seqDiff(ack, this.#acked)
    if (ahead > 0 && ahead < BELIEVABLE) this.#acked = ack
  }

  #reached(seq: number): void {
    if (seqGt(seq, this.#reach)) this.#reach = seq
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

function isAhead(distance: number): boolean {
  return distance > 0 && distance < BELIEVABLE
}

/**
 * Whether a captured RST, whose checksum is right, has ended the connection: a host challenges one that is not exactly what
 * it expects next (RFC 5961 section 3.2). Who has not sent anything refuses what it acknowledges.
 * @param sender what the RST's sender has sent @param receiver what the other end has
 */
export function isReset(segment: SegmentDecoder, sender: OrderedStream, receiver: OrderedStream): boolean {
  const { flags, seq, ack } = segment
  if (sender.isNext(seq)) return true
  if (sender.begun) return false
  if ((flags & ACK) === 0) return !sender.acknowledges
  return !receiver.begun || receiver.isNext(ack)
}
