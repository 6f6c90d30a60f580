import { ArgumentError } from '../driver/errors.ts'
import { isIntact } from '../pcap/decode/intact.ts'
import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { PcapError } from '../pcap/errors.ts'
import type { CaptureReader } from '../pcap/file/reader.ts'
import { type Conversation, ConversationTable, type Side } from '../pcap/follow/conversations.ts'
import { DigestBatch, StreamDigest } from '../pcap/follow/digest.ts'
import { DEFAULT_HELD_BYTES, openReader } from '../pcap/follow/follow.ts'
import { HeldBytes } from '../pcap/follow/ordered.ts'
import { ReportOrder, type StreamReport } from '../pcap/follow/report.ts'
import type { FollowedStream } from '../pcap/follow/streams.ts'
import { SegmentWalk } from '../pcap/follow/walk.ts'
import { VirtualClock } from '../stack/clock.ts'
import type { Census } from '../stack/memory/page-pool.ts'
import { seqDiff } from '../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../stack/wire/tcp.ts'
import { Direction, Replayed, type StreamKeeper } from './direction.ts'
import { Kept, streamKey } from './kept.ts'
import { Recorder, type RecordTaker, RecordWriter } from './recorder.ts'
import type { BuiltCapture, ReplayOptions, ReplayResult, ReplaySummary } from './result.ts'
import { Role } from './role.ts'
import type { ReplaySession, SessionSink } from './session.ts'

const DEFAULT_AREA_BYTES = 64 << 20
/** Frames that come within this time are one burst, as a card's interrupt moderation makes them. */
const MODERATION_US = 200
/** A captured SYN waits this long for its captured answer. */
const SYN_HOLD_US = 1_000_000
/** Pauses are no longer than this: by then every timer of a stack that could fire has. */
const LONGEST_PAUSE_US = 3_600_000_000
/** What a hole may be to be filled, and all of them together. */
const MAX_HOLE_BYTES = 16 << 20
const MAX_FILLED_BYTES = 2 ** 30
const TICK_US = 1000
/** Entries of a queue that are given back together. */
const HELD_STEP = 1024

/**
 * Plays a capture: for every TCP conversation in it our stack takes the place of one endpoint and receives what the other one
 * had sent, segment by segment, on a virtual clock with the capture's times. A file that can't be read to its end gives
 * what is in front of the fault, and the fault in the summary.
 * @param input a path (`-` is standard input), a capture's bytes, one that was built, or an open reader, which is closed
 * @throws PcapError when it can't be opened
 */
export async function replay(
  input: string | Uint8Array | CaptureReader | BuiltCapture,
  options: ReplayOptions = {},
): Promise<ReplayResult> {
  const { conversation, direction = 'both' } = options
  if (conversation !== undefined && (!Number.isInteger(conversation) || conversation < 0)) {
    throw new ArgumentError(`conversation ${conversation} is not a number from 0 on`)
  }
  if (direction !== 'both' && direction !== 'client' && direction !== 'server') {
    throw new ArgumentError(`"${direction}" is no direction`, 'it is client, server or both')
  }
  const reader = await openReader(isBuilt(input) ? input.pcapng() : input)
  return new Replayer(reader, options.file ?? (typeof input === 'string' ? input : '-'), options).run()
}

function isBuilt(input: object | string): input is BuiltCapture {
  return typeof input === 'object' && 'pcapng' in input
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
  #heldFrom = 0
  #held: { session: ReplaySession; role: Role; until: number }[] = []
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
    this.#table = new ConversationTable(
      (conversation) => this.#begin(conversation),
      (conversation) => this.#end(conversation),
      options.openConversations,
    )
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
    this.#answerHeld(Number.POSITIVE_INFINITY)
    this.#table.closeAll()
    const result = { streams: this.#reports, summary: this.#summary(error), kept: this.#kept }
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
    const { segment, packet } = this.#walk
    this.#advance()
    const conversation = this.#table.find(segment, packet.seconds)
    const { data, client } = conversation
    const { side } = this.#table
    if (data.directions === null) return
    const { seq, ack, flags } = segment
    if ((flags & RST) !== 0) {
      data.reset = true
      conversation.ended = true
    }
    const ours = data.directions[side]
    const theirs = data.directions[side === 0 ? 1 : 0]
    const { played } = ours
    const mirrored = theirs.played
    const role = side === client ? this.#clients : this.#servers
    const otherRole = side === client ? this.#servers : this.#clients
    // Whoever is acknowledged has sent: what the capture lacks of it comes first.
    if (theirs.ordered.waiting > 0 && this.#believes(segment)) theirs.ordered.acknowledged(ack)
    const first = (flags & SYN) !== 0 ? (seq + 1) | 0 : seq
    // A late segment of an earlier connection said nothing about where this one begins.
    const anew = (flags & SYN) !== 0 && ours.position === 0 && ours.ordered.waiting === 0
    if (anew || !ours.ordered.begun) ours.ordered.begin(first)
    if (played !== null) {
      role!.play(played, this.#walk)
      if (played.heldSyns.length === 1 && (flags & (SYN | ACK)) === SYN) {
        this.#held.push({ session: played, role: role!, until: this.#now + SYN_HOLD_US })
      }
    }
    if (mirrored !== null) otherRole!.mirror(mirrored, segment)
    const { payloadBytes } = segment
    if ((flags & FIN) !== 0 && this.#believes(segment)) {
      ours.finSeen = true
      ours.finAt = (first + payloadBytes) | 0
      conversation.ended ||= theirs.finSeen
    }
    // What is out of order may be so because it is damaged, and must not make a hole.
    if (payloadBytes > 0 && (seqDiff(first, ours.ordered.next) <= 0 || this.#believes(segment))) {
      ours.ordered.segment(first, segment.bytes, segment.payloadAt, segment.capturedBytes, payloadBytes)
    }
    if (ours.finSeen && mirrored !== null && ours.ordered.next === ours.finAt) otherRole!.shutdown(mirrored)
  }

  /** Whether our endpoint would. */
  #believes(segment: SegmentDecoder): boolean {
    return this.#options.recomputeChecksums === true || isIntact(segment)
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
    if (this.#held.length > 0) this.#answerHeld(now)
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

  /** Captured SYNs that nobody has answered in time are played as they are. They wait in the order in which their time is up. */
  #answerHeld(now: number): void {
    while (this.#heldFrom < this.#held.length) {
      const { session, role, until } = this.#held[this.#heldFrom]!
      const waits = session.heldSyns.length > 0 && !session.released
      if (waits && until > now) break
      this.#heldFrom++
      if (waits) role.answerSyns(session, true)
    }
    if (this.#heldFrom < HELD_STEP && this.#heldFrom < this.#held.length) return
    this.#held = this.#held.slice(this.#heldFrom)
    this.#heldFrom = 0
  }

  // ---- conversations ----------------------------------------------------------------------------------------------

  #begin(conversation: Conversation<Replayed>): Replayed {
    const { conversation: only } = this.#options
    if (only !== undefined && only !== conversation.number) return new Replayed(null, null)
    const { segment } = this.#walk
    const reason = whyNot(conversation, segment.flags)
    if (reason !== null) return new Replayed(null, reason)
    // The first segment is a SYN: side 0 is the client.
    const whose = [describe(conversation, 0), describe(conversation, 1)] as const
    const client = this.#clients?.begin(0, segment, whose[0]) ?? null
    const server = this.#servers?.begin(1, segment, whose[1]) ?? null
    const make = (side: Side, played: ReplaySession | null, sender: ReplaySession | null): Direction => {
      if (played !== null && this.#options.digests !== false) played.digest = new StreamDigest(this.#batch)
      return new Direction(this, whose[side], played, sender, this.#budget)
    }
    return new Replayed([make(0, client, server), make(1, server, client)], null)
  }

  #end(conversation: Conversation<Replayed>): void {
    const { data } = conversation
    const reports: StreamReport[] = []
    if (data.directions === null) {
      if (data.skipped !== null) this.#reportSkipped(conversation, data.skipped, reports)
      this.#order.add(conversation.number, reports)
      return
    }
    for (const [direction, role] of [
      [data.directions[0], this.#clients],
      [data.directions[1], this.#servers],
    ] as const) {
      const session = direction.played
      if (session === null || role === null) continue
      role.answerSyns(session, true)
      role.finish(session)
      this.#unsent += session.unsentBytes
      reports.push(this.#report(direction, session, data.reset))
    }
    data.directions = null
    this.#order.add(conversation.number, reports)
  }

  #reportSkipped(conversation: Conversation<Replayed>, skipped: string, reports: StreamReport[]): void {
    const sides: Side[] = conversation.client === 0 ? [0, 1] : [1, 0]
    for (const side of sides) {
      const who = describe(conversation, side)
      const role = who.direction === 'client' ? this.#clients : this.#servers
      if (role === null) continue
      this.#skipped[skipped] = (this.#skipped[skipped] ?? 0) + 1
      reports.push({ ...this.#blank(who), skipped })
    }
  }

  #blank(who: FollowedStream): StreamReport {
    return {
      file: this.#file,
      stream: who.stream,
      client: who.client,
      server: who.server,
      direction: who.direction,
      bytes: 0,
      sha256: null,
      completions: 0,
      zeroCopiedBytes: 0,
      copiedBytes: 0,
      gaps: 0,
      missingBytes: 0,
      end: 'none',
      skipped: null,
    }
  }

  #report(direction: Direction, session: ReplaySession, reset: boolean): StreamReport {
    const behind = direction.ordered.end()
    const { skipped } = session
    if (skipped !== null) this.#skipped[skipped] = (this.#skipped[skipped] ?? 0) + 1
    return {
      ...this.#blank(direction.who),
      bytes: session.bytes,
      sha256: session.digest?.end() ?? null,
      completions: session.completions,
      zeroCopiedBytes: Math.max(0, session.position - session.filledBytes - session.copiedBytes),
      copiedBytes: session.copiedBytes,
      gaps: direction.gaps + (behind > 0 ? 1 : 0),
      missingBytes: direction.missingBytes,
      end: session.endedWith === 0 ? 'fin' : reset || session.endedWith > 0 ? 'rst' : 'none',
      skipped,
    }
  }

  #summary(error: PcapError | null): ReplaySummary {
    const niovs: Census = { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }
    const drops: Record<string, number> = {}
    let framesPlayed = 0
    let unplayable = 0
    for (const { endpoint, frames, unplayable: refused } of this.#roles) {
      framesPlayed += frames
      unplayable += refused
      for (const [cause, count] of Object.entries(endpoint.stack.drops()))
        drops[cause] = (drops[cause] ?? 0) + count
      const census = endpoint.census()
      for (const place of Object.keys(niovs) as (keyof Census)[]) niovs[place] += census[place]
    }
    return {
      conversations: this.#table.count,
      evicted: this.#table.evicted,
      ...this.#walk.counts,
      skipped: this.#skipped,
      framesPlayed,
      unplayable,
      unsentBytes: this.#unsent,
      drops,
      niovs,
      error,
    }
  }

  // ---- what happens to streams ------------------------------------------------------------------------------------

  sends(direction: Direction, session: ReplaySession, bytes: Uint8Array, at: number, length: number): void {
    this.#sender(direction)?.send(session, bytes, at, length)
  }

  /** Bytes that the capture lacks are played, and sent, as zeros. */
  fills(direction: Direction, seq: number, length: number, marked: boolean): void {
    direction.gaps++
    direction.missingBytes += length
    const { played, sender } = direction
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
      this.#player(direction)!.fill(played, seq, length, fin)
    }
    direction.position += length
    if (sender === null) return
    const zeros = new Uint8Array(length)
    this.#sender(direction)?.send(sender, zeros, 0, length)
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
  #player({ who }: Direction): Role | null {
    return who.direction === 'client' ? this.#clients : this.#servers
  }

  /** Has the endpoint that sends this direction's bytes. */
  #sender({ who }: Direction): Role | null {
    return who.direction === 'client' ? this.#servers : this.#clients
  }
}

function describe<T>(conversation: Conversation<T>, side: Side): FollowedStream {
  const { client } = conversation
  return {
    stream: conversation.number,
    direction: side === client ? 'client' : 'server',
    client: conversation.endpoint(client),
    server: conversation.endpoint(client === 0 ? 1 : 0),
  }
}

/** Why a conversation whose first captured segment has these flags can't be played; null when it can. */
function whyNot<T>(conversation: Conversation<T>, flags: number): string | null {
  if ((flags & (SYN | ACK | RST | FIN)) !== SYN) return 'began before the capture'
  if (conversation.ports[0] === 0 || conversation.ports[1] === 0) return 'port 0'
  return null
}
