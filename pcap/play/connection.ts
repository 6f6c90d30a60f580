import { seqDiff } from '../../stack/wire/seq.ts'
import { FIN } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import type { Answer } from './answers.ts'
import type { Refused } from './numbers.ts'

/** Acknowledgements further ahead than this are nonsense, and are played as nonsense. */
const BELIEVABLE = 2 ** 30

/** A segment that waits until the stack takes it. */
export interface HeldSegment {
  /** A whole Ethernet frame, of its own memory. */
  readonly frame: Uint8Array
  /** Where its IP header begins. */
  readonly ipAt: number
  readonly flags: number
  /** Of what has not been played of it: first sequence number, and the one behind the last, FIN included. */
  seq: number
  readonly end: number
  /** Bytes of payload that have been played. */
  from: number
  /** It was played before, and is as the stack is to see it. */
  readonly again?: boolean
}

/** A captured connection to an address of the stack's: the client's segments are played, the stack is in the server's place. */
export class PlayedConnection {
  /** The peer's address and port, and ours. */
  readonly words: Int32Array
  readonly ports: number
  /** Next in its hash chain. */
  next: PlayedConnection | null = null
  /** The peer's initial sequence number: another SYN begins another connection. */
  readonly iss: number
  /** The SYN as a frame, with its options: also what frames in the peer's name are made like. */
  readonly syn: Uint8Array
  readonly ipAt: number
  /** The SYN has gone to the stack; not before it is known which options the captured server took up. */
  begun = false
  /** The stack has answered it. */
  open = false
  /** Nothing more is played: it was reset, given up, or another one took its place. */
  over = false
  refused: Refused = { timestamps: false, sack: false, windowScale: false }
  /** The captured server's answers to the SYN, each number once. */
  readonly answers: Answer[] = []
  /** A SYN of the same ends that nobody has taken up, while this one is alive. */
  stray: PlayedConnection | null = null
  /** Data of the SYN, played behind the handshake: the stack has no cookie to recognise (RFC 7413). */
  synPayload: Uint8Array | null = null
  /**
   * The first `inOrder` as they were captured, from before the stack has answered; then in order of sequence numbers, so that
   * what does not fit stands in front of what fits even less.
   */
  held: HeldSegment[] = []
  inOrder = 0
  /** The stack said something since `held` was looked through. */
  dirty = false
  /** When the stack last moved on, or a segment was held; milliseconds of `performance.now`. */
  movedAt = 0

  // What the captured server had said.
  theirIss = 0
  theirIssKnown = false

  // What the stack has said.
  ourIss = 0
  /** Behind the last sequence number it has used. */
  ourMax = 0
  /** What it has acknowledged, and behind the last byte that it takes. */
  acked = 0
  edge = 0
  /** The host has slept since what was acknowledged last. */
  quiet = false
  /** It has ended its side. */
  finSent = false
  /** Its window scale, -1 = none was agreed upon. */
  shift = -1
  timestamps = false
  tsValOurs = 0

  // What the peer has said to the stack.
  /** Behind the last sequence number played. */
  playedMax = 0
  /** Behind the last sequence number captured so far. */
  seenMax = 0
  /** The stack has not acknowledged everything that was played. */
  unsettled = false
  /** The highest acknowledgement played. */
  ackPlayed = 0
  finPlayed = false
  #tsMax = 0
  #tsKnown = false

  constructor(words: Int32Array, ports: number, iss: number, syn: Uint8Array, ipAt: number) {
    this.words = words
    this.ports = ports
    this.iss = iss
    this.syn = syn
    this.ipAt = ipAt
    this.playedMax = this.seenMax = (iss + 1) | 0
    this.acked = this.edge = (iss + 1) | 0
  }

  /** What the peer acknowledges, of what the stack has sent: never what it has not sent yet. */
  ack(captured: number): number {
    if (!this.theirIssKnown || !this.open) return captured
    const ahead = seqDiff(captured, this.theirIss)
    const sent = seqDiff(this.ourMax, this.ourIss)
    if (ahead > sent && ahead < BELIEVABLE) return this.ourMax
    return (this.ourIss + ahead) | 0
  }

  knows(captured: number): boolean {
    if (!this.theirIssKnown) return false
    const ahead = seqDiff(captured, this.theirIss)
    return ahead >= 0 && ahead <= seqDiff(this.ourMax, this.ourIss)
  }

  /** RFC 7323 section 5: what waited while later segments were played must not look older than they. */
  tsVal(captured: number): number {
    if (!this.#tsKnown || seqDiff(captured, this.#tsMax) > 0) {
      this.#tsKnown = true
      this.#tsMax = captured
    }
    return this.#tsMax
  }

  get lastTsVal(): number {
    return this.#tsMax
  }

  tsEcr(captured: number): number {
    return this.open ? this.tsValOurs : captured
  }

  /** Keeps a segment until it can be played. */
  hold(segment: HeldSegment, now: number): void {
    const { held } = this
    if (held.length === 0) this.movedAt = now
    let at = held.length
    if (!this.open) this.inOrder++
    else while (at > this.inOrder && seqDiff(held[at - 1]!.seq, segment.seq) > 0) at--
    held.splice(at, 0, segment)
  }
}

/** Behind a captured segment's last sequence number, FIN included. */
export function endOf({ seq, payloadBytes, flags }: SegmentDecoder): number {
  return (seq + payloadBytes + ((flags & FIN) !== 0 ? 1 : 0)) | 0
}
