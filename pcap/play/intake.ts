import { PcapError } from '../../errors.ts'
import { seqDiff } from '../../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../../stack/wire/tcp.ts'
import { isIntact } from '../decode/intact.ts'
import { CapturedOptions } from '../decode/options.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import type { CaptureReader } from '../file/reader.ts'
import { SegmentWalk } from '../follow/walk.ts'
import type { SteeredAddresses } from './addresses.ts'
import { type Answer, answerTaken, EarlyAnswers, isAnswerTo, MOST_ANSWERS } from './answers.ts'
import { endOf, PlayedConnection } from './connection.ts'
import { type Player, SILENCE_MS } from './player.ts'
import { portsOf, wordsOf } from './table.ts'
import { MAX_HEADER_BYTES } from './translate.ts'

/** Bytes of segments that wait; nothing is read while there are more. */
const MAX_HELD_BYTES = 16 << 20

/** Reads the file, and finds in it the segments that are the player's: those of connections that begin in it. */
export class Intake {
  /** Why the file could not be read to its end. */
  failed: PcapError | null = null
  readonly #player: Player
  readonly #addresses: SteeredAddresses
  readonly #rouse: () => void
  readonly #options = new CapturedOptions()
  readonly #early = new EarlyAnswers()
  #walk: SegmentWalk | null = null
  #closed = false
  /** The walk's segment has been looked at and is to be played when there is room. */
  #current = false
  #reading = true

  /** @param reader becomes the intake's @param rouse there may be something to play again */
  constructor(
    player: Player,
    addresses: SteeredAddresses,
    reader: Promise<CaptureReader>,
    rouse: () => void,
  ) {
    this.#player = player
    this.#addresses = addresses
    this.#rouse = rouse
    reader.then(
      (opened) => {
        if (this.#closed) {
          opened.close()
          return
        }
        this.#walk = new SegmentWalk(opened)
        this.#reading = false
        this.#rouse()
      },
      (error: unknown) => this.#fail(error),
    )
  }

  /** The next segments have not come from the file yet. */
  get reading(): boolean {
    return this.#reading
  }

  /** Frames that were no segments; they were not played. */
  get notSegments(): number {
    if (this.#walk === null) return 0
    const { notIp, notTcp, malformed, unknownLink } = this.#walk.counts
    return notIp + notTcp + malformed + unknownLink + this.#walk.defragmenter.dropped
  }

  close(): void {
    this.#closed = true
    this.#walk?.reader.close()
  }

  // ---- the file -------------------------------------------------------------------------------------------------

  /** Plays what there is room for. */
  pump(): void {
    if (this.#closed || this.#addresses.none) return
    this.#player.stop = 'none'
    this.#player.drainAll()
    while (this.#player.stop === 'none') {
      if (this.#player.fileEnded) this.#player.stop = 'end'
      else if (this.#reading) this.#player.stop = 'reading'
      else if (this.#player.heldBytes > MAX_HELD_BYTES) this.#player.stop = 'waiting'
      else if (this.#current || this.#next()) this.#current = !this.#take()
    }
    if (this.#player.fileEnded) this.#player.acknowledge()
  }

  /** Steps to the next segment. False when it has to be waited for, or there is none. */
  #next(): boolean {
    const walk = this.#walk!
    try {
      if (walk.next()) return true
    } catch (error) {
      this.#fail(error)
      return false
    }
    this.#reading = true
    walk.fill().then(
      (more) => {
        this.#reading = false
        if (!more) this.#finish()
        this.#rouse()
      },
      (error: unknown) => this.#fail(error),
    )
    return false
  }

  #fail(error: unknown): void {
    if (this.#closed) return
    this.failed =
      error instanceof PcapError
        ? error
        : new PcapError('PCAP_IO', `the capture can't be read (${(error as Error).message})`, -1)
    this.#finish()
  }

  #finish(): void {
    if (this.#closed) return
    this.#reading = false
    // The client was answered, and does not go on.
    for (const connection of this.#player.table.all()) {
      const answer = connection.answers.at(-1)
      if (answer !== undefined && !connection.begun && !connection.over) this.#answered(connection, answer)
    }
    this.#player.finish()
    this.#rouse()
  }

  // ---- connections ----------------------------------------------------------------------------------------------

  /** Takes the walk's segment: plays it, holds it, or passes it over. False when it has to wait for room. */
  #take(): boolean {
    const { segment } = this.#walk!
    const toUs = this.#addresses.has(
      segment.destination0,
      segment.destination1,
      segment.destination2,
      segment.destination3,
    )
    const fromUs = this.#addresses.has(segment.source0, segment.source1, segment.source2, segment.source3)
    if (toUs === fromUs) {
      this.#player.notPlayed.elsewhere++
      return true
    }
    if (fromUs) {
      this.#mirror(segment)
      return true
    }
    if (!isSound(segment)) return this.#takeUnsound(segment)
    let connection = this.#player.table.find(segment, true)
    if ((segment.flags & (SYN | ACK)) === SYN) return this.#takeSyn(connection, segment)
    if (connection?.stray != null && isOfStray(connection.stray, connection, segment)) {
      const { stray } = connection
      if (!this.#takePlace(connection, stray)) return false
      connection = stray
    }
    if (connection === null) this.#player.notPlayed.unopened++
    else if (connection.over) this.#player.notPlayed.abandoned++
    else if ((segment.flags & SYN) !== 0) {
      // Both sides have opened it (RFC 9293 3.5): the stack is made to be the one that was asked.
      if (!connection.begun) this.#begin(connection, segment)
    } else if (segment.capturedBytes < segment.payloadBytes) this.#player.notPlayed.cut++
    else {
      if (!connection.begun) this.#begin(connection, segment)
      return this.#takeSegment(connection, segment)
    }
    return true
  }

  /** The stack drops it, and nothing follows from it. */
  #takeUnsound(segment: SegmentDecoder): boolean {
    const connection = this.#player.table.find(segment, true)
    const whole = segment.capturedBytes === segment.payloadBytes
    if (connection?.open === true && !connection.over && whole) {
      if (segment.payloadBytes + MAX_HEADER_BYTES <= this.#player.largest)
        return this.#player.playUnsound(connection, this.#walk!)
    }
    this.#player.notPlayed.abandoned++
    return true
  }

  #takeSyn(known: PlayedConnection | null, segment: SegmentDecoder): boolean {
    if (known !== null && known.iss === segment.seq) {
      if (known.begun && !known.over) this.#player.playNow(known, this.#walk!)
      return this.#player.stop !== 'room'
    }
    // A live one goes on until somebody takes the SYN up.
    const live = known !== null && !known.over && !known.finPlayed
    if (live && known.stray?.iss === segment.seq) return true
    if (known !== null && !live && !this.#makeWay(known)) {
      this.#player.stop = 'waiting'
      return false
    }
    const { frame, ipAt } = this.#player.copy(this.#walk!)
    const connection = new PlayedConnection(
      wordsOf(segment),
      portsOf(segment, true),
      segment.seq,
      frame,
      ipAt,
    )
    if (segment.capturedBytes > 0 && segment.capturedBytes === segment.payloadBytes) {
      connection.synPayload = segment.bytes.slice(segment.payloadAt, segment.payloadAt + segment.payloadBytes)
    }
    const early = this.#early.take(segment, true)
    if (early !== null && isAnswerTo(connection, early)) connection.answers.push(early)
    if (live) {
      if (known.stray !== null) this.#player.notPlayed.abandoned++
      known.stray = connection
    } else this.#add(connection)
    return true
  }

  #add(connection: PlayedConnection): void {
    const oldest = this.#player.table.add(connection)
    if (oldest !== null) this.#player.abandon(oldest, true)
  }

  /** The SYN beside a connection has been taken up. False when that is not over yet. */
  #takePlace(known: PlayedConnection, stray: PlayedConnection): boolean {
    if (!this.#makeWay(known)) {
      this.#player.stop = 'waiting'
      return false
    }
    known.stray = null
    this.#add(stray)
    return true
  }

  #takeSegment(connection: PlayedConnection, segment: SegmentDecoder): boolean {
    const end = endOf(segment)
    if (end !== segment.seq && seqDiff(end, connection.seenMax) > 0) connection.seenMax = end
    const total = segment.tcpAt - segment.ipAt + segment.headerBytes + segment.payloadBytes + 22
    const whole = total <= this.#player.largest
    if (
      whole &&
      connection.held.length === 0 &&
      this.#player.fits(connection, segment.flags, segment.seq, end)
    ) {
      return this.#player.playNow(connection, this.#walk!)
    }
    if (segment.payloadBytes > 0 && !isIntact(segment)) {
      // The stack will drop it: there is nothing to wait for.
      if (whole && connection.open) return this.#player.playNow(connection, this.#walk!)
      this.#player.notPlayed.abandoned++
      return true
    }
    const { frame, ipAt } = this.#player.copy(this.#walk!)
    this.#player.hold(connection, { frame, ipAt, flags: segment.flags, seq: segment.seq, end, from: 0 })
    this.#player.mark(connection)
    this.#player.drainAll()
    return true
  }

  /** Another connection of the same endpoints begins. False when this one is not over yet. */
  #makeWay(known: PlayedConnection): boolean {
    if (known.held.length > 0) return false
    if (known.begun && !known.over && known.finPlayed) {
      // The application has still to close its side, and its FIN to be acknowledged.
      if (!known.finSent && performance.now() - known.movedAt < SILENCE_MS) return false
      if (!this.#player.roomToMake) return false
      this.#player.make(known, known.playedMax, ACK)
      known.over = true
      this.#player.settle(known)
    } else if (!known.over) this.#player.abandon(known, true)
    this.#player.table.remove(known)
    return true
  }

  /** A segment of the captured endpoint that the stack is in the place of: its answers to SYNs are remembered. */
  #mirror(segment: SegmentDecoder): void {
    const { flags, seq, ack } = segment
    if ((flags & (SYN | ACK)) !== (SYN | ACK) || !isIntact(segment)) return
    this.#options.read(segment)
    const { hasTimestamps, sackPermitted, windowScale } = this.#options
    const refused = { timestamps: !hasTimestamps, sack: !sackPermitted, windowScale: windowScale < 0 }
    const answer: Answer = { seq, ack, refused }
    const known = this.#player.table.find(segment, false)
    for (const connection of [known, known?.stray ?? null]) {
      if (connection === null || connection.over || connection.begun || !isAnswerTo(connection, answer))
        continue
      const again = connection.answers.some((other) => other.seq === seq)
      if (!again && connection.answers.length < MOST_ANSWERS) connection.answers.push(answer)
      return
    }
    // Where several queues were captured, it may come in front of what it answers.
    if (known === null || known.over || known.begun) this.#early.put(segment, answer)
  }

  /**
   * The client goes on: which of the server's answers it has taken shows. If none was captured, what it goes on with tells what
   * it was.
   */
  #begin(connection: PlayedConnection, segment: SegmentDecoder): void {
    const acks = (segment.flags & ACK) !== 0
    const answer = answerTaken(connection.answers, acks ? segment.ack : null)
    if (answer !== null) {
      this.#answered(connection, answer)
      return
    }
    if (acks) {
      connection.theirIss = (segment.ack - 1) | 0
      connection.theirIssKnown = true
    }
    this.#options.read(segment)
    connection.refused = connection.answers[0]?.refused ?? {
      timestamps: !this.#options.hasTimestamps,
      sack: false,
      windowScale: false,
    }
    this.#start(connection)
  }

  #answered(connection: PlayedConnection, { seq, refused }: Answer): void {
    connection.refused = refused
    connection.theirIss = seq
    connection.theirIssKnown = true
    this.#start(connection)
  }

  /** The SYN is the first that waits for room. */
  #start(connection: PlayedConnection): void {
    connection.begun = true
    const { syn, ipAt, iss } = connection
    this.#player.hold(connection, { frame: syn, ipAt, flags: SYN, seq: iss, end: iss, from: 0 })
    this.#player.mark(connection)
    this.#player.drainAll()
  }
}

/** Whether the stack will take it for what it says. Data is not summed here: what is damaged is sent again, or waited for. */
function isSound(segment: SegmentDecoder): boolean {
  if (segment.beyond > 0) return false
  return (segment.payloadBytes > 0 && (segment.flags & (SYN | FIN | RST)) === 0) || isIntact(segment)
}

/** Whether the client has gone on with the SYN that it sent beside a live connection. */
function isOfStray(
  stray: PlayedConnection,
  known: PlayedConnection,
  { seq, flags }: SegmentDecoder,
): boolean {
  if ((flags & SYN) !== 0) return false
  const ahead = seqDiff(seq, (stray.iss + 1) | 0)
  return ahead >= 0 && ahead < Math.abs(seqDiff(seq, known.seenMax))
}
