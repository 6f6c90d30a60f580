import type { Counters } from '../counters.ts'
import { L4_OFFSET, type Link } from '../ip/link.ts'
import { put16 } from '../wire/bytes.ts'
import { addSums, pseudoHeaderSum, sumBytes } from '../wire/checksum.ts'
import { IPPROTO_TCP } from '../wire/ipv4.ts'
import {
  ACK,
  FIN,
  PSH,
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
} from '../wire/tcp.ts'
import type { TcpConfig } from './options.ts'
import type { Segment } from './segment.ts'
import { SYN_RECEIVED } from './state.ts'
import type { Tcb } from './tcb.ts'
import type { WindowKeeper } from './window.ts'

/** Builds our segments in the NIC's transmit slots. Everything a segment says of the receive side comes from here. */
export class TcpOutput {
  readonly #link: Link
  readonly #counters: Counters
  readonly #config: TcpConfig
  readonly #window: WindowKeeper
  readonly #edges = new Int32Array(8)
  readonly #rstMac = new Uint8Array(6)

  constructor(link: Link, counters: Counters, config: TcpConfig, window: WindowKeeper) {
    this.#link = link
    this.#counters = counters
    this.#config = config
    this.#window = window
  }

  /** MSS we announce (RFC 6691: MTU less fixed headers, options not deducted). */
  get localMss(): number {
    return Math.min(65_495, this.#link.nic.info.mtu - 40)
  }

  /** An ACK with everything the peer should know; clears what was owed. */
  sendAck(tcb: Tcb, now: number): boolean {
    this.#counters.acksSent++
    return this.send(tcb, ACK, tcb.snd.max, 0, 0, now)
  }

  /**
   * Sends one segment of `length` bytes that lie `skip` bytes into the send buffer. False when it could not leave (no slot,
   * neighbour unknown): a timer will try again.
   */
  send(tcb: Tcb, flags: number, seq: number, skip: number, length: number, now: number): boolean {
    if (!tcb.hasRemoteMac) {
      if (!this.#link.resolve(tcb.localAddress, tcb.remoteAddress, tcb.remoteMac, now)) return false
      tcb.hasRemoteMac = true
    }
    const at = this.#link.reserve()
    if (at < 0) return false
    const frame = this.#link.nic.txMemory
    const tcp = at + L4_OFFSET
    const rcv = tcb.rcv
    const optionBytes =
      (flags & SYN) !== 0
        ? this.#putSynOptions(tcb, flags, frame, tcp + TCP_MIN_HEADER_BYTES, now)
        : this.#putOptions(tcb, frame, tcp + TCP_MIN_HEADER_BYTES, now)
    const headerBytes = TCP_MIN_HEADER_BYTES + optionBytes
    // RFC 7323 section 2.2: the window of a SYN is never scaled.
    const window = this.#window.announce(tcb, (flags & SYN) !== 0 ? 0 : rcv.shift)
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
    if (length > 0) tcb.snd.peek(skip, length, frame, tcp + headerBytes)
    this.#finish(frame, at, tcb.localAddress, tcb.remoteAddress, headerBytes + length)
    this.#link.send(
      at,
      tcb.remoteMac,
      tcb.localAddress,
      tcb.remoteAddress,
      IPPROTO_TCP,
      headerBytes + length,
      tcb.ipId++ & 0xffff,
    )
    if ((flags & ACK) !== 0) {
      rcv.lastAckSent = rcv.nxt
      rcv.unacked = 0
      rcv.ackNow = false
    }
    this.#counters.txBytes += length
    return true
  }

  /** Answers a segment that belongs to no connection (RFC 9293 3.10.7.1), to the hardware address it came from. */
  resetFor(segment: Segment, header: Uint8Array): void {
    if ((segment.flags & RST) !== 0) return
    const at = this.#link.reserve()
    if (at < 0) return
    const hasAck = (segment.flags & ACK) !== 0
    const length =
      segment.length + ((segment.flags & SYN) !== 0 ? 1 : 0) + ((segment.flags & FIN) !== 0 ? 1 : 0)
    const frame = this.#link.nic.txMemory
    for (let i = 0; i < 6; i++) this.#rstMac[i] = header[6 + i]!
    putTcp(
      frame,
      at + L4_OFFSET,
      segment.destinationPort,
      segment.sourcePort,
      hasAck ? segment.ack : 0,
      hasAck ? 0 : segment.seq + length,
      TCP_MIN_HEADER_BYTES,
      hasAck ? RST : RST | ACK,
      0,
    )
    this.#sendBare(frame, at, segment.destination, segment.source)
  }

  /** Aborts a connection towards its peer. */
  reset(tcb: Tcb): void {
    if (!tcb.hasRemoteMac) return
    const at = this.#link.reserve()
    if (at < 0) return
    const frame = this.#link.nic.txMemory
    this.#rstMac.set(tcb.remoteMac)
    putTcp(
      frame,
      at + L4_OFFSET,
      tcb.localPort,
      tcb.remotePort,
      tcb.snd.nxt,
      tcb.rcv.nxt,
      TCP_MIN_HEADER_BYTES,
      RST | ACK,
      0,
    )
    this.#sendBare(frame, at, tcb.localAddress, tcb.remoteAddress)
  }

  /** Payload of a full segment that leaves now: SACK blocks take their room from it (RFC 6691 section 2). */
  payloadLimit(tcb: Tcb): number {
    const { rcv, snd } = tcb
    if (!tcb.sack || (rcv.ooo.count === 0 && !rcv.hasDsack)) return snd.mss
    const blocks = Math.min(tcb.timestamps ? 3 : 4, rcv.ooo.count + (rcv.hasDsack ? 1 : 0))
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

  #sendBare(frame: Uint8Array, at: number, source: number, destination: number): void {
    this.#finish(frame, at, source, destination, TCP_MIN_HEADER_BYTES)
    this.#link.send(at, this.#rstMac, source, destination, IPPROTO_TCP, TCP_MIN_HEADER_BYTES, 0)
    this.#counters.resetsSent++
  }

  #finish(frame: Uint8Array, at: number, source: number, destination: number, bytes: number): void {
    const tcp = at + L4_OFFSET
    const sum = addSums(pseudoHeaderSum(source, destination, IPPROTO_TCP, bytes), sumBytes(frame, tcp, bytes))
    put16(frame, tcp + tcpField.checksum, ~sum & 0xffff)
  }

  #putSynOptions(tcb: Tcb, flags: number, frame: Uint8Array, at: number, now: number): number {
    // A SYN offers what we can; a SYN,ACK confirms what the peer offered (RFC 7323 1.3, RFC 2018 section 2).
    const offer = (flags & ACK) === 0 && tcb.state !== SYN_RECEIVED
    let used = putMss(frame, at, this.localMss)
    if (offer ? this.#config.sack : tcb.sack) used += putSackPermitted(frame, at + used)
    if (offer ? this.#config.timestamps : tcb.timestamps) {
      used += putTimestamps(frame, at + used, this.timestamp(tcb, now), tcb.rcv.tsRecent)
    }
    if (offer ? this.#config.windowScaling : tcb.windowScaling) {
      used += putWindowScale(frame, at + used, this.#window.shift())
    }
    return used
  }

  #putOptions(tcb: Tcb, frame: Uint8Array, at: number, now: number): number {
    const rcv = tcb.rcv
    let used = 0
    if (tcb.timestamps) used = putTimestamps(frame, at, this.timestamp(tcb, now), rcv.tsRecent)
    if (!tcb.sack || (rcv.ooo.count === 0 && !rcv.hasDsack)) return used
    const room = tcb.timestamps ? 3 : 4
    let blocks = 0
    if (rcv.hasDsack) {
      // RFC 2883 section 4: the duplicate range is the first block.
      this.#edges[0] = rcv.dsackStart
      this.#edges[1] = rcv.dsackEnd
      blocks = 1
      rcv.hasDsack = false
      this.#counters.dsackSent++
    }
    blocks = rcv.ooo.sackBlocks(this.#edges, blocks, room)
    this.#counters.sackSent++
    return used + putSack(frame, at + used, this.#edges, blocks)
  }
}
