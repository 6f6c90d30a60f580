import type { IpAddress } from '../../address.ts'
import { get16, get32, put16 } from '../../bytes.ts'
import type { Clock } from '../clock.ts'
import { ACKS_SENT, type Counters, TX_BYTES } from '../counters.ts'
import type { FrameOutput } from '../ip/frame-output.ts'
import type { Link } from '../ip/link.ts'
import { OutgoingFrame } from '../ip/outgoing-frame.ts'
import { fold, pseudoHeaderSum, pseudoHeaderSum6, sumBytes } from '../wire/checksum.ts'
import { IPPROTO_TCP } from '../wire/ipv4.ts'
import { HOP_LIMIT } from '../wire/ipv6.ts'
import { seqDiff, seqGe } from '../wire/seq.ts'
import {
  ACK,
  FIN,
  PSH,
  putAccurateEcn,
  putFastOpen,
  putMss,
  putSack,
  putSackPermitted,
  putTcp,
  putTimestamps,
  putWindowScale,
  RST,
  SYN,
  TCP_MIN_HEADER_BYTES,
  tcpField,
  URG,
} from '../wire/tcp.ts'
import { ECT_0, Ecn, NOT_ECT } from './ecn.ts'
import type { TcpConfig } from './options.ts'
import { flowLabel, PureAck } from './pure-ack.ts'
import type { Segment } from './segment.ts'
import { SYN_RECEIVED, SYN_SENT } from './state.ts'
import type { Tcb } from './tcb.ts'
import type { WindowKeeper } from './window.ts'

/** Builds our segments in the NIC's transmit slots. Everything a segment says of the receive side comes from here. */
export class TcpOutput {
  readonly #link: Link
  readonly #frames: FrameOutput
  readonly #counters: Counters
  readonly #config: TcpConfig
  readonly #window: WindowKeeper
  readonly #clock: Clock
  readonly #edges = new Int32Array(8)
  /** The frame being built. */
  readonly #frame = new OutgoingFrame(IPPROTO_TCP)
  /** Of the largest frame that the device cuts; 0 = it cuts none. */
  readonly #largeBytes: number
  readonly #pure: PureAck

  constructor(link: Link, counters: Counters, config: TcpConfig, window: WindowKeeper, clock: Clock) {
    this.#clock = clock
    this.#link = link
    this.#frames = link.frames
    this.#pure = new PureAck(link.frames)
    this.#counters = counters
    this.#config = config
    this.#window = window
    const { nic } = link
    this.#largeBytes = nic.roles.largeSends?.txLargeBytes ?? 0
  }

  /** MSS we announce (RFC 6691: MTU less fixed headers, options not deducted). */
  localMss(tcb: Tcb): number {
    return this.#mss(tcb, this.#link.mtuOf(tcb.local.version))
  }

  /** Payload of a full segment in packets of `mtu` bytes towards this peer, options of every segment deducted. */
  mssFor(tcb: Tcb, mtu: number): number {
    const { snd } = tcb
    const { nic, linkBytes } = this.#frames
    const largest = Math.min(snd.peerMss, this.#mss(tcb, Math.min(mtu, nic.txSlotBytes - linkBytes)))
    const asked = tcb.options.maxSeg > 0 ? Math.min(largest, tcb.options.maxSeg) : largest
    return Math.max(32, asked - (tcb.timestamps ? 12 : 0))
  }

  /** `mssFor` the path as it is known now. */
  pathMss(tcb: Tcb, now: number): number {
    return this.mssFor(tcb, this.#link.mtuTo(tcb.remote, now))
  }

  /** RFC 6928. */
  initialWindow(mss: number): number {
    if (this.#config.initialWindow > 0) return this.#config.initialWindow
    return Math.min(10 * mss, Math.max(2 * mss, 14_600))
  }

  /** An ACK with everything the peer should know; clears what was owed. */
  sendAck(tcb: Tcb, now: number): boolean {
    this.#counters.cells[ACKS_SENT]! += 1
    const at = this.#slotFor(tcb, now)
    if (at < 0) return false
    const seq = tcb.snd.acceptable()
    if (!this.#pure.suits(tcb, at)) return this.#write(tcb, at, ACK, seq, 0, now, 0)
    const window = this.#window.announce(tcb, tcb.rcv.shift, now)
    this.#pure.put(tcb, at, seq, window, tcb.timestamps ? this.timestamp(tcb, now) : 0)
    this.#acknowledged(tcb)
    return true
  }

  /** A transmit slot for a frame to the peer; -1 when it can't leave. */
  #slotFor(tcb: Tcb, now: number): number {
    if (tcb.remoteMacHigh < 0) {
      const neighbour = this.#link.resolve(tcb.local, tcb.remote, now)
      if (neighbour === null) return -1
      tcb.remoteMacHigh = neighbour.macHigh
      tcb.remoteMacLow = neighbour.macLow
    }
    return this.#frames.reserve()
  }

  /**
   * Payload of full segments that may leave as one frame for the device to cut; 0 where that can't be. What changes from segment
   * to segment can't come along: ECN's answers, the urgent pointer, SACK blocks.
   */
  largePayload(tcb: Tcb): number {
    if (this.#largeBytes === 0 || tcb.ecn !== null || tcb.snd.urgent || this.#config.pacing) return 0
    if (tcb.sack && (tcb.rcv.ooo.blocks > 0 || tcb.rcv.hasDsack)) return 0
    const ip = tcb.local.version === 4 ? 20 : 40
    const most = Math.min(this.#largeBytes - this.#frames.linkBytes, 65_535)
    return most - ip - TCP_MIN_HEADER_BYTES - (tcb.timestamps ? 12 : 0)
  }

  /**
   * Sends one segment of `length` bytes, which are in the send buffer. False when it could not leave (no slot, neighbour unknown,
   * bytes lent that are gone): a timer will try again.
   * @param segmentBytes not 0 = several segments of so much payload each, which the device cuts; at most `largePayload`
   */
  send(tcb: Tcb, flags: number, seq: number, length: number, now: number, segmentBytes = 0): boolean {
    if (length > 0 && !tcb.snd.intact) return false
    const at = this.#slotFor(tcb, now)
    return at >= 0 && this.#write(tcb, at, flags, seq, length, now, segmentBytes)
  }

  #write(
    tcb: Tcb,
    at: number,
    flags: number,
    seq: number,
    length: number,
    now: number,
    segmentBytes: number,
  ): true {
    const frame = this.#frames.nic.txMemory
    const tcp = at + this.#frames.transportOffset(tcb.local)
    const rcv = tcb.rcv
    let codepoint = NOT_ECT
    if ((flags & SYN) !== 0) flags |= this.#synEcn(tcb, flags)
    else if (tcb.ecn !== null) {
      // RFC 3168 6.1.4 to 6.1.6: only new data is marked, not ACKs, retransmissions and window probes.
      const fresh = length > 0 && seqGe(seq, tcb.snd.max) && tcb.snd.wnd > 0
      if (fresh) codepoint = ECT_0
      flags |= tcb.ecn.flags(fresh, length === 0)
    }
    const optionBytes =
      (flags & SYN) !== 0
        ? this.#putSynOptions(tcb, flags, frame, tcp + TCP_MIN_HEADER_BYTES, now)
        : this.#putOptions(tcb, frame, tcp + TCP_MIN_HEADER_BYTES, now, length === 0)
    const headerBytes = TCP_MIN_HEADER_BYTES + optionBytes
    // RFC 7323 section 2.2: the window of a SYN is never scaled.
    const window = this.#window.announce(tcb, (flags & SYN) !== 0 ? 0 : rcv.shift, now)
    putTcp(
      frame,
      tcp,
      tcb.localPort,
      tcb.remotePort,
      seq,
      (flags & ACK) !== 0 ? rcv.nxt : 0,
      headerBytes,
      flags,
      window,
    )
    if ((flags & URG) !== 0) {
      const ahead = seqDiff(tcb.seldom().sendUrgentEnd, seq)
      put16(frame, tcp + tcpField.urgentPointer, Math.min(0xffff, ahead))
    }
    const skip = seqDiff(seq, tcb.snd.una)
    if (segmentBytes === 0) {
      const data = length > 0 ? tcb.snd.peekSum(skip, length, frame, tcp + headerBytes) : 0
      this.#finish(frame, tcp, tcb.local, tcb.remote, headerBytes, length, data)
    } else {
      tcb.snd.peek(skip, length, frame, tcp + headerBytes)
      put16(frame, tcp + tcpField.checksum, this.#pseudo(tcb.local, tcb.remote, headerBytes + length))
    }
    const out = this.#frame
    out.at = at
    out.macHigh = tcb.remoteMacHigh
    out.macLow = tcb.remoteMacLow
    out.source = tcb.local
    out.destination = tcb.remote
    out.transportBytes = headerBytes + length
    out.flowLabel = flowLabel(tcb)
    out.trafficClass = (tcb.options.trafficClass & ~3) | codepoint
    out.hopLimit = tcb.options.hopLimit || HOP_LIMIT
    out.segmentBytes = segmentBytes
    out.headerBytes = headerBytes
    this.#frames.send(out)
    if ((flags & ACK) !== 0) this.#acknowledged(tcb)
    this.#counters.cells[TX_BYTES]! += length
    return true
  }

  /** The peer is told all that has come. */
  #acknowledged({ rcv }: Tcb): void {
    rcv.lastAckSent = rcv.nxt
    rcv.unacked = 0
    rcv.ackNow = false
  }

  /** Answers a segment that belongs to no connection (RFC 9293 3.10.7.1), to the hardware address it came from. */
  resetFor(segment: Segment, header: Uint8Array): void {
    if ((segment.flags & RST) !== 0) return
    const at = this.#frames.reserve()
    if (at < 0) return
    const hasAck = (segment.flags & ACK) !== 0
    const length =
      segment.length + ((segment.flags & SYN) !== 0 ? 1 : 0) + ((segment.flags & FIN) !== 0 ? 1 : 0)
    const frame = this.#frames.nic.txMemory
    const local = this.#link.localOf(segment)
    putTcp(
      frame,
      at + this.#frames.transportOffset(local),
      segment.destinationPort,
      segment.sourcePort,
      hasAck ? segment.ack : 0,
      hasAck ? 0 : segment.seq + length,
      TCP_MIN_HEADER_BYTES,
      hasAck ? RST : RST | ACK,
      0,
    )
    const out = this.#frame
    out.macHigh = get16(header, 6)
    out.macLow = get32(header, 8)
    out.source = local
    out.destination = segment.source()
    this.#sendReset(at, 0)
  }

  /**
   * Aborts a connection towards its peer. In SYN-SENT too: the peer, in SYN-RECEIVED, waits for the number behind our SYN and takes
   * a reset with exactly this (RFC 9293 3.10.7.4, RFC 5961 3.2); an ACK bit would have to come with a number that we don't know.
   */
  reset(tcb: Tcb): void {
    if (tcb.remoteMacHigh < 0) return
    const acks = tcb.state !== SYN_SENT
    const at = this.#frames.reserve()
    if (at < 0) return
    const frame = this.#frames.nic.txMemory
    const tcp = at + this.#frames.transportOffset(tcb.local)
    // RFC 7323 section 3.2: agreed timestamps are in this one too.
    const options = tcb.timestamps
      ? putTimestamps(
          frame,
          tcp + TCP_MIN_HEADER_BYTES,
          this.timestamp(tcb, this.#clock.now()),
          tcb.rcv.tsRecent,
        )
      : 0
    putTcp(
      frame,
      tcp,
      tcb.localPort,
      tcb.remotePort,
      tcb.snd.acceptable(),
      acks ? tcb.rcv.nxt : 0,
      TCP_MIN_HEADER_BYTES + options,
      acks ? RST | ACK : RST,
      0,
    )
    const out = this.#frame
    out.macHigh = tcb.remoteMacHigh
    out.macLow = tcb.remoteMacLow
    out.source = tcb.local
    out.destination = tcb.remote
    this.#sendReset(at, options)
  }

  /** Payload of a full segment that leaves now: SACK blocks take their room from it (RFC 6691 section 2). */
  payloadLimit(tcb: Tcb): number {
    const { rcv, snd } = tcb
    if (!tcb.sack || (rcv.ooo.blocks === 0 && !rcv.hasDsack)) return snd.mss
    const blocks = Math.min(tcb.timestamps ? 3 : 4, rcv.ooo.blocks + (rcv.hasDsack ? 1 : 0))
    return snd.mss - 4 - 8 * blocks
  }

  /** Flags for data: PSH on the last byte the application has given us (RFC 9293 3.9.1.2). */
  dataFlags(last: boolean, fin: boolean): number {
    return ACK | (last ? PSH : 0) | (fin ? FIN : 0)
  }

  /** TSval for now: milliseconds plus the connection's own offset. */
  timestamp(tcb: Tcb, now: number): number {
    return (Math.floor(now / 1000) + tcb.tsOffset) | 0
  }

  /** RFC 6691: the MTU less the fixed headers. A packet has at most 65535 bytes, so it is never RFC 2675's 65535. */
  #mss(tcb: Tcb, mtu: number): number {
    return Math.min(mtu, 65_535) - (tcb.local.version === 4 ? 40 : 60)
  }

  /** Sends the RST whose header is written at a slot, to whom `#frame` says. */
  #sendReset(at: number, optionBytes: number): void {
    const out = this.#frame
    const { source, destination } = out
    const bytes = TCP_MIN_HEADER_BYTES + optionBytes
    const frames = this.#frames
    this.#finish(frames.nic.txMemory, at + frames.transportOffset(source), source, destination, bytes, 0, 0)
    out.at = at
    out.transportBytes = bytes
    out.flowLabel = 0
    out.trafficClass = NOT_ECT
    out.hopLimit = HOP_LIMIT
    out.segmentBytes = 0
    frames.send(out)
    this.#counters.resetsSent++
  }

  /** The checksum of a segment. @param data folded sum of its `length` bytes of payload */
  #finish(
    frame: Uint8Array,
    tcp: number,
    source: IpAddress,
    destination: IpAddress,
    headerBytes: number,
    length: number,
    data: number,
  ): void {
    const sum = fold(
      this.#pseudo(source, destination, headerBytes + length) + sumBytes(frame, tcp, headerBytes) + data,
    )
    put16(frame, tcp + tcpField.checksum, ~sum & 0xffff)
  }

  #pseudo(source: IpAddress, destination: IpAddress, bytes: number): number {
    return source.version === 4
      ? pseudoHeaderSum(source.w3, destination.w3, IPPROTO_TCP, bytes)
      : pseudoHeaderSum6(source, destination, IPPROTO_TCP, bytes)
  }

  #putSynOptions(tcb: Tcb, flags: number, frame: Uint8Array, at: number, now: number): number {
    // A SYN offers what we can; a SYN,ACK confirms what the peer offered (RFC 7323 1.3, RFC 2018 section 2).
    const offer = (flags & ACK) === 0 && tcb.state !== SYN_RECEIVED
    const { maxSeg } = tcb.options
    let used = putMss(frame, at, maxSeg > 0 ? Math.min(maxSeg, this.localMss(tcb)) : this.localMss(tcb))
    const sack = offer ? this.#config.sack : tcb.sack
    if (offer ? this.#config.timestamps : tcb.timestamps) {
      putTimestamps(frame, at + used, this.timestamp(tcb, now), tcb.rcv.tsRecent)
      // Stands where the NOPs would that align the timestamps.
      if (sack) putSackPermitted(frame, at + used, 0)
      used += 12
    } else if (sack) used += putSackPermitted(frame, at + used, 2)
    if (offer ? this.#config.windowScaling : tcb.windowScaling) {
      used += putWindowScale(frame, at + used, this.#window.shift())
    }
    const cookie = tcb.rare?.fastOpenCookie
    if (cookie != null && (flags & ACK) !== 0) used += putFastOpen(frame, at + used, cookie)
    return used
  }

  /** Flags of a SYN or SYN,ACK; a SYN sent again asks no more: perhaps that was what got it lost (RFC 3168 6.1.1.1). */
  #synEcn(tcb: Tcb, flags: number): number {
    if ((flags & ACK) !== 0) return tcb.ecn === null ? 0 : tcb.ecn.synAckFlags()
    return tcb.snd.retries > 0 ? 0 : Ecn.request(this.#config.ecn)
  }

  #putOptions(tcb: Tcb, frame: Uint8Array, at: number, now: number, pureAck: boolean): number {
    const rcv = tcb.rcv
    let used = 0
    if (tcb.timestamps) used = putTimestamps(frame, at, this.timestamp(tcb, now), rcv.tsRecent)
    const { ecn } = tcb
    if (pureAck && ecn?.accurate && ecn.reportedCeBytes !== ecn.ceBytes) {
      ecn.reportedCeBytes = ecn.ceBytes
      used += putAccurateEcn(frame, at + used, ecn.ect0Bytes, ecn.ceBytes, ecn.ect1Bytes)
    }
    if (!tcb.sack || (rcv.ooo.blocks === 0 && !rcv.hasDsack)) return used
    const room = (40 - used - 4) >>> 3
    let blocks = 0
    if (rcv.hasDsack) {
      // RFC 2883 section 4: the duplicate range is the first block.
      const { dsackStart, dsackEnd } = tcb.seldom()
      this.#edges[0] = dsackStart
      this.#edges[1] = dsackEnd
      blocks = 1
      rcv.hasDsack = false
      this.#counters.dsackSent++
    }
    blocks = rcv.ooo.sackBlocks(this.#edges, blocks, room)
    this.#counters.sackSent++
    return used + putSack(frame, at + used, this.#edges, blocks)
  }
}
