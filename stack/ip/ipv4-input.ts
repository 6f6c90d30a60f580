import type { Counters } from '../counters.ts'
import type { Segment } from '../tcp/segment.ts'
import { fold, sumBytes } from '../wire/checksum.ts'
import {
  ICMP_PROTOCOL_UNREACHABLE,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  IPPROTO_ICMP,
  REASSEMBLY_TIME_EXCEEDED,
} from '../wire/icmp.ts'
import { IPPROTO_TCP, IPV4_FRAGMENT_MASK, IPV4_MIN_HEADER_BYTES, IPV4_MORE_FRAGMENTS } from '../wire/ipv4.ts'
import type { InputContext } from './context.ts'
import { type Datagram, IpFragment } from './fragment-reassembly.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { IcmpInput } from './icmp-input.ts'
import type { Link } from './link.ts'
import type { FragmentTaker, IcmpAnswers, SegmentTaker } from './packet-takers.ts'

const OPTION_END = 0
const OPTION_NOP = 1
/** Loose and strict source route. */
const OPTION_LSRR = 131
const OPTION_SSRR = 137

/** The IPv4 header and what to do with the rest (RFC 791). */
export class Ipv4Input {
  readonly #headers: FrameHeaders
  readonly #counters: Counters
  readonly #link: Link
  readonly #segment: Segment
  readonly #assembled: FragmentTaker
  readonly #tcp: SegmentTaker
  readonly #icmp: IcmpInput
  readonly #icmpOutput: IcmpAnswers
  readonly #ipFragment = new IpFragment()

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
    if (!headers.need(at + IPV4_MIN_HEADER_BYTES)) {
      counters.dropMalformed++
      return
    }
    const { view } = headers
    const versionIhl = view.getUint8(at)
    const ipBytes = (versionIhl & 15) << 2
    const total = view.getUint16(at + 2)
    if (
      versionIhl >>> 4 !== 4 ||
      ipBytes < IPV4_MIN_HEADER_BYTES ||
      total < ipBytes ||
      !headers.need(at + ipBytes) ||
      at + total > headers.frameBytes
    ) {
      counters.dropMalformed++
      return
    }
    const source = view.getInt32(at + 12)
    const destination = view.getInt32(at + 16)
    // RFC 1122 3.2.1.3 (g): loopback addresses are never on a wire.
    const martian = source >>> 24 === 127 || this.#link.broadcasts.has(source)
    if (!this.#link.isLocal4(destination) || martian) {
      counters.dropNotForUs++
      return
    }
    if (!this.#checksumOk(at, ipBytes)) {
      counters.dropIpChecksum++
      return
    }
    if (ipBytes > IPV4_MIN_HEADER_BYTES && !this.#optionsOk(at + IPV4_MIN_HEADER_BYTES, at + ipBytes)) {
      counters.dropExtension++
      return
    }
    this.#segment.setV4(source, destination)
    this.#segment.ecn = view.getUint8(at + 1) & 3
    const protocol = view.getUint8(at + 9)
    const fragment = view.getUint16(at + 6)
    if ((fragment & IPV4_FRAGMENT_MASK) !== 0) this.#fragment(at, ipBytes, total, fragment, protocol, now)
    else this.#transport(at, protocol, at + ipBytes, total - ipBytes, now)
  }

  /** A datagram was given up whose first fragment had come (RFC 792). */
  timedOut(datagram: Datagram, now: number): void {
    this.#icmpOutput.timeExceeded(ICMP_TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, datagram, now)
  }

  #transport(ip: number, protocol: number, at: number, length: number, now: number): void {
    if (protocol === IPPROTO_TCP) this.#tcp.input(at, length, now)
    else if (protocol === IPPROTO_ICMP) this.#icmp.input4(at, length, now)
    else {
      this.#counters.dropProtocol++
      this.#icmpOutput.error(ICMP_UNREACHABLE, ICMP_PROTOCOL_UNREACHABLE, 0, ip, now)
    }
  }

  #fragment(ip: number, ipBytes: number, total: number, field: number, protocol: number, now: number): void {
    const fragment = this.#ipFragment
    fragment.ipAt = ip
    fragment.at = ip + ipBytes
    fragment.length = total - ipBytes
    fragment.offset = (field & 0x1fff) << 3
    fragment.more = (field & IPV4_MORE_FRAGMENTS) !== 0
    fragment.identification = this.#headers.view.getUint16(ip + 4)
    fragment.protocol = protocol
    const whole = this.#assembled.add(fragment, now)
    if (whole === null) return
    const at = this.#assembled.begin(whole)
    this.#transport(whole.ipAt, protocol, at, whole.total, now)
    this.#assembled.end(whole)
  }

  /** The sum of all 16-bit words is 0xffff whichever way round their bytes are read (RFC 1071 section 2 (B)). */
  #checksumOk(at: number, ipBytes: number): boolean {
    const { bytes, halves } = this.#headers
    if (ipBytes !== IPV4_MIN_HEADER_BYTES) return sumBytes(bytes, at, ipBytes) === 0xffff
    let sum = 0
    for (let i = at >>> 1; i < (at >>> 1) + 10; i++) sum += halves[i]!
    return fold(sum) === 0xffff
  }

  /** Options are passed over, but a packet that was source-routed to us is not taken (RFC 7126 4.3, 4.4). */
  #optionsOk(at: number, end: number): boolean {
    const { bytes } = this.#headers
    while (at < end) {
      const kind = bytes[at]!
      if (kind === OPTION_END) return true
      if (kind === OPTION_LSRR || kind === OPTION_SSRR) return false
      if (kind === OPTION_NOP) {
        at++
        continue
      }
      const size = at + 1 < end ? bytes[at + 1]! : 0
      if (size < 2 || at + size > end) return false
      at += size
    }
    return true
  }
}
