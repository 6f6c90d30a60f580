import { put16, put32 } from '../bytes.ts'
import type { FrameObserver } from '../driver/nic.ts'
import type { DatagramPiece } from '../pcap/decode/defragment.ts'
import { CapturedOptions } from '../pcap/decode/options.ts'
import { SEGMENT, SegmentDecoder } from '../pcap/decode/segment.ts'
import type { FollowedStream } from '../pcap/follow/streams.ts'
import { FrameNic } from '../pcap/play/frame-nic.ts'
import type { VirtualClock } from '../stack/clock.ts'
import { sumBytes } from '../stack/wire/checksum.ts'
import { ETHERNET_HEADER_BYTES } from '../stack/wire/ethernet.ts'
import { seqDiff } from '../stack/wire/seq.ts'
import { ACK, FIN, PSH, putTimestamps, RST, SYN, TCP_MIN_HEADER_BYTES } from '../stack/wire/tcp.ts'
import { type EndpointHandler, LOCAL4, LOCAL6, ReplayEndpoint, SESSION_MASK, sessionOf } from './endpoint.ts'
import { FrameBuilder, MAX_CUT_BYTES } from './frame.ts'
import { playPlain } from './plain.ts'
import type { Recorder } from './recorder.ts'
import { ReplaySession, type SessionEnds, type SessionSink } from './session.ts'

/** What an IP packet's length field can say. */
const MAX_IP_BYTES = 65_535
/** Bytes that wait for a connection to be established. */
const MAX_EARLY_BYTES = 65_536
const SEND_ROOM = 16 << 20
const NO_BYTES = new Uint8Array(0)
const ZEROS = new Uint8Array(MAX_CUT_BYTES)

export interface RoleOptions {
  readonly clock: VirtualClock
  readonly seed: number
  readonly areaBytes: number
  readonly recomputeChecksums: boolean
  /** Writes down what goes in and out. */
  readonly recorder: Recorder | null
}

/** Plays one side of conversations, the clients' or the servers', to an endpoint that is in the place of the other. */
export class Role implements EndpointHandler {
  readonly plays: 'client' | 'server'
  readonly endpoint: ReplayEndpoint
  readonly nic: FrameNic
  /** Microseconds of the capture: what happens now. */
  now = 0
  /** Frames played. */
  frames = 0
  /** Segments that could not be played: headers longer than any, or no room in the area. */
  unplayable = 0
  readonly #sink: SessionSink
  readonly #clock: VirtualClock
  readonly #recompute: boolean
  readonly #builder = new FrameBuilder()
  readonly #sent = new SegmentDecoder()
  readonly #options = new CapturedOptions()
  readonly #sessions = new Map<number, ReplaySession>()
  readonly #recorder: Recorder | null
  #nextId = 0
  /** Whose frames wait in the queue. */
  #burst: ReplaySession | null = null
  #last: ReplaySession | null = null
  #copied = 0

  constructor(plays: 'client' | 'server', options: RoleOptions, sink: SessionSink) {
    this.plays = plays
    this.#sink = sink
    this.#clock = options.clock
    this.#recompute = options.recomputeChecksums
    const { recorder } = options
    this.nic = new FrameNic('replay', `replay-${plays}`)
    if (recorder !== null) {
      const observer: FrameObserver = { settled: (_first, _last, cause) => recorder.settled(plays, cause) }
      this.nic.roles = { ...this.nic.roles, observer }
    }
    this.nic.onTransmit = (memory, at, length) => this.#observe(memory, at, length)
    this.#recorder = recorder
    this.endpoint = new ReplayEndpoint(this.nic, options, this)
  }

  /** A conversation begins. @param who whose stream is played */
  begin(who: FollowedStream, ends: SessionEnds): ReplaySession {
    return this.#add(new ReplaySession(this.#takeId(), who, ends))
  }

  /** The connection begins anew: what was played of it is forgotten. */
  again(session: ReplaySession): ReplaySession {
    this.finish(session)
    return this.#add(session.again(this.#takeId()))
  }

  #takeId(): number {
    const id = this.#nextId
    this.#nextId = (id + 1) & SESSION_MASK
    return id
  }

  #add(session: ReplaySession): ReplaySession {
    this.#sessions.set(session.id, session)
    return session
  }

  /** Nothing more is played of it; our endpoint forgets the connection. */
  finish(session: ReplaySession): void {
    if (session.released) return
    this.flush()
    session.released = true
    // What becomes of the connection from here on is our doing.
    this.#sessions.delete(session.id)
    if (session.fd >= 0) this.endpoint.abandon(session.id, session.fd)
    if (this.#last === session) this.#last = null
  }

  /** Frames wait. */
  get busy(): boolean {
    return this.#burst !== null
  }

  /** Our endpoint takes what waits. */
  flush(): void {
    if (this.#burst !== null || this.endpoint.ring.hasWork()) this.turn()
  }

  /** Our endpoint works, whether something waits or not: timers are due, or it was told something. */
  turn(): void {
    this.#clock.advanceTo(this.now)
    this.endpoint.turn()
    const copied = this.endpoint.copiedBytes
    if (copied > this.#copied && this.#burst !== null) this.#burst.copiedBytes += copied - this.#copied
    this.#copied = copied
    this.#burst = null
  }

  // ---- the played side ------------------------------------------------------------------------------------------

  /** A segment of the played side. @param pieces the fragments that it came in */
  play(
    session: ReplaySession,
    segment: SegmentDecoder,
    pieces: readonly DatagramPiece[] | null = null,
  ): void {
    if (session.released || session.skipped !== null) return
    const { flags } = segment
    if ((flags & (SYN | ACK)) === SYN && !session.ourIssKnown) {
      // What it offers depends on what the captured peer took up.
      const packet = segment.bytes.slice(segment.ipAt, segment.capturedEnd)
      if (session.heldSyns.length < 16) session.heldSyns.push(packet)
      return
    }
    if (session.heldSyns.length > 0) {
      this.#options.read(segment)
      session.refused = { timestamps: !this.#options.hasTimestamps, sack: false, windowScale: false }
      this.answerSyns(session, true)
    }
    this.#segment(session, segment, pieces)
    if ((flags & (SYN | FIN | RST)) !== 0) this.flush()
  }

  /** The SYNs that waited are played. @param listen somebody takes them */
  answerSyns(session: ReplaySession, listen: boolean): void {
    const syns = session.heldSyns
    if (syns.length === 0) return
    session.heldSyns = []
    if (listen) this.endpoint.listen(session.remote.version, session.ports.destination)
    const segment = new SegmentDecoder()
    for (const packet of syns) {
      const found = segment.decodeIp(packet, 0, packet.length, packet.length)
      if (found === SEGMENT) this.#segment(session, segment, null)
      this.flush()
    }
  }

  #segment(session: ReplaySession, segment: SegmentDecoder, pieces: readonly DatagramPiece[] | null): void {
    const { flags, capturedBytes, payloadBytes } = segment
    if (!session.theirIssKnown && (flags & ACK) !== 0) {
      session.theirIss = (segment.ack - 1) | 0
      session.theirIssKnown = true
    }
    const syn = (flags & SYN) !== 0
    if (syn && payloadBytes > 0) {
      // Our endpoint has no cookie to recognise (RFC 7413): the data follows the handshake.
      const bytes = segment.bytes.slice(segment.payloadAt, segment.payloadAt + capturedBytes)
      session.synPayload = { seq: (segment.seq + 1) | 0, bytes }
    }
    const length = syn ? 0 : capturedBytes
    const cut = length < payloadBytes
    const end = (segment.seq + length) | 0
    if (session.acksBeyond(segment.ack) || (session.open && seqDiff(end, session.edge) > 0)) this.flush()
    const at = segment.payloadAt
    if (
      !syn &&
      !cut &&
      pieces === null &&
      session.synPayload === null &&
      !this.#recompute &&
      this.#plain(session, segment)
    ) {
      return
    }
    const { changes } = this.#builder
    changes.numbers = session
    changes.refused = syn ? session.refused : null
    changes.ends = session.ends
    changes.recompute = this.#recompute
    changes.length = length
    const whole = this.#builder.captured(segment)
    if (!whole) {
      this.unplayable++
      return
    }
    this.#note(session, segment)
    if (pieces !== null && !cut) this.#putFragments(session, segment, pieces)
    else if (this.#builder.headerBytes - ETHERNET_HEADER_BYTES + length > MAX_IP_BYTES) {
      this.#putCut(session, segment, length)
    } else this.#put(session, segment.bytes, at, length)
    if (session.synPayload !== null && !syn) {
      const { seq, bytes } = session.synPayload
      session.synPayload = null
      this.#make(session, seq, bytes, 0, bytes.length, ACK | PSH)
    }
  }

  /** The fast path (`playPlain`). False, and nothing is done, for what it is not made for. */
  #plain(session: ReplaySession, segment: SegmentDecoder): boolean {
    if (this.#burst !== null && this.#burst !== session) this.turn()
    const at = playPlain(this.nic, session, segment)
    if (at < 0) return false
    this.#burst = session
    this.frames++
    if (this.#recorder?.done === false) {
      const total = ETHERNET_HEADER_BYTES + segment.ipEnd - segment.ipAt
      this.#recorder.played(this.plays, session, this.nic.area.slice(at, at + total), this.now)
    }
    return true
  }

  #note(session: ReplaySession, segment: SegmentDecoder): void {
    session.lastAck = segment.ack
    session.lastWindow = segment.window
    if (!session.timestamps) return
    this.#options.read(segment)
    if (this.#options.hasTimestamps) session.lastTsVal = this.#options.tsVal
  }

  /** Zeros in the place of what the capture lacks; the FIN behind them, if it is known to be there. */
  fill(session: ReplaySession, seq: number, length: number, fin: boolean): void {
    if (session.released) return
    for (let from = 0; from < length; ) {
      const part = Math.min(length - from, MAX_CUT_BYTES)
      from += part
      const last = fin && from === length
      this.#make(session, (seq + from - part) | 0, ZEROS, 0, part, last ? ACK | FIN : ACK)
    }
  }

  /** A segment in the played side's name. */
  #make(
    session: ReplaySession,
    seq: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    flags: number,
  ): void {
    if (session.open && seqDiff((seq + length) | 0, session.edge) > 0) this.flush()
    const options = session.timestamps ? new Uint8Array(12) : NO_BYTES
    if (session.timestamps) putTimestamps(options, 0, session.lastTsVal, session.ourTsVal)
    const ack = session.ack(session.lastAck)
    const { remote, ports, lastWindow: window } = session
    this.#builder.make({ remote, ports, seq, ack, flags, window, options, payload: bytes, at, length })
    this.#put(session, bytes, at, length)
  }

  /** A segment that no IP packet can hold, as an offloading sender's: several of them. */
  #putCut(session: ReplaySession, segment: SegmentDecoder, length: number): void {
    const { tcpAt, headerBytes, header } = this.#builder
    const options = header.slice(tcpAt + TCP_MIN_HEADER_BYTES, headerBytes)
    for (let from = 0; from < length; ) {
      const part = Math.min(length - from, MAX_CUT_BYTES)
      const flags = from + part < length ? segment.flags & ~(FIN | PSH) : segment.flags
      const at = segment.payloadAt + from
      this.#builder.make({
        remote: session.remote,
        ports: session.ports,
        seq: (segment.seq + from) | 0,
        ack: session.ack(segment.ack),
        flags: flags & 0xff,
        window: segment.window,
        options,
        payload: segment.bytes,
        at,
        length: part,
      })
      this.#put(session, segment.bytes, at, part)
      from += part
    }
  }

  /** The fragments as they came, with what was changed in the datagram. */
  #putFragments(session: ReplaySession, segment: SegmentDecoder, pieces: readonly DatagramPiece[]): void {
    const { header, tcpAt, headerBytes } = this.#builder
    const transport = new Uint8Array(headerBytes - tcpAt + segment.payloadBytes)
    transport.set(header.subarray(tcpAt, headerBytes))
    const { payloadAt, payloadBytes } = segment
    transport.set(segment.bytes.subarray(payloadAt, payloadAt + payloadBytes), headerBytes - tcpAt)
    for (const piece of pieces) {
      const ip = ETHERNET_HEADER_BYTES
      header.set(piece.packet.subarray(0, piece.dataAt), ip)
      if (session.remote.version === 4) {
        put32(header, ip + 12, session.remote.w3)
        put32(header, ip + 16, LOCAL4.w3)
        put16(header, ip + 10, 0)
        put16(header, ip + 10, ~sumBytes(header, ip, piece.dataAt) & 0xffff)
      } else {
        session.remote.put(header, ip + 8)
        LOCAL6.put(header, ip + 24)
      }
      this.#builder.headerBytes = ip + piece.dataAt
      this.#put(
        session,
        transport,
        piece.offset,
        Math.max(0, Math.min(piece.length, transport.length - piece.offset)),
      )
    }
  }

  /** Puts the frame whose headers were built into the queue. */
  #put(session: ReplaySession, payload: Uint8Array, at: number, length: number): void {
    const { header, headerBytes } = this.#builder
    const foreign = this.#burst !== null && this.#burst !== session
    if (foreign || !this.nic.hasRoom(headerBytes + length)) this.turn()
    this.#burst = session
    if (!this.nic.play(header, headerBytes, payload, at, length)) {
      this.unplayable++
      return
    }
    this.frames++
    if (this.#recorder?.done === false) {
      const frame = new Uint8Array(headerBytes + length)
      frame.set(header.subarray(0, headerBytes))
      frame.set(payload.subarray(at, at + length), headerBytes)
      this.#recorder.played(this.plays, session, frame, this.now)
    }
  }

  // ---- our side ---------------------------------------------------------------------------------------------------

  /** A segment of the captured endpoint that ours is in the place of. @param resets it ends the connection */
  mirror(session: ReplaySession, segment: SegmentDecoder, resets = false): void {
    if (session.released || session.skipped !== null) return
    const { flags } = segment
    if ((flags & SYN) !== 0) this.#mirrorSyn(session, segment)
    else if (resets) this.answerSyns(session, false)
    if (!session.timestamps) return
    this.#options.read(segment)
    if (this.#options.hasTimestamps) session.sawTimestamp(this.#options.tsVal)
  }

  #mirrorSyn(session: ReplaySession, segment: SegmentDecoder): void {
    if (!session.theirIssKnown) {
      session.theirIss = segment.seq
      session.theirIssKnown = true
    }
    const options = this.#options
    options.read(segment)
    if (this.plays === 'client') {
      session.refused ??= {
        timestamps: !options.hasTimestamps,
        sack: !options.sackPermitted,
        windowScale: options.windowScale < 0,
      }
      this.answerSyns(session, true)
      return
    }
    if (session.fd >= 0 || (segment.flags & ACK) !== 0) return
    this.flush()
    this.#clock.advanceTo(this.now)
    const { source, destination } = session.ports
    session.fd = this.endpoint.connect(session.id, session.remote.version, destination, source)
    session.tcb = this.endpoint.tcb(session.fd)
    this.turn()
  }

  /** Our endpoint sends what the captured one did. */
  send(session: ReplaySession, bytes: Uint8Array, at: number, length: number): void {
    if (session.released || session.skipped !== null || session.shut || session.choked) return
    this.flush()
    if (!session.open) {
      if (session.earlyBytes + length > MAX_EARLY_BYTES) {
        session.choked = true
        session.unsentBytes += length
        return
      }
      session.early.push(bytes.slice(at, at + length))
      session.earlyBytes += length
      return
    }
    if (session.endedBadly) return
    if ((session.tcb?.snd.buffered ?? 0) + length > SEND_ROOM) {
      session.choked = true
      session.unsentBytes += length
      return
    }
    this.#clock.advanceTo(this.now)
    this.endpoint.send(session.id, session.fd, bytes, at, length)
  }

  /** Our endpoint's stream ends where the captured one's did. */
  shutdown(session: ReplaySession): void {
    if (session.shut || session.released || !session.open) return
    this.flush()
    session.shut = true
    this.#clock.advanceTo(this.now)
    this.endpoint.shutdown(session.fd)
    this.turn()
  }

  // ---- what our endpoint tells ----------------------------------------------------------------------------------

  opened(id: number, fd: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    if (fd >= 0) {
      if (session.fd >= 0) return
      session.fd = fd
      session.tcb = this.endpoint.tcb(fd)
    }
    session.open = true
    this.endpoint.receive(id, session.fd)
    const early = session.early
    session.early = []
    for (const bytes of early) this.endpoint.send(id, session.fd, bytes, 0, bytes.length)
  }

  data(id: number, offset: number, length: number): void {
    const last = this.#last
    const session = last !== null && last.id === id ? last : this.#sessions.get(id)
    if (session === undefined) return
    this.#last = session
    session.completions++
    this.#sink.completed(session, this.endpoint.area, offset, length)
    session.deliver(this.endpoint.area, offset, length, this.#sink)
  }

  ended(id: number, errno: number): void {
    const session = this.#sessions.get(id)
    if (session !== undefined && session.endedWith < 0) session.endedWith = errno
  }

  /** A frame of our endpoint's: what it has said is what the played side's numbers are translated to. */
  #observe(memory: Uint8Array, at: number, length: number): void {
    const sent = this.#sent
    if (sent.decodeIp(memory, at + ETHERNET_HEADER_BYTES, at + length, at + length) !== SEGMENT) return
    const session = this.#sessions.get(sessionOf(sent.destination3))
    if (session === undefined) return
    if (this.#recorder?.done === false)
      this.#recorder.sent(this.plays, session, memory, at, length, this.#clock.now())
    const { flags, seq } = sent
    const syn = (flags & SYN) !== 0
    if (syn && !session.ourIssKnown) {
      session.ourIss = seq
      session.ourMax = seq
      session.ourIssKnown = true
    }
    if (syn || (flags & RST) === 0) {
      const end = (seq + sent.payloadBytes + (syn ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) | 0
      if (seqDiff(end, session.ourMax) > 0) session.ourMax = end
    }
    this.#options.read(sent)
    const { hasTimestamps, tsVal } = this.#options
    // RFC 7323 3.2: a reset may do without what was agreed upon.
    if ((flags & RST) === 0) session.timestamps = hasTimestamps
    if (hasTimestamps) session.ourTsVal = tsVal
  }
}
