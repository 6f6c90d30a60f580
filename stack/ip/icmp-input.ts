import type { Counters } from '../counters.ts'
import type { Teller } from '../siblings/teller.ts'
import { Segment } from '../tcp/segment.ts'
import { addSums, pseudoHeaderSumOf } from '../wire/checksum.ts'
import {
  ICMP_ECHO,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_HEADER_BYTES,
  ICMP_PARAMETER_PROBLEM,
  ICMP_REDIRECT,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMPV6_ECHO,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
  IPPROTO_ICMPV6,
  NDP_REDIRECT,
  NDP_ROUTER_SOLICITATION,
} from '../wire/icmp.ts'
import { IPPROTO_TCP, IPV4_FRAGMENT_MASK, IPV4_MIN_HEADER_BYTES } from '../wire/ipv4.ts'
import { IPV6_HEADER_BYTES } from '../wire/ipv6.ts'
import type { InputContext, UpperLayer } from './context.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { Link } from './link.ts'
import type { PacketBytes } from './packet-bytes.ts'
import type { IcmpAnswers } from './packet-takers.ts'

/** Bytes of a TCP header that every error quotes: ports and sequence number (RFC 792). */
const QUOTED_TCP_BYTES = 8

// Linux errno numbers.
const EACCES = 13
const EHOSTDOWN = 112
const ENONET = 64
const ENOPROTOOPT = 92
const ECONNREFUSED = 111
const EHOSTUNREACH = 113
const ENETUNREACH = 101
const EOPNOTSUPP = 95
const EPROTO = 71

/** By code of an unreachable message, what Linux tells the application (`icmp_err_convert`); 4 is for the path MTU. */
const UNREACHABLE4 = [
  ENETUNREACH,
  EHOSTUNREACH,
  ENOPROTOOPT,
  ECONNREFUSED,
  0,
  EOPNOTSUPP,
  ENETUNREACH,
  EHOSTDOWN,
  ENONET,
  ENETUNREACH,
  EHOSTUNREACH,
  ENETUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
  EHOSTUNREACH,
]
/** The same for ICMPv6 (`tab_unreach`). */
const UNREACHABLE6 = [ENETUNREACH, EACCES, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, EACCES, EACCES]

/** ICMP messages in, of both versions. */
export class IcmpInput {
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #counters: Counters
  readonly #link: Link
  readonly #segment: Segment
  readonly #output: IcmpAnswers
  readonly #tcp: UpperLayer
  readonly #quoted: Segment = new Segment()
  readonly #teller: Teller | null

  /** @param teller null: a sibling tells of the messages */
  constructor(context: InputContext, output: IcmpAnswers, teller: Teller | null) {
    this.#headers = context.headers
    this.#bytes = context.bytes
    this.#counters = context.counters
    this.#link = context.link
    this.#segment = context.segment
    this.#output = output
    this.#tcp = context.tcp
    this.#teller = teller
  }

  /** A message of `length` bytes, `at` bytes into the frame; the segment holds the addresses. */
  input4(at: number, length: number, now: number): void {
    if (!this.#begin(at, length)) return
    if (this.#bytes.sum(at, length) !== 0xffff) {
      this.#counters.dropIcmpChecksum++
      return
    }
    const { bytes: header, view } = this.#headers
    const type = header[at]!
    const code = header[at + 1]!
    const quote = at + ICMP_HEADER_BYTES
    const end = at + length
    if (type === ICMP_ECHO) this.#output.echoReply(at, length, now)
    else if (type === ICMP_UNREACHABLE && code === ICMP_FRAGMENTATION_NEEDED) {
      this.#tooBig(this.#quoted4(quote, end), view.getUint16(at + 6), quote + 2, now)
    } else if (type === ICMP_UNREACHABLE) this.#error(this.#quoted4(quote, end), UNREACHABLE4[code] ?? 0, now)
    else if (type === ICMP_TIME_EXCEEDED) this.#error(this.#quoted4(quote, end), EHOSTUNREACH, now)
    else if (type === ICMP_PARAMETER_PROBLEM) this.#error(this.#quoted4(quote, end), EPROTO, now)
    else if (type === ICMP_REDIRECT) this.#counters.dropRouting++
    // Source quench among them: RFC 6633 section 3.
    else this.#counters.dropIcmp++
  }

  /** The same for ICMPv6. @param group it came to a multicast address @param hopLimit of its IPv6 header */
  input6(at: number, length: number, hopLimit: number, group: boolean, now: number): void {
    if (!this.#begin(at, length)) return
    const pseudo = pseudoHeaderSumOf(this.#segment, IPPROTO_ICMPV6, length)
    if (addSums(this.#bytes.sum(at, length), pseudo) !== 0xffff) {
      this.#counters.dropIcmpChecksum++
      return
    }
    const { bytes: header, view } = this.#headers
    const type = header[at]!
    const code = header[at + 1]!
    const quote = at + ICMP_HEADER_BYTES
    const end = at + length
    if (type >= NDP_ROUTER_SOLICITATION && type <= NDP_REDIRECT) {
      // RFC 6980 section 5: neighbour discovery does not come in fragments.
      if (this.#segment.list >= 0 || !this.#headers.need(end)) this.#counters.dropNdp++
      else {
        const source = this.#segment.source()
        const destination = this.#segment.destination()
        const heard = this.#teller === null
        const message = { bytes: header, at, length, hopLimit, source, destination, heard }
        if (this.#link.ndp.input(message, now)) this.#teller?.tell(true, now)
      }
    } else if (group) this.#counters.dropIcmp++
    else if (type === ICMPV6_ECHO) this.#output.echoReply(at, length, now)
    else if (type === ICMPV6_TOO_BIG) {
      // RFC 8201 section 4: a word of 32 bits; no path MTU of IPv6 is that large, nor 0.
      this.#tooBig(this.#quoted6(quote, end), Math.min(65_535, view.getUint32(at + 4)), -1, now)
    } else if (type === ICMPV6_UNREACHABLE) {
      this.#error(this.#quoted6(quote, end), UNREACHABLE6[code] ?? 0, now)
    } else if (type === ICMPV6_TIME_EXCEEDED) this.#error(this.#quoted6(quote, end), EHOSTUNREACH, now)
    else if (type === ICMPV6_PARAMETER_PROBLEM) this.#error(this.#quoted6(quote, end), EPROTO, now)
    else this.#counters.dropIcmp++
  }

  #begin(at: number, length: number): boolean {
    const headers = this.#headers
    if (
      length < ICMP_HEADER_BYTES ||
      !headers.need(at + ICMP_HEADER_BYTES) ||
      at + length > headers.frameBytes
    ) {
      this.#counters.dropMalformed++
      return false
    }
    this.#output.load()
    return true
  }

  #error(quoted: Segment | null, errno: number, now: number): void {
    if (quoted === null || errno === 0) this.#counters.dropIcmp++
    else this.#count(this.#tcp.icmpError(quoted, errno, now), now)
  }

  /** @param lengthAt where the quoted packet's total length is, -1 when it is not needed */
  #tooBig(quoted: Segment | null, mtu: number, lengthAt: number, now: number): void {
    if (quoted === null) {
      this.#counters.dropIcmp++
      return
    }
    const packet = lengthAt < 0 ? 0 : this.#headers.view.getUint16(lengthAt)
    this.#count(this.#tcp.icmpTooBig(quoted, mtu, packet, now), now)
  }

  /** @param taken the error is about a connection of this stack's; else about one of another queue's perhaps */
  #count(taken: boolean, now: number): void {
    if (taken) this.#counters.icmpErrorsTaken++
    else if (this.#teller?.tell(false, now) !== true) this.#counters.dropIcmp++
  }

  /** The segment of ours that an IPv4 error quotes, null when it quotes something else. */
  #quoted4(at: number, end: number): Segment | null {
    const headers = this.#headers
    if (at + IPV4_MIN_HEADER_BYTES > end || !headers.need(at + IPV4_MIN_HEADER_BYTES)) return null
    const { view } = headers
    const versionIhl = view.getUint8(at)
    const ipBytes = (versionIhl & 15) << 2
    if (versionIhl >>> 4 !== 4 || ipBytes < IPV4_MIN_HEADER_BYTES || view.getUint8(at + 9) !== IPPROTO_TCP)
      return null
    // We send no fragments of TCP.
    if ((view.getUint16(at + 6) & IPV4_FRAGMENT_MASK) !== 0) return null
    this.#quoted.setV4(view.getInt32(at + 16), view.getInt32(at + 12))
    return this.#quotedPorts(at + ipBytes, end)
  }

  #quoted6(at: number, end: number): Segment | null {
    const headers = this.#headers
    if (at + IPV6_HEADER_BYTES > end || !headers.need(at + IPV6_HEADER_BYTES)) return null
    const { view } = headers
    // We send no extension headers.
    if (view.getUint8(at) >>> 4 !== 6 || view.getUint8(at + 6) !== IPPROTO_TCP) return null
    this.#quoted.setV6Swapped(view, at)
    return this.#quotedPorts(at + IPV6_HEADER_BYTES, end)
  }

  #quotedPorts(at: number, end: number): Segment | null {
    const headers = this.#headers
    if (at + QUOTED_TCP_BYTES > end || !headers.need(at + QUOTED_TCP_BYTES)) return null
    const quoted = this.#quoted
    quoted.sourcePort = headers.view.getUint16(at + 2)
    quoted.destinationPort = headers.view.getUint16(at)
    quoted.seq = headers.view.getInt32(at + 4)
    // Only who an error is about may hear of it: the packet came to the address the quoted one left from.
    const segment = this.#segment
    return quoted.destination3 === segment.destination3 &&
      quoted.destination2 === segment.destination2 &&
      quoted.destination1 === segment.destination1 &&
      quoted.destination0 === segment.destination0
      ? quoted
      : null
  }
}
