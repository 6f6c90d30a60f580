import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { MOST_ANSWERS, nearestAnswer } from '../pcap/play/answers.ts'
import { seqDiff } from '../stack/wire/seq.ts'

/** What a SYN brings at the most, and what may be acknowledged with it (RFC 7413). */
const LONGEST_SYN = 65_535

/** A segment of its own memory, from its IP header on. */
export class StoredSegment {
  readonly bytes: Uint8Array
  /** Bytes that it had on the wire. */
  readonly wireBytes: number
  readonly fromClient: boolean
  readonly seq: number
  readonly ack: number

  constructor(segment: SegmentDecoder, fromClient: boolean) {
    const { bytes, ipAt, capturedEnd, ipEnd, seq, ack } = segment
    this.bytes = bytes.slice(ipAt, capturedEnd)
    this.wireBytes = ipEnd - ipAt
    this.fromClient = fromClient
    this.seq = seq
    this.ack = ack
  }

  decode(into: SegmentDecoder): void {
    into.decodeIp(this.bytes, 0, this.bytes.length, this.wireBytes)
  }
}

/**
 * How a captured connection began: which of several answers to its SYN the client took shows when it goes on. Servers give
 * several with SYN cookies, behind balancers, or when they have forgotten the first.
 */
export class Handshake {
  /** Kept until the client has gone on. */
  syn: StoredSegment | null = null
  /** It is known which answer counts. */
  settled = false
  readonly #answers: StoredSegment[] = []
  /** The one that is believed to count. */
  #believed: StoredSegment | null = null

  /** There are several. */
  get ambiguous(): boolean {
    return this.#answers.length > 1
  }

  /** A SYN,ACK. True when it is to be played: the first one, or that again. */
  answered(segment: SegmentDecoder): boolean {
    const { seq, ack } = segment
    const { syn } = this
    if (syn !== null) {
      const taken = seqDiff(ack, (syn.seq + 1) | 0)
      // To another SYN.
      if (taken < 0 || taken > LONGEST_SYN) return false
    }
    if (this.#answers.some((known) => known.seq === seq)) return seq === this.#believed!.seq
    if (this.#answers.length === MOST_ANSWERS) return false
    const answer = new StoredSegment(segment, false)
    this.#answers.push(answer)
    if (this.#believed !== null) return false
    this.#believed = answer
    return true
  }

  /**
   * One of the ends goes on from `number` of the server's. Returns the answer that it means when that is another one than was
   * believed.
   */
  settle(number: number): StoredSegment | null {
    const nearest = nearestAnswer(this.#answers, number)
    if (nearest === null && this.#answers.length > 0) return null
    this.settled = true
    const other = nearest === this.#believed ? null : nearest
    this.#believed = nearest
    return other
  }
}
