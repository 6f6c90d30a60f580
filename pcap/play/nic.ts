import { basename } from 'node:path'
import type { NicMemory, NicStats, RxBurst } from '../../driver/nic.ts'
import { V4_MAPPED } from '../../stack/ip/address.ts'
import { get32 } from '../../stack/wire/bytes.ts'
import { seqDiff } from '../../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN, TCP_MIN_HEADER_BYTES, TcpOptions } from '../../stack/wire/tcp.ts'
import { ipOffset } from '../decode/link.ts'
import { SEGMENT, SegmentDecoder } from '../decode/segment.ts'
import { PcapError } from '../errors.ts'
import { LINKTYPE_ETHERNET } from '../file/format.ts'
import { CaptureReader } from '../file/reader.ts'
import { SegmentWalk } from '../follow/walk.ts'
import { type HeldSegment, PlayedConnection } from './connection.ts'
import { finishAssembled, isIntact, PlayFrame } from './frame.ts'
import { FrameNic } from './frame-nic.ts'
import { PlayTable, portsOf, wordsOf } from './table.ts'

/** Bytes of segments that wait; nothing is read while there are more. */
const MAX_HELD_BYTES = 16 << 20
/** For a held segment's own objects. */
const HELD_OVERHEAD = 256
/** A connection that waits for bytes which the capture does not have is given up when the stack was silent for so long. */
const SILENCE_MS = 1000
/** What the stack had no memory for is played again after so long. */
const RETRY_MS = 10
/** The longest frame, and the least share of the chunks that one may take. */
const LONGEST = 65_549
const SHARE = 4
/** A thread that sleeps on the NIC looks up so often: the file is read by the event loop. */
const NAP_MS = 1
const NAP = new Int32Array(new SharedArrayBuffer(4))
const NO_BYTES = new Uint8Array(0)

/** Why the queue stopped taking segments. */
type Stop = 'none' | 'room' | 'reading' | 'waiting' | 'end'

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
 * Plays a capture to a stack as if its frames came over the wire now: those of clients whose connections to an address that the
 * stack listens at begin in the capture. A segment waits until the window has room for it, so the stack sets the pace.
 * What the stack sends goes nowhere; it is looked at, because acknowledgements and timestamps are translated to it.
 *
 * The file is read on the event loop; memory does not grow with it.
 */
export class PcapNic extends FrameNic {
  /** Why the file could not be read to its end; what was in front of the fault was played. */
  failed: PcapError | null = null
  readonly notPlayed: NotPlayed = { elsewhere: 0, unopened: 0, cut: 0, abandoned: 0 }
  readonly #builder = new PlayFrame()
  readonly #sent = new SegmentDecoder()
  readonly #other = new SegmentDecoder()
  readonly #options = new TcpOptions()
  readonly #table = new PlayTable()
  /** Four words of each address that is listened at, and how often. */
  readonly #addresses: { words: Int32Array; count: number }[] = []
  #walk: SegmentWalk | null = null
  #closed = false
  /** The walk's segment has been looked at and is to be played when there is room. */
  #current = false
  #reading = true
  #fileEnded = false
  #stop: Stop = 'reading'
  #wanted = 0
  /** Connections that wait for the stack, and those that it has said something to since. */
  readonly #holding = new Set<PlayedConnection>()
  #dirty: PlayedConnection[] = []
  #heldBytes = 0
  /** The file's end acknowledges what the stack goes on sending. */
  readonly #unacknowledged = new Set<PlayedConnection>()
  /** Resets wait until the host has gone to sleep: what came in front of them was accepted and received then. */
  readonly #resets = new Set<PlayedConnection>()
  /** Those of which the stack has not acknowledged everything. */
  readonly #unsettled = new Set<PlayedConnection>()
  /** What the stack dropped for want of memory is played again, as a peer would. */
  #dropped: { connection: PlayedConnection; held: HeldSegment }[] = []
  #retry: NodeJS.Timeout | null = null
  #callback: (() => void) | null = null
  #wake: NodeJS.Immediate | null = null
  #timer: NodeJS.Timeout | null = null
  #largest = 0
  /** Entries of the burst that is received into. */
  #capacity = 64

  /** Opens a capture; `-` is standard input. @throws PcapError */
  static open(file: string): PcapNic {
    return new PcapNic(file === '-' ? 'stdin' : basename(file), CaptureReader.open(file))
  }

  /** @param name of the interface that it is @param reader becomes the NIC's */
  constructor(name: string, reader: Promise<CaptureReader>) {
    super('pcap', name, true)
    this.settled = (first, last, cause) => {
      if (cause === 'noMemory') this.#keep(first, last)
    }
    this.onTransmit = (memory, at, length) => this.#observe(memory, at, length)
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

  /** The file has ended, or failed, and everything in it was played or given up. */
  get ended(): boolean {
    const waiting = this.#holding.size + this.#dropped.length + this.#unsettled.size + this.pending
    return this.#fileEnded && waiting === 0
  }

  override attach(memory: NicMemory): void {
    super.attach(memory)
    const share = Math.floor(this.chunkCount / SHARE) * this.chunkRoom
    this.#largest = Math.min(LONGEST, Math.max(this.chunkRoom, share))
  }

  override steer(address: Uint8Array, _port: number): void {
    const words = wordsOfAddress(address)
    const known = this.#addresses.find((entry) => entry.words.every((word, i) => word === words[i]))
    if (known === undefined) this.#addresses.push({ words, count: 1 })
    else known.count++
    this.#rouse()
  }

  override unsteer(address: Uint8Array, _port: number): void {
    const words = wordsOfAddress(address)
    const at = this.#addresses.findIndex((entry) => entry.words.every((word, i) => word === words[i]))
    if (at >= 0 && --this.#addresses[at]!.count === 0) this.#addresses.splice(at, 1)
  }

  override receive(burst: RxBurst): number {
    this.#capacity = burst.capacity
    if (this.pending === 0) this.#pump()
    return super.receive(burst)
  }

  override hasRoom(bytes: number): boolean {
    return super.hasRoom(bytes) && this.pending + Math.ceil(bytes / this.chunkRoom) <= this.#capacity
  }

  override fill(chunks: Uint32Array, from: number, count: number): number {
    const taken = super.fill(chunks, from, count)
    if (taken > 0) this.#rouse()
    return taken
  }

  /** Sleeps for a moment at the most: what comes next is read by the event loop. */
  override wait(timeoutMs: number): boolean {
    this.#quieten()
    if (this.#playable()) return true
    if (timeoutMs > 0) Atomics.wait(NAP, 0, 0, Math.min(timeoutMs, NAP_MS))
    return this.#playable()
  }

  override arm(callback: (() => void) | null): void {
    this.#callback = callback
    if (callback === null) {
      this.#calm()
      return
    }
    this.#quieten()
    this.#rouse()
    if (this.#waits && this.#timer === null) this.#timer = setTimeout(this.#giveUpSilent, SILENCE_MS)
  }

  override stats(): NicStats {
    const stats = super.stats()
    const { elsewhere, unopened, cut, abandoned } = this.notPlayed
    stats.rxDropped = elsewhere + unopened + cut + abandoned
    if (this.#walk !== null) {
      const { notIp, notTcp, malformed, unknownLink } = this.#walk.counts
      stats.rxDropped += notIp + notTcp + malformed + unknownLink + this.#walk.defragmenter.dropped
    }
    return stats
  }

  override close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#callback = null
    this.#calm()
    this.#walk?.reader.close()
    this.#holding.clear()
    this.#unsettled.clear()
    this.#dropped = []
    this.#dirty = []
    super.close()
  }

  // ---- waking ---------------------------------------------------------------------------------------------------

  /** Whether a call of `receive` would bring something, or at least has something to look at. */
  #playable(): boolean {
    if (this.pending > 0) return true
    if (this.#addresses.length === 0) return false
    if (this.#dirty.length > 0 || this.#unacknowledged.size > 0)
      return this.#stop !== 'room' || this.hasRoom(this.#wanted)
    if (this.#stop === 'room') return this.hasRoom(this.#wanted)
    return this.#stop === 'none' && !this.#reading
  }

  /** Whoever drives the stack has done everything there was to do. */
  #quieten(): void {
    for (const connection of this.#resets) {
      if (connection.held.length === 0) this.#resets.delete(connection)
      else {
        connection.quiet = true
        this.#mark(connection)
      }
    }
  }

  /** Something waits for the stack. */
  get #waits(): boolean {
    if (this.#holding.size > 0 || this.#stop === 'waiting') return true
    return this.#fileEnded && this.#unsettled.size > 0
  }

  #rouse(): void {
    if (this.#stop === 'reading' && !this.#reading) this.#stop = 'none'
    if (this.#callback === null || this.#wake !== null || !this.#playable()) return
    this.#wake = setImmediate(() => {
      this.#wake = null
      const callback = this.#callback
      this.#callback = null
      callback?.()
    })
  }

  #calm(): void {
    if (this.#wake !== null) clearImmediate(this.#wake)
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#closed && this.#retry !== null) clearTimeout(this.#retry)
    this.#wake = null
    this.#timer = null
  }

  // ---- the file -------------------------------------------------------------------------------------------------

  /** Plays what there is room for. */
  #pump(): void {
    if (this.#closed || this.#addresses.length === 0) return
    this.#stop = 'none'
    this.#drainAll()
    while (this.#stop === 'none') {
      if (this.#fileEnded) this.#stop = 'end'
      else if (this.#reading) this.#stop = 'reading'
      else if (this.#heldBytes > MAX_HELD_BYTES) this.#stop = 'waiting'
      else if (this.#current || this.#next()) this.#current = !this.#take()
    }
    if (this.#fileEnded) this.#acknowledge()
  }

  /** Steps to the next segment. False when it has to be waited for, or there is none. */
  #next(): boolean {
    const walk = this.#walk!
    try {
      if (walk.next()) {
        if (walk.assembled) finishAssembled(walk.segment)
        return true
      }
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
    this.#fileEnded = true
    this.#stop = 'none'
    for (const connection of this.#table.all()) {
      // Nobody in the capture has answered it.
      if (!connection.begun && !connection.over) this.#abandon(connection, false)
      this.#owes(connection)
    }
    this.#rouse()
  }

  /** Takes the walk's segment: plays it, holds it, or passes it over. False when it has to wait for room. */
  #take(): boolean {
    const { segment } = this.#walk!
    const toUs = this.#isOurs(
      segment.destination0,
      segment.destination1,
      segment.destination2,
      segment.destination3,
    )
    const fromUs = this.#isOurs(segment.source0, segment.source1, segment.source2, segment.source3)
    if (toUs === fromUs) {
      this.notPlayed.elsewhere++
      return true
    }
    if (fromUs) {
      this.#mirror(segment)
      return true
    }
    const connection = this.#table.find(segment, true)
    if ((segment.flags & (SYN | ACK)) === SYN) return this.#takeSyn(connection, segment)
    if (connection === null) this.notPlayed.unopened++
    else if (connection.over) this.notPlayed.abandoned++
    else if ((segment.flags & SYN) !== 0) {
      // Both sides have opened it (RFC 9293 3.5): the stack is made to be the one that was asked.
      if (!connection.begun) this.#begin(connection, segment)
    } else if (segment.capturedBytes < segment.payloadBytes) this.notPlayed.cut++
    else {
      if (!connection.begun) this.#begin(connection, segment)
      return this.#takeSegment(connection, segment)
    }
    return true
  }

  #takeSyn(known: PlayedConnection | null, segment: SegmentDecoder): boolean {
    if (known !== null && known.iss === segment.seq) {
      if (known.begun && !known.over) this.#playNow(known, segment)
      return this.#stop !== 'room'
    }
    if (known !== null && !this.#makeWay(known)) {
      this.#stop = 'waiting'
      return false
    }
    const { frame, ipAt } = this.#copy(segment)
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
    const oldest = this.#table.add(connection)
    if (oldest !== null) this.#abandon(oldest, true)
    return true
  }

  /** Another connection of the same endpoints begins. False when this one is not over yet. */
  #makeWay(known: PlayedConnection): boolean {
    if (known.held.length > 0) return false
    if (known.begun && !known.over && known.finPlayed) {
      // The application has still to close its side, and its FIN to be acknowledged.
      if (!known.finSent && performance.now() - known.movedAt < SILENCE_MS) return false
      if (!this.hasRoom(LONGEST_MADE)) return false
      this.#make(known, known.playedMax, ACK)
      known.over = true
      this.#unsettled.delete(known)
    } else if (!known.over) this.#abandon(known, true)
    this.#table.remove(known)
    return true
  }

  /** A segment of the captured endpoint that the stack is in the place of. */
  #mirror(segment: SegmentDecoder): void {
    if ((segment.flags & SYN) === 0) return
    const connection = this.#table.find(segment, false)
    if (connection === null || connection.over || connection.begun || (segment.flags & ACK) === 0) return
    if (segment.ack !== ((connection.iss + 1) | 0) && connection.synPayload === null) return
    this.#read(segment)
    const { hasTimestamps, sackPermitted, windowScale } = this.#options
    connection.refused = { timestamps: !hasTimestamps, sack: !sackPermitted, windowScale: windowScale < 0 }
    connection.theirIss = segment.seq
    connection.theirIssKnown = true
    this.#start(connection)
  }

  /** The captured server's answer is not there: what the client goes on with tells what it was. */
  #begin(connection: PlayedConnection, segment: SegmentDecoder): void {
    if ((segment.flags & ACK) !== 0) {
      connection.theirIss = (segment.ack - 1) | 0
      connection.theirIssKnown = true
    }
    this.#read(segment)
    connection.refused = { timestamps: !this.#options.hasTimestamps, sack: false, windowScale: false }
    this.#start(connection)
  }

  /** The SYN is the first that waits for room. */
  #start(connection: PlayedConnection): void {
    connection.begun = true
    const { syn, ipAt, iss } = connection
    this.#hold(connection, { frame: syn, ipAt, flags: SYN, seq: iss, end: iss, from: 0 })
    this.#mark(connection)
    this.#drainAll()
  }

  #takeSegment(connection: PlayedConnection, segment: SegmentDecoder): boolean {
    const end = endOf(segment)
    if ((segment.flags & RST) === 0 && seqDiff(end, connection.seenMax) > 0) connection.seenMax = end
    const total = segment.tcpAt - segment.ipAt + segment.headerBytes + segment.payloadBytes + 22
    const whole = total <= this.#largest
    if (whole && connection.held.length === 0 && this.#fits(connection, segment.flags, segment.seq, end)) {
      return this.#playNow(connection, segment)
    }
    if (segment.payloadBytes > 0 && !isIntact(segment)) {
      // The stack will drop it: there is nothing to wait for.
      if (whole && connection.open) return this.#playNow(connection, segment)
      this.notPlayed.abandoned++
      return true
    }
    const { frame, ipAt } = this.#copy(segment)
    this.#hold(connection, { frame, ipAt, flags: segment.flags, seq: segment.seq, end, from: 0 })
    this.#mark(connection)
    this.#drainAll()
    return true
  }

  // ---- segments -------------------------------------------------------------------------------------------------

  /** Whether the stack takes the segment now. */
  #fits(
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
  #playNow(connection: PlayedConnection, segment: SegmentDecoder): boolean {
    const { packet, assembled } = this.#walk!
    const syn = (segment.flags & SYN) !== 0
    if (!this.#roomFor(segment, syn ? 0 : segment.payloadBytes)) return false
    const linkBytes = this.#builder.link(segment, packet.at, assembled ? -1 : packet.linkType)
    this.#play(connection, segment, linkBytes, 0, syn ? 0 : segment.payloadBytes)
    return true
  }

  #roomFor(segment: SegmentDecoder, length: number): boolean {
    const bytes = segment.tcpAt - segment.ipAt + segment.headerBytes + length + 22
    if (this.hasRoom(bytes)) return true
    this.#stop = 'room'
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
    if (!builder.segment(segment, linkBytes, connection, syn ? connection.refused : null, from, length)) {
      this.notPlayed.abandoned++
      return
    }
    this.play(builder.header, builder.headerBytes, segment.bytes, segment.payloadAt + from, length)
    const last = from + length === segment.payloadBytes
    const end = syn ? (segment.seq + 1) | 0 : last ? endOf(segment) : (segment.seq + from + length) | 0
    if (seqDiff(end, connection.playedMax) > 0) connection.playedMax = end
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
  #copy(segment: SegmentDecoder): { frame: Uint8Array; ipAt: number } {
    const { packet, assembled } = this.#walk!
    const linkBytes = this.#builder.link(segment, packet.at, assembled ? -1 : packet.linkType)
    const frame = new Uint8Array(linkBytes + segment.capturedEnd - segment.ipAt)
    frame.set(this.#builder.header.subarray(0, linkBytes))
    frame.set(segment.bytes.subarray(segment.ipAt, segment.capturedEnd), linkBytes)
    return { frame, ipAt: linkBytes }
  }

  // ---- what waits -----------------------------------------------------------------------------------------------

  #hold(connection: PlayedConnection, held: HeldSegment): void {
    connection.hold(held, performance.now())
    this.#holding.add(connection)
    if ((held.flags & RST) !== 0) this.#resets.add(connection)
    this.#heldBytes += held.frame.length + HELD_OVERHEAD
  }

  #mark(connection: PlayedConnection): void {
    if (connection.dirty) return
    connection.dirty = true
    this.#dirty.push(connection)
  }

  #drainAll(): void {
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
        this.#heldBytes -= segment.frame.length + HELD_OVERHEAD
        if (at < inOrder) connection.inOrder--
      }
    }
    if (at > kept) held.splice(kept, at - kept)
    if (held.length === 0) this.#holding.delete(connection)
    return room
  }

  #playHeld(connection: PlayedConnection, held: HeldSegment): 'done' | 'room' | 'wait' {
    const segment = this.#other
    const { frame, ipAt } = held
    const syn = (held.flags & SYN) !== 0
    const wireEnd = frame.length
    if (segment.decodeIp(frame, ipAt, wireEnd, Math.max(wireEnd, ipAt)) !== SEGMENT) return 'done'
    if (held.again === true) {
      if (!this.#fits(connection, held.flags, held.seq, held.end)) return 'wait'
      if (!this.#roomFor(segment, segment.payloadBytes)) return 'room'
      this.play(frame, frame.length, NO_BYTES, 0, 0)
      return 'done'
    }
    for (;;) {
      const rest = syn ? 0 : segment.payloadBytes - held.from
      const headers = segment.tcpAt - segment.ipAt + segment.headerBytes + 22
      let length = Math.min(rest, Math.max(1, this.#largest - headers))
      if (!this.#fits(connection, held.flags, held.seq, length < rest ? held.seq + length : held.end)) {
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

  /** The stack has dropped entries of the latest burst, and will take them when it has memory again. */
  #keep(first: number, last: number): void {
    const frame = this.received(first, last)
    const segment = this.#other
    const ipAt = ipOffset(frame, 0, frame.length, LINKTYPE_ETHERNET)
    if (ipAt < 0 || segment.decodeIp(frame, ipAt, frame.length, frame.length) !== SEGMENT) return
    const connection = this.#table.find(segment, true)
    if (connection === null || connection.over) return
    const { flags, seq } = segment
    this.#dropped.push({
      connection,
      held: { frame, ipAt, flags, seq, end: endOf(segment), from: 0, again: true },
    })
    connection.movedAt = performance.now()
    this.#retry ??= setTimeout(() => {
      this.#retry = null
      const dropped = this.#dropped
      this.#dropped = []
      for (const each of dropped) {
        if (each.connection.over) continue
        this.#hold(each.connection, each.held)
        this.#mark(each.connection)
      }
      this.#rouse()
    }, RETRY_MS)
  }

  /** The SYN's data becomes a segment of its own. */
  #holdSynPayload(connection: PlayedConnection, payload: Uint8Array): void {
    connection.synPayload = null
    const syn = this.#other
    const { syn: packet, ipAt } = connection
    if (syn.decodeIp(packet, ipAt, packet.length, packet.length) !== SEGMENT) return
    const seq = (connection.iss + 1) | 0
    this.#builder.make(syn, connection, seq, (connection.theirIss + 1) | 0, ACK, payload.length)
    const headers = this.#builder.headerBytes
    const frame = new Uint8Array(headers + payload.length)
    frame.set(this.#builder.header.subarray(0, headers))
    frame.set(payload, headers)
    this.#hold(connection, { frame, ipAt, flags: ACK, seq, end: (seq + payload.length) | 0, from: 0 })
  }

  /** Connections that wait for what the capture does not have. */
  readonly #giveUpSilent = (): void => {
    this.#timer = null
    const now = performance.now()
    // The rest of the file may have it.
    if (this.#stop === 'end' || this.#stop === 'waiting') {
      for (const connection of [...this.#holding]) {
        const { open, held, acked } = connection
        // Its window is shut: the application has not taken what came.
        if (open && held.some(({ seq }) => seqDiff(seq, acked) <= 0)) continue
        if (now - connection.movedAt >= SILENCE_MS) this.#abandon(connection, connection.open)
      }
    }
    if (this.#stop === 'end') {
      // The last bytes lie behind others that the file does not have.
      for (const connection of [...this.#unsettled]) {
        const silent = now - connection.movedAt >= SILENCE_MS
        if (connection.held.length === 0 && silent) this.#abandon(connection, true)
      }
    }
    if (this.#waits && this.#callback !== null) this.#timer = setTimeout(this.#giveUpSilent, SILENCE_MS)
    if (this.#stop === 'waiting') this.#stop = 'none'
    if (this.pending > 0 || this.ended) {
      const callback = this.#callback
      this.#callback = null
      callback?.()
    } else this.#rouse()
  }

  /** Nothing more is played of it. @param reset the stack is told that the peer is gone */
  #abandon(connection: PlayedConnection, reset: boolean): void {
    if (reset && !connection.over && connection.begun && this.hasRoom(LONGEST_MADE)) {
      this.#make(connection, connection.acked, RST | ACK)
    }
    connection.over = true
    this.notPlayed.abandoned += connection.begun ? connection.held.length : 1
    for (const { frame } of connection.held) this.#heldBytes -= frame.length + HELD_OVERHEAD
    connection.held = []
    connection.inOrder = 0
    this.#holding.delete(connection)
    this.#unsettled.delete(connection)
  }

  /** At the end of the file nobody acknowledges any more what the stack sends. */
  #owes(connection: PlayedConnection): void {
    if (!connection.open || connection.over || seqDiff(connection.ourMax, connection.ackPlayed) <= 0) return
    this.#unacknowledged.add(connection)
  }

  #acknowledge(): void {
    for (const connection of this.#unacknowledged) {
      if (!this.hasRoom(LONGEST_MADE)) return
      this.#unacknowledged.delete(connection)
      if (connection.over) continue
      this.#make(connection, connection.playedMax, ACK)
      connection.ackPlayed = connection.ourMax
    }
  }

  #make(connection: PlayedConnection, seq: number, flags: number): void {
    const syn = this.#other
    const { syn: frame, ipAt } = connection
    if (syn.decodeIp(frame, ipAt, frame.length, frame.length) !== SEGMENT) return
    this.#builder.make(syn, connection, seq, connection.ourMax, flags)
    this.play(this.#builder.header, this.#builder.headerBytes, NO_BYTES, 0, 0)
  }

  // ---- the stack ------------------------------------------------------------------------------------------------

  /** What the stack sends tells its numbers, and how far its window reaches. */
  #observe(memory: Uint8Array, at: number, length: number): void {
    const end = at + length
    const ip = ipOffset(memory, at, end, LINKTYPE_ETHERNET)
    const sent = this.#sent
    if (ip < 0 || ip >= end || sent.decodeIp(memory, ip, end, end) !== SEGMENT) return
    const connection = this.#table.find(sent, false)
    if (connection === null || connection.over || !connection.begun) return
    const { flags, seq, ack } = sent
    if ((flags & RST) !== 0) {
      this.#abandon(connection, false)
      return
    }
    this.#read(sent)
    const { hasTimestamps, tsVal, windowScale } = this.#options
    if (hasTimestamps) connection.tsValOurs = tsVal
    const syn = (flags & SYN) !== 0
    if (syn && !connection.open) {
      if ((flags & ACK) === 0) return
      connection.open = true
      connection.ourIss = connection.ourMax = connection.ackPlayed = seq
      connection.timestamps = hasTimestamps
      connection.shift = windowScale
      if (connection.synPayload !== null) this.#holdSynPayload(connection, connection.synPayload)
    }
    if (!connection.open) return
    const after = (seq + sent.payloadBytes + (syn ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) | 0
    if (seqDiff(after, connection.ourMax) > 0) connection.ourMax = after
    if ((flags & ACK) !== 0 && seqDiff(ack, connection.acked) >= 0) {
      // RFC 7323 2.2: the window of a SYN is not scaled.
      const edge = (ack + sent.window * 2 ** (syn ? 0 : Math.max(0, connection.shift))) | 0
      if (ack !== connection.acked || edge !== connection.edge) connection.movedAt = performance.now()
      if (ack !== connection.acked) connection.quiet = false
      connection.acked = ack
      if (seqDiff(edge, connection.edge) > 0) connection.edge = edge
      if (connection.unsettled && seqDiff(ack, connection.playedMax) >= 0) {
        connection.unsettled = false
        this.#unsettled.delete(connection)
      }
    }
    if ((flags & FIN) !== 0) connection.finSent = true
    if (connection.held.length > 0 || this.#stop === 'waiting') this.#mark(connection)
    if (this.#fileEnded && connection.held.length === 0) this.#owes(connection)
  }

  #read(s: SegmentDecoder): void {
    const at = s.tcpAt + TCP_MIN_HEADER_BYTES
    const length = Math.min(s.headerBytes - TCP_MIN_HEADER_BYTES, s.capturedEnd - at)
    this.#options.parse(s.bytes, at, Math.max(0, length))
  }

  #isOurs(w0: number, w1: number, w2: number, w3: number): boolean {
    const addresses = this.#addresses
    for (let i = 0; i < addresses.length; i++) {
      const { words } = addresses[i]!
      if (words[3] === w3 && words[2] === w2 && words[1] === w1 && words[0] === w0) return true
    }
    return false
  }
}

/** Ethernet with two tags, IPv6 with extension headers, TCP with timestamps. */
const LONGEST_MADE = 512

function endOf({ seq, payloadBytes, flags }: SegmentDecoder): number {
  return (seq + payloadBytes + ((flags & FIN) !== 0 ? 1 : 0)) | 0
}

function wordsOfAddress(bytes: Uint8Array): Int32Array {
  if (bytes.length === 4) return Int32Array.of(0, 0, V4_MAPPED, get32(bytes, 0))
  return Int32Array.of(get32(bytes, 0), get32(bytes, 4), get32(bytes, 8), get32(bytes, 12))
}
