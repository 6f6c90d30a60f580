import { seqDiff } from '../../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../../stack/wire/tcp.ts'
import { SEGMENT, SegmentDecoder } from '../decode/segment.ts'
import type { SegmentWalk } from '../follow/walk.ts'
import { endOf, type HeldSegment, type PlayedConnection } from './connection.ts'
import { PlayFrame } from './frame.ts'
import type { FrameNic } from './frame-nic.ts'
import { PlayTable } from './table.ts'

/** A connection that waits for bytes which the capture does not have is given up when the stack was silent for so long. */
export const SILENCE_MS = 1000
/** For a held segment's own objects. */
const HELD_OVERHEAD = 256
/** Ethernet with two tags, IPv6 with extension headers, TCP with timestamps. */
const LONGEST_MADE = 512
const NO_BYTES = new Uint8Array(0)

/** Why no more segments are taken: a frame has no room, the file is being read, the stack is waited for, or nothing is left. */
export type Stop = 'none' | 'room' | 'reading' | 'waiting' | 'end'

/** Frames of the capture that were not played, by cause. */
export interface NotPlayed {
  /** To addresses that the stack does not listen at, or of no connection at all. */
  elsewhere: number
  /** Of connections that began before the capture, or that the stack's side opened. */
  unopened: number
  /** More was on the wire than was captured. */
  cut: number
  /** Of connections that could not go on: nobody answered, the stack reset them, or bytes are missing. */
  abandoned: number
}

/**
 * Plays segments when the stack takes them, and holds them until it does. What the stack acknowledges and how far its windows
 * reach, the connections know.
 */
export class Player {
  /** The connections that have begun in the capture. */
  readonly table = new PlayTable()
  readonly notPlayed: NotPlayed = { elsewhere: 0, unopened: 0, cut: 0, abandoned: 0 }
  /** The longest frame that is played in one piece. */
  largest = 0
  /** The reader of the file and what the stack sends change it, too. */
  stop: Stop = 'reading'
  /** Nothing more comes from the file. */
  fileEnded = false
  /** Bytes of segments that wait. */
  heldBytes = 0
  readonly #nic: FrameNic
  readonly #builder = new PlayFrame()
  readonly #segment = new SegmentDecoder()
  /** Bytes of the frame that there was no room for. */
  #wanted = 0
  /** Connections that wait for the stack, and those that it has said something to since. */
  readonly #holding = new Set<PlayedConnection>()
  #dirty: PlayedConnection[] = []
  /** The file's end acknowledges what the stack goes on sending. */
  readonly #unacknowledged = new Set<PlayedConnection>()
  /** Resets wait until the host has gone to sleep: what came in front of them was accepted and received then. */
  readonly #resets = new Set<PlayedConnection>()
  /** Those of which the stack has not acknowledged everything. */
  readonly #unsettled = new Set<PlayedConnection>()

  /** @param nic frames are put into it */
  constructor(nic: FrameNic) {
    this.#nic = nic
  }

  /** Something waits for the stack. */
  get waits(): boolean {
    if (this.#holding.size > 0 || this.stop === 'waiting') return true
    return this.fileEnded && this.#unsettled.size > 0
  }

  /** Nothing is held, and the stack has acknowledged everything. */
  get idle(): boolean {
    return this.#holding.size + this.#unsettled.size === 0
  }

  /** Something can be played, or at least looked at. @param reading the file's next segments have not come yet */
  playable(reading: boolean): boolean {
    if (this.#dirty.length > 0 || this.#unacknowledged.size > 0)
      return this.stop !== 'room' || this.#nic.hasRoom(this.#wanted)
    if (this.stop === 'room') return this.#nic.hasRoom(this.#wanted)
    return this.stop === 'none' && !reading
  }

  // ---- segments -------------------------------------------------------------------------------------------------

  /** Whether the stack takes the segment now. */
  fits(
    { open, begun, edge, acked, quiet, seenMax }: PlayedConnection,
    flags: number,
    seq: number,
    end: number,
  ): boolean {
    if ((flags & (SYN | ACK)) === SYN) return begun
    if (!open) return false
    // RFC 5961 section 3: a reset is believed only right behind what came. That of who sent everything waits for it to come.
    if ((flags & RST) !== 0) return seq !== seenMax || (quiet && seqDiff(seq, acked) <= 0)
    return seq === end || seqDiff(end, edge) <= 0
  }

  /** The walk's segment as it is. False when there is no room. */
  playNow(connection: PlayedConnection, { segment, packet, assembled }: SegmentWalk): boolean {
    const syn = (segment.flags & SYN) !== 0
    if (!this.#roomFor(segment, syn ? 0 : segment.payloadBytes)) return false
    const linkBytes = this.#builder.link(segment, packet.at, assembled ? -1 : packet.linkType)
    this.#play(connection, segment, linkBytes, 0, syn ? 0 : segment.payloadBytes)
    return true
  }

  /** The walk's segment, which the stack will drop. False when there is no room. */
  playUnsound(connection: PlayedConnection, { segment, packet, assembled }: SegmentWalk): boolean {
    const builder = this.#builder
    const { changes } = builder
    if (!this.#roomFor(segment, segment.payloadBytes)) return false
    const linkBytes = builder.link(segment, packet.at, assembled ? -1 : packet.linkType)
    changes.numbers = connection
    changes.refused = null
    changes.from = 0
    changes.length = segment.payloadBytes
    if (!builder.translate(segment, linkBytes)) this.notPlayed.abandoned++
    else {
      const { header, headerBytes } = builder
      this.#nic.play(header, headerBytes, segment.bytes, segment.payloadAt, segment.payloadBytes)
    }
    return true
  }

  #roomFor(segment: SegmentDecoder, length: number): boolean {
    const bytes = segment.tcpAt - segment.ipAt + segment.headerBytes + length + 22
    if (this.#nic.hasRoom(bytes)) return true
    this.stop = 'room'
    this.#wanted = bytes
    return false
  }

  /** There is room: the segment, or a part of its payload. */
  #play(
    connection: PlayedConnection,
    segment: SegmentDecoder,
    linkBytes: number,
    from: number,
    length: number,
  ): void {
    const builder = this.#builder
    const { flags } = segment
    const syn = (flags & SYN) !== 0
    const { changes } = builder
    changes.numbers = connection
    changes.refused = syn ? connection.refused : null
    changes.from = from
    changes.length = length
    if (!builder.translate(segment, linkBytes)) {
      this.notPlayed.abandoned++
      return
    }
    this.#nic.play(builder.header, builder.headerBytes, segment.bytes, segment.payloadAt + from, length)
    const last = from + length === segment.payloadBytes
    const end = syn ? (segment.seq + 1) | 0 : last ? endOf(segment) : (segment.seq + from + length) | 0
    // What takes no number moves nothing on: a reset or an ACK from beyond is only challenged.
    if (end !== segment.seq && seqDiff(end, connection.playedMax) > 0) connection.playedMax = end
    if (!connection.unsettled && !syn && end !== segment.seq) {
      connection.unsettled = true
      this.#unsettled.add(connection)
    }
    if (connection.open && (flags & ACK) !== 0) {
      const ack = connection.ack(segment.ack)
      if (seqDiff(ack, connection.ackPlayed) > 0) connection.ackPlayed = ack
    }
    if (last && (flags & FIN) !== 0) {
      connection.finPlayed = true
      connection.movedAt = performance.now()
    }
    if ((flags & RST) !== 0 && segment.seq === connection.seenMax) {
      connection.over = true
      this.#unsettled.delete(connection)
    }
  }

  /** A frame of its own memory, at the end of the packet that the IP header announces. */
  copy({ segment, packet, assembled }: SegmentWalk): { frame: Uint8Array; ipAt: number } {
    const linkBytes = this.#builder.link(segment, packet.at, assembled ? -1 : packet.linkType)
    const frame = new Uint8Array(linkBytes + segment.capturedEnd - segment.ipAt)
    frame.set(this.#builder.header.subarray(0, linkBytes))
    frame.set(segment.bytes.subarray(segment.ipAt, segment.capturedEnd), linkBytes)
    return { frame, ipAt: linkBytes }
  }

  // ---- what waits -----------------------------------------------------------------------------------------------

  /** Keeps a segment until the stack takes it; `mark` has it looked at. */
  hold(connection: PlayedConnection, held: HeldSegment): void {
    connection.hold(held, performance.now())
    this.#holding.add(connection)
    if ((held.flags & RST) !== 0) this.#resets.add(connection)
    this.heldBytes += held.frame.length + HELD_OVERHEAD
  }

  /** What waits of the connection is looked through at the next `drainAll`. */
  mark(connection: PlayedConnection): void {
    if (connection.dirty) return
    connection.dirty = true
    this.#dirty.push(connection)
  }

  /** Plays what the stack takes now of what waits, of all marked connections, as long as there is room. */
  drainAll(): void {
    while (this.#dirty.length > 0) {
      const connection = this.#dirty[this.#dirty.length - 1]!
      if (!this.#drain(connection)) return
      connection.dirty = false
      this.#dirty.pop()
    }
  }

  /** Plays what the stack takes now of what waits. False when there is no room. */
  #drain(connection: PlayedConnection): boolean {
    const { held } = connection
    const { inOrder } = connection
    let room = true
    let kept = 0
    let at = 0
    for (; at < held.length; at++) {
      const segment = held[at]!
      const played = this.#playHeld(connection, segment)
      if (played === 'room') room = false
      if (played === 'room' || (played === 'wait' && at >= inOrder)) break
      if (played === 'wait') held[kept++] = segment
      else {
        this.heldBytes -= segment.frame.length + HELD_OVERHEAD
        if (at < inOrder) connection.inOrder--
      }
    }
    if (at > kept) held.splice(kept, at - kept)
    if (held.length === 0) this.#holding.delete(connection)
    return room
  }

  #playHeld(connection: PlayedConnection, held: HeldSegment): 'done' | 'room' | 'wait' {
    const segment = this.#segment
    const { frame, ipAt } = held
    const syn = (held.flags & SYN) !== 0
    const wireEnd = frame.length
    if (segment.decodeIp(frame, ipAt, wireEnd, Math.max(wireEnd, ipAt)) !== SEGMENT) return 'done'
    if (held.again === true) {
      if (!this.fits(connection, held.flags, held.seq, held.end)) return 'wait'
      if (!this.#roomFor(segment, segment.payloadBytes)) return 'room'
      this.#nic.play(frame, frame.length, NO_BYTES, 0, 0)
      return 'done'
    }
    for (;;) {
      const rest = syn ? 0 : segment.payloadBytes - held.from
      const headers = segment.tcpAt - segment.ipAt + segment.headerBytes + 22
      let length = Math.min(rest, Math.max(1, this.largest - headers))
      if (!this.fits(connection, held.flags, held.seq, length < rest ? held.seq + length : held.end)) {
        // More than the whole window: what there is room for, once everything in front of it was taken.
        const open = connection.open ? seqDiff(connection.edge, held.seq) : 0
        if (open <= 0 || seqDiff(held.seq, connection.acked) > 0 || (held.flags & RST) !== 0) return 'wait'
        length = Math.min(length, open)
      }
      if (!this.#roomFor(segment, length)) return 'room'
      this.#builder.header.set(frame.subarray(0, ipAt))
      this.#play(connection, segment, ipAt, held.from, length)
      held.from += length
      held.seq = (held.seq + length) | 0
      if (length === rest) return 'done'
    }
  }

  /** The SYN's data becomes a segment of its own. */
  holdSynPayload(connection: PlayedConnection, payload: Uint8Array): void {
    connection.synPayload = null
    const syn = this.#segment
    const { syn: packet, ipAt } = connection
    if (syn.decodeIp(packet, ipAt, packet.length, packet.length) !== SEGMENT) return
    const seq = (connection.iss + 1) | 0
    this.#builder.make(syn, connection, seq, (connection.theirIss + 1) | 0, ACK, payload.length)
    const headers = this.#builder.headerBytes
    const frame = new Uint8Array(headers + payload.length)
    frame.set(this.#builder.header.subarray(0, headers))
    frame.set(payload, headers)
    this.hold(connection, { frame, ipAt, flags: ACK, seq, end: (seq + payload.length) | 0, from: 0 })
  }

  /** Whoever drives the stack has done everything there was to do. */
  quieten(): void {
    for (const connection of this.#resets) {
      if (connection.held.length === 0) this.#resets.delete(connection)
      else {
        connection.quiet = true
        this.mark(connection)
      }
    }
  }

  /** The stack has acknowledged everything, or will not. */
  settle(connection: PlayedConnection): void {
    connection.unsettled = false
    this.#unsettled.delete(connection)
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  /** The file's end was read. */
  finish(): void {
    this.fileEnded = true
    this.stop = 'none'
    for (const connection of this.table.all()) {
      // Nobody in the capture has answered it.
      if (!connection.begun && !connection.over) this.abandon(connection, false)
      this.owes(connection)
    }
  }

  /** Gives up connections that wait for what the capture does not have. */
  giveUpSilent(): void {
    const now = performance.now()
    // The rest of the file may have it.
    if (this.stop === 'end' || this.stop === 'waiting') {
      for (const connection of [...this.#holding]) {
        const { open, held, acked } = connection
        // Its window is shut: the application has not taken what came.
        if (open && held.some(({ seq }) => seqDiff(seq, acked) <= 0)) continue
        if (now - connection.movedAt >= SILENCE_MS) this.abandon(connection, connection.open)
      }
    }
    if (this.stop === 'end') {
      // The last bytes lie behind others that the file does not have.
      for (const connection of [...this.#unsettled]) {
        const silent = now - connection.movedAt >= SILENCE_MS
        if (connection.held.length === 0 && silent) this.abandon(connection, true)
      }
    }
  }

  /** Nothing more is played of it. @param reset the stack is told that the peer is gone */
  abandon(connection: PlayedConnection, reset: boolean): void {
    if (reset && !connection.over && connection.begun && this.roomToMake) {
      this.make(connection, connection.acked, RST | ACK)
    }
    connection.over = true
    this.notPlayed.abandoned += connection.begun ? connection.held.length : 1
    for (const { frame } of connection.held) this.heldBytes -= frame.length + HELD_OVERHEAD
    connection.held = []
    connection.inOrder = 0
    this.#holding.delete(connection)
    this.#unsettled.delete(connection)
  }

  /** At the end of the file nobody acknowledges any more what the stack sends: `acknowledge` will. */
  owes(connection: PlayedConnection): void {
    if (!connection.open || connection.over || seqDiff(connection.ourMax, connection.ackPlayed) <= 0) return
    this.#unacknowledged.add(connection)
  }

  /** Plays the acknowledgements that are owed, as long as there is room. */
  acknowledge(): void {
    for (const connection of this.#unacknowledged) {
      if (!this.roomToMake) return
      this.#unacknowledged.delete(connection)
      if (connection.over) continue
      this.make(connection, connection.playedMax, ACK)
      connection.ackPlayed = connection.ourMax
    }
  }

  /** There is room for what `make` makes. */
  get roomToMake(): boolean {
    return this.#nic.hasRoom(LONGEST_MADE)
  }

  /** Plays a segment without payload in the peer's name, acknowledging everything; there is room for it. */
  make(connection: PlayedConnection, seq: number, flags: number): void {
    const syn = this.#segment
    const { syn: frame, ipAt } = connection
    if (syn.decodeIp(frame, ipAt, frame.length, frame.length) !== SEGMENT) return
    this.#builder.make(syn, connection, seq, connection.ourMax, flags)
    this.#nic.play(this.#builder.header, this.#builder.headerBytes, NO_BYTES, 0, 0)
  }

  /** Forgets what waits. */
  close(): void {
    this.#holding.clear()
    this.#unsettled.clear()
    this.#dirty = []
  }
}
