import { PcapError } from '../errors.ts'
import { checkBoolean, checkInteger, checkSink } from '../pcap/check.ts'
import type { DatagramPiece } from '../pcap/decode/defragment.ts'
import { SegmentDecoder } from '../pcap/decode/segment.ts'
import type { CaptureReader } from '../pcap/file/reader.ts'
import { type Conversation, ConversationTable, type Side } from '../pcap/follow/conversations.ts'
import { DigestBatch, StreamDigest } from '../pcap/follow/digest.ts'
import { DEFAULT_HELD_BYTES } from '../pcap/follow/follow.ts'
import { HeldBytes, isReset } from '../pcap/follow/ordered.ts'
import { ReportOrder, type StreamReport } from '../pcap/follow/report.ts'
import { type CaptureInput, checkStreamOptions, openReader } from '../pcap/follow/streams.ts'
import { SegmentWalk } from '../pcap/follow/walk.ts'
import { VirtualClock } from '../stack/clock.ts'
import { seqDiff } from '../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../stack/wire/tcp.ts'
import { Direction, Replayed, type StreamKeeper } from './direction.ts'
import { StoredSegment } from './handshake.ts'
import { Kept, streamKey } from './kept.ts'
import { Opening } from './opening.ts'
import { Recorder, type RecordTaker, RecordWriter } from './recorder.ts'
import { BEGAN_EARLIER, describe, skippedReport, streamReport, summaryOf, whyNot } from './reports.ts'
import type { ReplayOptions, ReplayResult } from './result.ts'
import { Role } from './role.ts'
import { type ReplaySession, type SessionSink, sessionEnds } from './session.ts'

const DEFAULT_AREA_BYTES = 64 << 20
const LEAST_AREA_BYTES = 4096
const MOST_AREA_BYTES = 2 ** 32 - 4096
/** Frames that come within this time are one burst, as a card's interrupt moderation makes them. */
const MODERATION_US = 200
/** Segments that wait for the SYN of their connection. */
const MOST_WAITING = 16
/** Pauses are no longer than this: by then every timer of a stack that could fire has. */
const LONGEST_PAUSE_US = 3_600_000_000
/** What a hole may be to be filled, and all of them together. */
const MAX_HOLE_BYTES = 16 << 20
const MAX_FILLED_BYTES = 2 ** 30
const TICK_US = 1000

/**
 * Plays a capture: for every TCP conversation in it our stack takes the place of one endpoint and receives what the other one
 * had sent, segment by segment, on a virtual clock with the capture's times. A file that can't be read to its end gives
 * what is in front of the fault, and the fault in the summary.
 * @param input a path (`-` is standard input), a capture's bytes, one that was built, or an open reader, which is closed
 * @throws PcapError when it can't be opened, ArgumentError
 */
export async function replay(input: CaptureInput, options: ReplayOptions = {}): Promise<ReplayResult> {
  checkReplayOptions(options)
  const reader = await openReader(input)
  return new Replayer(reader, options.file ?? (typeof input === 'string' ? input : '-'), options).run()
}

/** @throws ArgumentError that names the option */
function checkReplayOptions(options: ReplayOptions): void {
  checkStreamOptions(options)
  checkBoolean('recomputeChecksums', options.recomputeChecksums)
  checkInteger('areaBytes', options.areaBytes, LEAST_AREA_BYTES, MOST_AREA_BYTES)
  checkInteger('seed', options.seed, 0, Number.MAX_SAFE_INTEGER)
  if (options.record !== undefined) checkSink('record', options.record)
  checkBoolean('keep', options.keep)
}

class Replayer implements SessionSink, StreamKeeper {
  readonly #walk: SegmentWalk
  readonly #file: string
  readonly #options: ReplayOptions
  readonly #clock = new VirtualClock()
  readonly #table: ConversationTable<Replayed>
  readonly #budget = new HeldBytes(DEFAULT_HELD_BYTES)
  readonly #batch = new DigestBatch()
  /** Whoever plays the clients, and the servers; null when nobody asked. */
  readonly #clients: Role | null
  readonly #servers: Role | null
  readonly #roles: Role[] = []
  readonly #kept: Kept | null
  readonly #recorder: Recorder | null
  readonly #reports: StreamReport[] = []
  readonly #order: ReportOrder
  readonly #skipped: Record<string, number> = {}
  readonly #opening: Opening
  /** Microseconds of the capture's clock at its first packet, -1 before; what pauses were shortened by. */
  #base = -1
  #shortened = 0
  #now = 0
  #tick = 0
  #burstAt = 0
  #filled = 0
  #unsent = 0

  constructor(reader: CaptureReader, file: string, options: ReplayOptions) {
    this.#walk = new SegmentWalk(reader)
    this.#file = file
    this.#options = options
    this.#kept = options.keep === false ? null : new Kept()
    const takers: RecordTaker[] = this.#kept === null ? [] : [this.#kept]
    if (options.record !== undefined) takers.push(new RecordWriter(options.record))
    this.#recorder = takers.length === 0 ? null : new Recorder(takers)
    const { direction = 'both' } = options
    this.#clients = direction === 'server' ? null : this.#role('client')
    this.#servers = direction === 'client' ? null : this.#role('server')
    this.#opening = new Opening(this.#clients, this.#servers, options.recomputeChecksums === true)
    this.#table = new ConversationTable(
      (conversation) => this.#begin(conversation),
      (conversation) => this.#end(conversation),
      options.openConversations,
    )
    this.#walk.onNamed = () => this.#table.name(this.#walk.segment)
    const { onReport = (report) => this.#reports.push(report) } = options
    this.#order = new ReportOrder(onReport)
  }

  #role(plays: 'client' | 'server'): Role {
    const { areaBytes = DEFAULT_AREA_BYTES, recomputeChecksums = false, seed = 1 } = this.#options
    const role = new Role(
      plays,
      {
        clock: this.#clock,
        seed,
        areaBytes,
        recomputeChecksums,
        recorder: this.#recorder,
      },
      this,
    )
    this.#roles.push(role)
    return role
  }

  async run(): Promise<ReplayResult> {
    const walk = this.#walk
    let error: PcapError | null = null
    try {
      do while (walk.next()) this.#segment()
      while (await walk.fill(this.#options.signal))
    } catch (fault) {
      if (!(fault instanceof PcapError)) {
        this.#endRecord()
        throw fault
      }
      error = fault
    } finally {
      walk.reader.close()
    }
    this.#table.closeAll()
    const result: ReplayResult = {
      streams: this.#reports,
      summary: summaryOf(this.#table, this.#walk.counts, this.#roles, this.#skipped, this.#unsent, error),
      reportsTaken: this.#options.onReport !== undefined,
      kept: this.#kept,
    }
    for (const role of this.#roles) role.endpoint.close()
    this.#recorder?.close()
    return result
  }

  /** What was recorded stays, though the run is ended: its fault is the one that counts. */
  #endRecord(): void {
    try {
      this.#recorder?.close()
    } catch {
      // The sink's error, again.
    }
  }

  #segment(): void {
    const { segment, packet, pieces } = this.#walk
    this.#advance()
    const conversation = this.#table.find(segment, packet.seconds)
    const { data } = conversation
    const { side } = this.#table
    if (data.directions === null) return
    if (data.waiting !== null) this.#await(conversation, data.waiting, side)
    else this.#take(conversation, side, segment, pieces)
  }

  /** Where the SYN's answer was captured in front of it: what came waits until it is there. */
  #await(conversation: Conversation<Replayed>, waiting: StoredSegment[], side: Side): void {
    const { segment, pieces } = this.#walk
    const { data, client } = conversation
    const { flags, seq } = segment
    const answer = waiting[0]
    const begins = side === client && (flags & (SYN | ACK)) === SYN
    if (begins && answer !== undefined && answer.ack === ((seq + 1) | 0)) {
      data.waiting = null
      this.#take(conversation, side, segment, pieces)
      const stored = new SegmentDecoder()
      for (const each of waiting) {
        each.decode(stored)
        this.#take(conversation, each.fromClient === (client === 0) ? 0 : 1, stored, null)
      }
    } else if (waiting.length < MOST_WAITING && (flags & RST) === 0) {
      waiting.push(new StoredSegment(segment, side === client))
    } else this.#leaveOut(data, BEGAN_EARLIER)
  }

  #leaveOut(data: Replayed, reason: string): void {
    for (const [i, direction] of (data.directions ?? []).entries()) {
      if (direction.played !== null) this.#roleOf(direction)!.finish(direction.played)
      if (i === 0) data.skipped = reason
    }
    data.waiting = null
    data.directions = null
  }

  #take(
    conversation: Conversation<Replayed>,
    side: Side,
    segment: SegmentDecoder,
    pieces: readonly DatagramPiece[] | null,
  ): void {
    const { data, client } = conversation
    const ours = data.directions![side]
    const theirs = data.directions![side === 0 ? 1 : 0]
    const { seq, ack, flags } = segment
    const resets =
      (flags & RST) !== 0 && this.#opening.believes(segment) && isReset(segment, ours.ordered, theirs.ordered)
    if (resets) {
      data.reset = true
      conversation.ended = true
    }
    const { handshake } = data
    if (!handshake.settled && !this.#opening.follow(data, ours, theirs, side === client, segment)) return
    const role = side === client ? this.#clients : this.#servers
    const otherRole = side === client ? this.#servers : this.#clients
    // Whoever is acknowledged has sent: what the capture lacks of it comes first.
    if ((flags & ACK) !== 0 && !conversation.toItself) {
      if (!theirs.ordered.isBeyond(ack) || this.#opening.believes(segment)) theirs.ordered.acknowledged(ack)
    }
    const syn = (flags & SYN) !== 0
    const first = syn ? (seq + 1) | 0 : seq
    // A late segment of an earlier connection said nothing about where this one begins, and neither does a reset.
    const anew = syn && !handshake.settled && ours.position === 0 && ours.ordered.waiting === 0
    if (anew || (!ours.ordered.begun && (flags & RST) === 0)) ours.ordered.begin(first)
    const { played } = ours
    if (played !== null) {
      role!.play(played, segment, pieces)
      if (played.heldSyns.length === 1) this.#opening.hold(played, role!)
    }
    const mirrored = theirs.played
    if (mirrored !== null) {
      otherRole!.mirror(mirrored, segment, resets)
      if (mirrored.heldSyns.length === 0) this.#opening.letGo(mirrored)
    }
    const { payloadBytes } = segment
    if ((flags & FIN) !== 0 && this.#opening.believes(segment)) {
      ours.finSeen = true
      ours.finAt = (first + payloadBytes) | 0
      ours.ordered.fin(ours.finAt)
      conversation.ended ||= theirs.finSeen
    }
    // What is out of order may be so because it is damaged, and must not make a hole.
    const inOrder = ours.ordered.begun && seqDiff(first, ours.ordered.next) <= 0 && segment.beyond === 0
    if (payloadBytes > 0 && (inOrder || this.#opening.believes(segment))) {
      if (!ours.ordered.begun) return
      ours.ordered.segment(first, segment.bytes, segment.payloadAt, segment.capturedBytes, payloadBytes)
    }
    this.#shutWhenFinished(ours)
  }

  /** Our endpoint ends what it sends where the captured one did. */
  #shutWhenFinished(direction: Direction): void {
    const { sender, ordered } = direction
    if (sender !== null && ordered.finished) this.#senderOf(direction)!.shutdown(sender)
  }

  // ---- time -------------------------------------------------------------------------------------------------------

  #advance(): void {
    const { seconds, nanoseconds } = this.#walk.packet
    const captured = seconds * 1e6 + nanoseconds / 1000
    if (this.#base < 0) {
      this.#base = captured
      this.#recorder?.begin(seconds, nanoseconds)
    }
    let now = captured - this.#base - this.#shortened
    if (now - this.#now > LONGEST_PAUSE_US) {
      this.#shortened += now - this.#now - LONGEST_PAUSE_US
      now = this.#now + LONGEST_PAUSE_US
    }
    // A capture of several interfaces may step back a little; clocks don't.
    if (!(now > this.#now)) return
    const tick = Math.floor(now / TICK_US)
    let busy = false
    for (const role of this.#roles) busy ||= role.busy
    if (busy && now - this.#burstAt > MODERATION_US) {
      for (const role of this.#roles) role.flush()
      busy = false
    }
    if (!busy) this.#burstAt = now
    if (tick !== this.#tick) this.#timers(now)
    this.#tick = tick
    this.#now = now
    for (const role of this.#roles) role.now = now
  }

  /** Fires the timers that are due before `now`, each at its time. */
  #timers(now: number): void {
    for (const role of this.#roles) {
      role.flush()
      for (
        let due = role.endpoint.stack.nextDeadline();
        due <= now;
        due = role.endpoint.stack.nextDeadline()
      ) {
        role.now = Math.max(role.now, due)
        role.turn()
      }
    }
  }

  // ---- conversations ----------------------------------------------------------------------------------------------

  #begin(conversation: Conversation<Replayed>): Replayed {
    const { conversation: only } = this.#options
    if (only !== undefined && only !== conversation.number) return new Replayed(null, null)
    const { segment } = this.#walk
    const reason = whyNot(conversation, segment.flags)
    if (reason !== null) return new Replayed(null, reason)
    const whose = [describe(conversation, 0), describe(conversation, 1)] as const
    const begin = (side: Side): ReplaySession | null => {
      const role = side === conversation.client ? this.#clients : this.#servers
      return role?.begin(whose[side], sessionEnds(segment, side === 0)) ?? null
    }
    const sessions = [begin(0), begin(1)] as const
    const make = (side: Side): Direction => {
      const [played, sender] = [sessions[side], sessions[side === 0 ? 1 : 0]]
      if (played !== null && this.#options.digests !== false) played.digest = new StreamDigest(this.#batch)
      return new Direction(this, whose[side], played, sender, this.#budget)
    }
    const data = new Replayed([make(0), make(1)], null)
    if ((segment.flags & ACK) !== 0) data.waiting = []
    return data
  }

  #end(conversation: Conversation<Replayed>): void {
    const { data, client } = conversation
    if (data.waiting !== null) this.#leaveOut(data, BEGAN_EARLIER)
    const reports: StreamReport[] = []
    if (data.directions === null) {
      if (data.skipped !== null) this.#reportSkipped(conversation, data.skipped, reports)
      this.#order.add(conversation.number, reports)
      return
    }
    const ordered = client === 0 ? data.directions : [data.directions[1], data.directions[0]]
    for (const direction of ordered) {
      if (direction.played === null) continue
      this.#roleOf(direction)!.answerSyns(direction.played, true)
      this.#opening.letGo(direction.played)
    }
    const behind = ordered.map((direction) => {
      const left = direction.ordered.end()
      this.#shutWhenFinished(direction)
      return left
    })
    for (const [i, direction] of ordered.entries()) {
      const session = direction.played
      if (session === null) continue
      this.#roleOf(direction)!.finish(session)
      this.#unsent += session.unsentBytes
      if (session.skipped !== null) this.#countSkipped(session.skipped)
      reports.push(streamReport(this.#file, direction, session, data.reset, behind[i]!))
    }
    data.directions = null
    this.#order.add(conversation.number, reports)
  }

  #countSkipped(reason: string): void {
    this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1
  }

  #reportSkipped(conversation: Conversation<Replayed>, skipped: string, reports: StreamReport[]): void {
    const sides: Side[] = conversation.client === 0 ? [0, 1] : [1, 0]
    for (const side of sides) {
      const who = describe(conversation, side)
      const role = who.direction === 'client' ? this.#clients : this.#servers
      if (role === null) continue
      this.#countSkipped(skipped)
      reports.push(skippedReport(this.#file, who, skipped))
    }
  }

  // ---- what happens to streams ------------------------------------------------------------------------------------

  sends(direction: Direction, session: ReplaySession, bytes: Uint8Array, at: number, length: number): void {
    this.#senderOf(direction)?.send(session, bytes, at, length)
  }

  /** Bytes that the capture lacks are played, and sent, as zeros. */
  fills(direction: Direction, seq: number, length: number, marked: boolean): void {
    direction.gaps++
    direction.missingBytes += length
    const { played, sender } = direction
    // What was acknowledged behind the last byte only counts where nothing can be played.
    if (!direction.ordered.begun || (!marked && length > MAX_HOLE_BYTES)) return
    if (length > MAX_HOLE_BYTES || this.#filled + length > MAX_FILLED_BYTES) {
      const reason = `a hole of ${length} bytes in the capture`
      if (played !== null) played.skipped ??= reason
      if (sender !== null) sender.choked = true
      direction.position += length
      return
    }
    this.#filled += length
    if (played !== null && played.skipped === null) {
      played.willFill(direction.position, length, marked)
      const fin = !marked && direction.finSeen && direction.finAt === ((seq + length) | 0)
      this.#roleOf(direction)!.fill(played, seq, length, fin)
    }
    direction.position += length
    if (sender === null) return
    const zeros = new Uint8Array(length)
    this.#senderOf(direction)?.send(sender, zeros, 0, length)
  }

  completed(session: ReplaySession, area: Uint8Array, offset: number, length: number): void {
    if (this.#kept === null) return
    const { stream, direction } = session.who
    this.#kept.completion(streamKey(stream, direction), area, offset, length)
  }

  data(session: ReplaySession, bytes: Uint8Array, at: number, length: number): void {
    const { onData } = this.#options
    if (onData !== undefined) onData(session.who, bytes, at, length)
  }

  /** Plays this direction's segments. */
  #roleOf({ who }: Direction): Role | null {
    return who.direction === 'client' ? this.#clients : this.#servers
  }

  /** Has the endpoint that sends this direction's bytes. */
  #senderOf({ who }: Direction): Role | null {
    return who.direction === 'client' ? this.#servers : this.#clients
  }
}
