import { PcapError } from '../../errors.ts'
import { ACK, FIN, RST, SYN } from '../../stack/wire/tcp.ts'
import { checkInteger } from '../check.ts'
import { isIntact } from '../decode/intact.ts'
import type { CaptureReader } from '../file/reader.ts'
import { type Conversation, ConversationTable, type Side } from './conversations.ts'
import { DigestBatch, StreamDigest } from './digest.ts'
import { HeldBytes, isReset, OrderedStream, type StreamTaker } from './ordered.ts'
import { gapMarker, ReportOrder, type StreamReport } from './report.ts'
import {
  type CaptureInput,
  type CaptureSummary,
  checkStreamOptions,
  type FollowedStream,
  openReader,
  type StreamOptions,
} from './streams.ts'
import { SegmentWalk } from './walk.ts'

/** What out-of-order data of all conversations together may take, unless said otherwise. */
export const DEFAULT_HELD_BYTES = 64 << 20

/** Different answers to one SYN that are remembered. */
const MOST_ANSWERS = 8

/** What `follow` is told. */
export interface FollowOptions extends StreamOptions {
  /** Bytes that out-of-order data of all conversations may take; what exceeds them makes a hole. Default 64 MiB. */
  readonly heldBytes?: number
}

/** What `follow` found in the capture as a whole. */
export interface FollowSummary extends CaptureSummary {
  /** Holes that had to be made because too much was held. */
  forcedGaps: number
}

/** What `follow` found. */
export interface FollowResult {
  /** In order of conversations, the client's before the server's. */
  readonly streams: StreamReport[]
  /** Of the capture as a whole. */
  readonly summary: FollowSummary
}

/** One direction. */
class Direction implements StreamTaker {
  readonly ordered: OrderedStream
  readonly name: 'client' | 'server'
  bytes = 0
  gaps = 0
  missingBytes = 0
  finAt = 0
  finSeen = false
  /** It was asked for. */
  readonly reported: boolean
  readonly digest: StreamDigest | null
  readonly who: FollowedStream
  readonly #onData: FollowOptions['onData']
  #shifted = 0
  /** Where the stream begins by the SYN,ACKs that nobody has taken up yet. */
  #answers: number[] = []

  constructor(who: FollowedStream, budget: HeldBytes, batch: DigestBatch, options: FollowOptions) {
    const { direction = 'both', digests = true } = options
    this.ordered = new OrderedStream(this, budget)
    this.name = who.direction
    this.who = who
    this.reported = direction === 'both' || direction === who.direction
    this.digest = this.reported && digests ? new StreamDigest(batch) : null
    this.#onData = this.reported ? options.onData : undefined
  }

  /** The sender's numbers begin `by` later than had been believed. */
  shift(by: number): void {
    this.#shifted = (this.#shifted + by) | 0
    this.ordered.shift(by)
  }

  /** A SYN,ACK says that the stream begins with `first`. */
  answered(first: number): void {
    if (this.ordered.acknowledges || this.#answers.length === MOST_ANSWERS) return
    if (!this.#answers.includes(first)) this.#answers.push(first)
  }

  /** The other end goes on from `ack`: of several answers it has taken the nearest. */
  settle(ack: number): void {
    const answers = this.#answers
    this.#answers = []
    if (answers.length < 2 || this.bytes > 0 || this.ordered.waiting > 0) return
    const ahead = (first: number): number => (ack - first) >>> 0
    this.ordered.begin(answers.reduce((best, first) => (ahead(first) < ahead(best) ? first : best)))
    this.#shifted = 0
  }

  /** The FIN lies right behind what was put in order, also where a forged SYN,ACK has shifted what is believed. */
  get finished(): boolean {
    const { next } = this.ordered
    return this.finSeen && (next === this.finAt || ((next - this.#shifted) | 0) === this.finAt)
  }

  data(bytes: Uint8Array, at: number, length: number): void {
    this.bytes += length
    this.digest?.update(bytes, at, length)
    this.#onData?.(this.who, bytes, at, length)
  }

  missing(length: number): void {
    this.gaps++
    this.missingBytes += length
    const marker = gapMarker(length)
    this.data(marker, 0, marker.length)
  }

  cut(length: number): void {
    this.gaps++
    this.missingBytes += length
  }
}

class Followed {
  /** By side; null when nobody asked for the conversation, and when it is over. */
  directions: readonly [Direction, Direction] | null
  reset = false

  constructor(directions: readonly [Direction, Direction] | null) {
    this.directions = directions
  }
}

/**
 * Puts both directions of every TCP conversation in order, as `tshark -z follow,tcp,raw` does. A file that can't be read to
 * its end gives what is in front of the fault, and the fault in the summary.
 * @param input a path (`-` is standard input), a capture's bytes, one that was built, or an open reader, which is closed
 * @throws PcapError when it can't be opened, ArgumentError
 */
export async function follow(input: CaptureInput, options: FollowOptions = {}): Promise<FollowResult> {
  checkStreamOptions(options)
  checkInteger('heldBytes', options.heldBytes, 0, Number.MAX_SAFE_INTEGER)
  const reader = await openReader(input)
  const follower = new Follower(reader, options.file ?? (typeof input === 'string' ? input : '-'), options)
  return follower.run()
}

class Follower {
  readonly #walk: SegmentWalk
  readonly #file: string
  readonly #options: FollowOptions
  readonly #table: ConversationTable<Followed>
  readonly #budget: HeldBytes
  readonly #batch = new DigestBatch()
  readonly #reports: StreamReport[] = []
  readonly #order: ReportOrder
  #forced = 0

  constructor(reader: CaptureReader, file: string, options: FollowOptions) {
    this.#walk = new SegmentWalk(reader)
    this.#file = file
    this.#options = options
    this.#budget = new HeldBytes(options.heldBytes ?? DEFAULT_HELD_BYTES)
    const { onReport = (report) => this.#reports.push(report) } = options
    this.#order = new ReportOrder(onReport)
    this.#table = new ConversationTable(
      (conversation) => this.#begin(conversation),
      (conversation) => this.#report(conversation),
      options.openConversations,
    )
    this.#walk.onNamed = () => this.#table.name(this.#walk.segment)
  }

  async run(): Promise<FollowResult> {
    const walk = this.#walk
    let error: PcapError | null = null
    try {
      do while (walk.next()) this.#segment()
      while (await walk.fill(this.#options.signal))
    } catch (fault) {
      if (!(fault instanceof PcapError)) throw fault
      error = fault
    } finally {
      walk.reader.close()
    }
    this.#table.closeAll()
    const { count, evicted } = this.#table
    return {
      streams: this.#reports,
      summary: { conversations: count, ...walk.counts, evicted, forcedGaps: this.#forced, error },
    }
  }

  #segment(): void {
    const { segment, packet } = this.#walk
    const conversation = this.#table.find(segment, packet.seconds)
    const { data } = conversation
    const { side } = this.#table
    if (data.directions === null) return
    const { seq, ack, flags } = segment
    const ours = data.directions[side]
    const theirs = data.directions[side === 0 ? 1 : 0]
    if ((flags & RST) !== 0 && isIntact(segment) && isReset(segment, ours.ordered, theirs.ordered)) {
      data.reset = true
      conversation.ended = true
    }
    if ((flags & ACK) !== 0 && !conversation.toItself) {
      if (!theirs.ordered.acknowledges && isIntact(segment)) theirs.settle(ack)
      theirs.ordered.acknowledged(ack, !theirs.ordered.isBeyond(ack) || isIntact(segment))
    }
    const first = (flags & SYN) !== 0 ? (seq + 1) | 0 : seq
    // A reset's number says nothing about where a stream begins.
    if (!ours.ordered.begun) {
      if ((flags & RST) === 0) ours.ordered.begin(first)
    } else if (this.#table.rebased !== 0 && !ours.ordered.acknowledges) {
      // Nobody has taken up the numbers that were known.
      ours.shift(this.#table.rebased)
    }
    if ((flags & (SYN | ACK)) === (SYN | ACK)) ours.answered(first)
    const { payloadBytes } = segment
    if (payloadBytes > 0 && ours.ordered.begun) {
      ours.ordered.segment(first, segment.bytes, segment.payloadAt, segment.capturedBytes, payloadBytes)
    }
    if ((flags & FIN) !== 0) {
      ours.finSeen = true
      ours.finAt = (first + payloadBytes) | 0
      ours.ordered.fin(ours.finAt)
      conversation.ended ||= theirs.finSeen
    }
  }

  #begin(conversation: Conversation<Followed>): Followed {
    const { conversation: only } = this.#options
    if (only !== undefined && only !== conversation.number) return new Followed(null)
    const server: Side = conversation.client === 0 ? 1 : 0
    const make = (side: Side): Direction => {
      const who: FollowedStream = {
        stream: conversation.number,
        direction: side === conversation.client ? 'client' : 'server',
        client: conversation.endpoint(conversation.client),
        server: conversation.endpoint(server),
      }
      return new Direction(who, this.#budget, this.#batch, this.#options)
    }
    return new Followed([make(0), make(1)])
  }

  #report(conversation: Conversation<Followed>): void {
    const { client, data } = conversation
    const reports: StreamReport[] = []
    for (const side of client === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const direction = data.directions?.[side]
      if (direction?.reported === true) reports.push(this.#describe(direction, data.reset))
    }
    data.directions = null
    this.#order.add(conversation.number, reports)
  }

  #describe(direction: Direction, reset: boolean): StreamReport {
    const { ordered, who } = direction
    this.#forced += ordered.forced
    const behind = ordered.end()
    const fin = direction.finished
    return {
      file: this.#file,
      stream: who.stream,
      client: who.client,
      server: who.server,
      direction: direction.name,
      bytes: direction.bytes,
      sha256: direction.digest?.end() ?? null,
      completions: 0,
      zeroCopiedBytes: 0,
      copiedBytes: 0,
      gaps: direction.gaps + (behind > 0 ? 1 : 0),
      missingBytes: direction.missingBytes,
      end: fin ? 'fin' : reset ? 'rst' : 'none',
      skipped: null,
    }
  }
}
