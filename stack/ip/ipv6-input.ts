import { V4_MAPPED } from '../../address.ts'
import type { Counters } from '../counters.ts'
import type { Segment } from '../tcp/segment.ts'
import {
  ICMPV6_ERRONEOUS_FIELD,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNKNOWN_NEXT_HEADER,
  ICMPV6_UNKNOWN_OPTION,
  IPPROTO_ICMPV6,
  REASSEMBLY_TIME_EXCEEDED,
} from '../wire/icmp.ts'
import { IPPROTO_TCP } from '../wire/ipv4.ts'
import {
  FRAGMENT_HEADER_BYTES,
  IPPROTO_DESTINATION,
  IPPROTO_FRAGMENT,
  IPPROTO_HOP_BY_HOP,
  IPPROTO_NONE,
  IPPROTO_ROUTING,
  IPV6_HEADER_BYTES,
} from '../wire/ipv6.ts'
import type { InputContext } from './context.ts'
import { type Datagram, IpFragment } from './fragment-reassembly.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { IcmpInput } from './icmp-input.ts'
import type { Link } from './link.ts'
import type { FragmentTaker, IcmpAnswers, SegmentTaker } from './packet-takers.ts'

/** Extension headers of one packet; more are an attack (RFC 9098 section 7). */
const MAX_EXTENSION_HEADERS = 8
const OPTION_PAD1 = 0
const OPTION_PADN = 1
/** RFC 2711: for routers on the way. */
const OPTION_ROUTER_ALERT = 5

/** The IPv6 header, its extension headers, and what to do with the rest (RFC 8200). */
export class Ipv6Input {
  readonly #headers: FrameHeaders
  readonly #counters: Counters
  readonly #link: Link
  readonly #segment: Segment
  readonly #assembled: FragmentTaker
  readonly #tcp: SegmentTaker
  readonly #icmp: IcmpInput
  readonly #icmpOutput: IcmpAnswers
  readonly #ipFragment = new IpFragment()
  /** Where the IPv6 header of the current packet begins, its hop limit, whether it came to a group. */
  #ip = 0
  #hopLimit = 0
  #group = false
  /** Extension headers that it may still have. */
  #left = 0

  constructor(
    context: InputContext,
    assembled: FragmentTaker,
    tcp: SegmentTaker,
    icmp: IcmpInput,
    icmpOutput: IcmpAnswers,
  ) {
    this.#headers = context.headers
    this.#counters = context.counters
    this.#link = context.link
    this.#segment = context.segment
    this.#assembled = assembled
    this.#tcp = tcp
    this.#icmp = icmp
    this.#icmpOutput = icmpOutput
  }

  /** Takes the packet whose header begins `at` bytes into the frame. */
  input(at: number, now: number): void {
    const headers = this.#headers
    const counters = this.#counters
    if (!headers.need(at + IPV6_HEADER_BYTES)) {
      counters.dropMalformed++
      return
    }
    const { view } = headers
    const end = at + IPV6_HEADER_BYTES + view.getUint16(at + 4)
    if (view.getUint8(at) >>> 4 !== 6 || end > headers.frameBytes) {
      counters.dropMalformed++
      return
    }
    const segment = this.#segment
    segment.setV6(view, at)
    segment.ecn = (view.getUint8(at + 1) >>> 4) & 3
    const { destination0, destination1, destination2, destination3 } = segment
    this.#group = destination0 >>> 24 === 0xff
    const ours = this.#group
      ? this.#link.ndp.joined(destination0, destination1, destination2, destination3)
      : this.#link.isLocalWords(destination0, destination1, destination2, destination3)
    if (!ours || !this.#sourceOk(segment)) {
      counters.dropNotForUs++
      return
    }
    this.#ip = at
    this.#hopLimit = view.getUint8(at + 7)
    this.#left = MAX_EXTENSION_HEADERS
    this.#walk(view.getUint8(at + 6), at + 6, at + IPV6_HEADER_BYTES, end, now)
  }

  /** A datagram was given up whose first fragment had come (RFC 8200 4.5). */
  timedOut(datagram: Datagram, now: number): void {
    this.#icmpOutput.timeExceeded(ICMPV6_TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, datagram, now)
  }

  /** No group, no loopback, and no IPv4 in disguise (RFC 4942 2.2): on a wire that is forged. */
  #sourceOk(segment: Segment): boolean {
    if (segment.source0 >>> 24 === 0xff) return false
    const mapped = (word: number): boolean => word === V4_MAPPED
    if (segment.destination0 === 0 && segment.destination1 === 0 && mapped(segment.destination2)) return false
    if (segment.source0 !== 0 || segment.source1 !== 0) return true
    return !mapped(segment.source2) && !(segment.source2 === 0 && segment.source3 === 1)
  }

  /**
   * Follows the chain of headers.
   * @param next kind of the header at `at` @param nextAt where that was said
   */
  #walk(next: number, nextAt: number, at: number, end: number, now: number): void {
    const { view } = this.#headers
    // Its fragments were put together already.
    const whole = this.#segment.list >= 0
    for (;;) {
      if (next === IPPROTO_TCP && !this.#group) {
        this.#tcp.input(at, end - at, now)
        return
      }
      if (next === IPPROTO_ICMPV6) {
        this.#icmp.input6(at, end - at, this.#hopLimit, this.#group, now)
        return
      }
      const isOptions = next === IPPROTO_HOP_BY_HOP || next === IPPROTO_DESTINATION
      // RFC 8200 4.1: hop-by-hop options come first or not at all.
      const misplaced = next === IPPROTO_HOP_BY_HOP && nextAt !== this.#ip + 6
      if ((!isOptions && next !== IPPROTO_ROUTING && next !== IPPROTO_FRAGMENT) || misplaced) {
        this.#counters.dropProtocol++
        if (next !== IPPROTO_NONE && next !== IPPROTO_TCP) {
          this.#problem(ICMPV6_UNKNOWN_NEXT_HEADER, nextAt, now)
        }
        return
      }
      if (at + 8 > end) {
        this.#counters.dropMalformed++
        return
      }
      if (this.#left-- === 0 || !this.#headers.need(at + 8)) {
        this.#counters.dropExtension++
        return
      }
      if (next === IPPROTO_FRAGMENT) {
        const field = view.getUint16(at + 2)
        // RFC 6946: a fragment that is the whole datagram has nothing to do with any other.
        if ((field & ~6) !== 0) {
          if (whole) this.#counters.dropExtension++
          else this.#fragment(at, end, field, now)
          return
        }
        nextAt = at
        next = view.getUint8(at)
        at += FRAGMENT_HEADER_BYTES
        continue
      }
      const size = 8 + view.getUint8(at + 1) * 8
      if (at + size > end) {
        this.#counters.dropMalformed++
        return
      }
      if (!this.#headers.need(at + size)) {
        this.#counters.dropExtension++
        return
      }
      if (isOptions) {
        if (!this.#optionsOk(at + 2, at + size, now)) return
      } else if (view.getUint8(at + 3) !== 0) {
        // RFC 8200 4.4, RFC 5095: we are no waypoint, of type 0 or any other.
        this.#counters.dropExtension++
        this.#problem(ICMPV6_ERRONEOUS_FIELD, at + 2, now)
        return
      }
      nextAt = at
      next = view.getUint8(at)
      at += size
    }
  }

  #fragment(at: number, end: number, field: number, now: number): void {
    const { view } = this.#headers
    const data = at + FRAGMENT_HEADER_BYTES
    const length = end - data
    const offset = field & 0xfff8
    const more = (field & 1) !== 0
    if (more && (length & 7) !== 0) {
      // RFC 8200 4.5; the pointer is to the payload length.
      this.#counters.dropFragment++
      this.#problem(ICMPV6_ERRONEOUS_FIELD, this.#ip + 4, now)
      return
    }
    if (offset + length > 65_535) {
      this.#counters.dropFragment++
      this.#problem(ICMPV6_ERRONEOUS_FIELD, at + 2, now)
      return
    }
    const fragment = this.#ipFragment
    fragment.ipAt = this.#ip
    fragment.at = data
    fragment.length = length
    fragment.offset = offset
    fragment.more = more
    fragment.identification = view.getInt32(at + 4)
    fragment.protocol = view.getUint8(at)
    const whole = this.#assembled.add(fragment, now)
    if (whole === null) return
    const from = this.#assembled.begin(whole)
    this.#ip = whole.ipAt
    this.#walk(whole.next, from - FRAGMENT_HEADER_BYTES, from, from + whole.total, now)
    this.#assembled.end(whole)
  }

  /** Options of a header (RFC 8200 4.2): what we don't know says itself what is to be done. */
  #optionsOk(at: number, end: number, now: number): boolean {
    const { bytes } = this.#headers
    while (at < end) {
      const kind = bytes[at]!
      if (kind === OPTION_PAD1) {
        at++
        continue
      }
      if (at + 2 > end || at + 2 + bytes[at + 1]! > end) {
        this.#counters.dropMalformed++
        return false
      }
      const action = kind >>> 6
      if (action !== 0 && kind !== OPTION_PADN && kind !== OPTION_ROUTER_ALERT) {
        this.#counters.dropExtension++
        if (action === 2 || (action === 3 && !this.#group)) this.#problem(ICMPV6_UNKNOWN_OPTION, at, now)
        return false
      }
      at += 2 + bytes[at + 1]!
    }
    return true
  }

  /** A parameter problem with the byte at `at` of the frame (RFC 4443 3.4). */
  #problem(code: number, at: number, now: number): void {
    const group = code === ICMPV6_UNKNOWN_OPTION
    this.#icmpOutput.error(ICMPV6_PARAMETER_PROBLEM, code, at - this.#ip, this.#ip, now, group)
  }
}
