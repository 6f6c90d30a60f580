import { IpAddress } from '../../address.ts'
import { get16, get32, put16, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import type { Segment } from '../tcp/segment.ts'
import { addSums, pseudoHeaderSum6, sumBytes } from '../wire/checksum.ts'
import {
  carriesIcmpError,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_BYTES,
  ICMPV6_ECHO_REPLY,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
} from '../wire/icmp.ts'
import type { InputContext } from './context.ts'
import type { DatagramOutput } from './datagram-output.ts'
import type { Datagram } from './fragment-reassembly.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { Link } from './link.ts'
import { OutgoingFrame } from './outgoing-frame.ts'
import type { PacketBytes } from './packet-bytes.ts'
import type { IcmpAnswers } from './packet-takers.ts'
import { TokenBucket } from './token-bucket.ts'

/** Most of the packet in question that an error quotes: a packet of 576 bytes (RFC 1812 4.3.2.3), of 1280 (RFC 4443 2.4 (c)). */
const QUOTED4 = 576 - 20 - ICMP_HEADER_BYTES
const QUOTED6 = 1280 - 40 - ICMP_HEADER_BYTES
/** Errors that may leave at once. */
const ERROR_BURST = 50
/** Largest message. */
const MAX_MESSAGE = 65_535

/** ICMP messages out, of both versions: echo replies and errors, from our own addresses only, rate-limited. */
export class IcmpOutput implements IcmpAnswers {
  readonly #link: Link
  readonly #counters: Counters
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #datagrams: DatagramOutput
  readonly #segment: Segment
  readonly #echoes: TokenBucket
  readonly #errors: TokenBucket
  readonly #frame4 = new OutgoingFrame(IPPROTO_ICMP)
  readonly #frame6 = new OutgoingFrame(IPPROTO_ICMPV6)
  /** Made when first needed. */
  #message: Uint8Array = new Uint8Array(0)

  constructor(context: InputContext, datagrams: DatagramOutput) {
    const { config } = context
    this.#link = context.link
    this.#counters = context.counters
    this.#headers = context.headers
    this.#bytes = context.bytes
    this.#datagrams = datagrams
    this.#segment = context.segment
    this.#echoes = new TokenBucket(config.echoPerSecond, config.echoPerSecond)
    this.#errors = new TokenBucket(config.icmpErrorsPerSecond, ERROR_BURST)
  }

  /** Makes `PacketBytes` show the packet being processed. */
  load(): void {
    if (this.#segment.list < 0) this.#bytes.setFrame(this.#headers.first, this.#headers.last)
  }

  /** Answers the echo request of `length` bytes at `at`, to the hardware address it came from. */
  echoReply(at: number, length: number, now: number): void {
    const local = this.#link.localOf(this.#segment)
    if (!this.#link.isOwn(local)) {
      this.#counters.dropIcmp++
      return
    }
    if (!this.#echoes.take(now)) {
      this.#counters.dropIcmpLimit++
      return
    }
    const message = this.#room()
    this.#bytes.copy(at, length, message, 0)
    message[0] = local.version === 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY
    this.#counters.icmpEchoReplies++
    this.#send(this.#headers.bytes, local, this.#segment.source(), length, now)
  }

  /**
   * Reports an error in the packet being processed, whose IP header begins at `ipAt` of the frame. Says nothing where RFC
   * 1122 3.2.2 and RFC 4443 2.4 (e) forbid it.
   * @param info the second word of the message @param group answer also what came to a group (RFC 4443 2.4 (e.3))
   */
  error(type: number, code: number, info: number, ipAt: number, now: number, group = false): void {
    const segment = this.#segment
    const header = this.#headers.bytes
    const source = segment.source()
    if (!this.#link.isUnicast(source) || source.loopback || ((header[0]! & 1) !== 0 && !group)) return
    let local: IpAddress | null = this.#link.localOf(segment)
    if (local.multicast) local = group ? this.#link.localFor(source) : null
    if (local === null || !this.#link.isOwn(local) || !this.#errors.take(now)) return
    this.load()
    const most = local.version === 4 ? QUOTED4 : QUOTED6
    const quoted = Math.min(most, this.#headers.frameBytes - ipAt)
    const message = this.#room()
    this.#bytes.copy(ipAt, quoted, message, ICMP_HEADER_BYTES)
    if (carriesIcmpError(message, ICMP_HEADER_BYTES, ICMP_HEADER_BYTES + quoted)) return
    this.#begin(type, code, info)
    this.#send(header, local, source, ICMP_HEADER_BYTES + quoted, now)
  }

  /** Reports a datagram whose fragments did not all come, quoting its first. */
  timeExceeded(type: number, code: number, datagram: Datagram, now: number): void {
    const { header, ipAt, keptBytes } = datagram
    const d = datagram
    const source = new IpAddress(d.source0, d.source1, d.source2, d.source3)
    const to = new IpAddress(d.destination0, d.destination1, d.destination2, d.destination3)
    if (!this.#link.isUnicast(source) || (header[0]! & 1) !== 0) return
    if (!this.#link.isOwn(to) || !this.#errors.take(now)) return
    if (carriesIcmpError(header, ipAt, keptBytes)) return
    const message = this.#room()
    message.set(header.subarray(ipAt, keptBytes), ICMP_HEADER_BYTES)
    this.#begin(type, code, 0)
    this.#send(header, to, source, ICMP_HEADER_BYTES + keptBytes - ipAt, now)
  }

  #room(): Uint8Array {
    if (this.#message.length === 0) this.#message = new Uint8Array(MAX_MESSAGE)
    return this.#message
  }

  #begin(type: number, code: number, info: number): void {
    const message = this.#message
    message[0] = type
    message[1] = code
    put32(message, 4, info)
    this.#counters.icmpErrorsSent++
  }

  /** Sends the first `length` bytes of the message to where the frame with this header came from. */
  #send(header: Uint8Array, source: IpAddress, destination: IpAddress, length: number, now: number): void {
    const message = this.#message
    const frame = source.version === 4 ? this.#frame4 : this.#frame6
    put16(message, 2, 0)
    const pseudo = source.version === 4 ? 0 : pseudoHeaderSum6(source, destination, frame.protocol, length)
    put16(message, 2, ~addSums(pseudo, sumBytes(message, 0, length)) & 0xffff)
    frame.macHigh = get16(header, 6)
    frame.macLow = get32(header, 8)
    frame.source = source
    frame.destination = destination
    frame.transportBytes = length
    this.#datagrams.send(frame, message, now)
  }
}
