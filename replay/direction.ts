import { type HeldBytes, OrderedStream, type StreamTaker } from '../pcap/follow/ordered.ts'
import type { FollowedStream } from '../pcap/follow/streams.ts'
import { Handshake, type StoredSegment } from './handshake.ts'
import type { ReplaySession } from './session.ts'

/** Is told what happens to a captured stream as it is put in order. */
export interface StreamKeeper {
  /** The next bytes: our endpoint in the sender's place sends them. */
  sends(direction: Direction, session: ReplaySession, bytes: Uint8Array, at: number, length: number): void
  /** Bytes that the capture lacks, from `seq` on. @param marked a hole, and not the end of a packet that was cut off */
  fills(direction: Direction, seq: number, length: number, marked: boolean): void
}

/** What one side of a conversation sends, in order; played to one endpoint, sent by the other. */
export class Direction implements StreamTaker {
  readonly ordered: OrderedStream
  /** They change when the connection turns out to have begun otherwise. */
  played: ReplaySession | null
  sender: ReplaySession | null
  readonly who: FollowedStream
  position = 0
  gaps = 0
  missingBytes = 0
  finSeen = false
  finAt = 0
  readonly #keeper: StreamKeeper

  constructor(
    keeper: StreamKeeper,
    who: FollowedStream,
    played: ReplaySession | null,
    sender: ReplaySession | null,
    budget: HeldBytes,
  ) {
    this.#keeper = keeper
    this.who = who
    this.played = played
    this.sender = sender
    this.ordered = new OrderedStream(this, budget)
  }

  data(bytes: Uint8Array, at: number, length: number): void {
    this.position += length
    if (this.sender !== null) this.#keeper.sends(this, this.sender, bytes, at, length)
  }

  missing(length: number): void {
    this.#keeper.fills(this, this.ordered.next, length, true)
  }

  cut(length: number): void {
    this.#keeper.fills(this, (this.ordered.next - length) | 0, length, false)
  }
}

export class Replayed {
  /** By side; null when it is left out, or over. */
  directions: readonly [Direction, Direction] | null
  skipped: string | null
  reset = false
  readonly handshake = new Handshake()
  /** The SYN has not come yet: what came in front of it. */
  waiting: StoredSegment[] | null = null

  constructor(directions: readonly [Direction, Direction] | null, skipped: string | null) {
    this.directions = directions
    this.skipped = skipped
  }
}
