import { get16 } from '../../bytes.ts'
import { IPV4_MIN_HEADER_BYTES } from './ipv4.ts'
import {
  IPPROTO_DESTINATION,
  IPPROTO_FRAGMENT,
  IPPROTO_HOP_BY_HOP,
  IPPROTO_ROUTING,
  IPV6_HEADER_BYTES,
} from './ipv6.ts'

/** ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861). Both begin with type, code, checksum and four more bytes. */

export const IPPROTO_ICMP = 1
export const IPPROTO_ICMPV6 = 58
export const ICMP_HEADER_BYTES = 8

// RFC 792.
export const ICMP_ECHO_REPLY = 0
export const ICMP_UNREACHABLE = 3
export const ICMP_SOURCE_QUENCH = 4
export const ICMP_REDIRECT = 5
export const ICMP_ECHO = 8
export const ICMP_TIME_EXCEEDED = 11
export const ICMP_PARAMETER_PROBLEM = 12
/** Codes of `ICMP_UNREACHABLE`. */
export const ICMP_PROTOCOL_UNREACHABLE = 2
export const ICMP_FRAGMENTATION_NEEDED = 4

// RFC 4443: below 128 are errors.
export const ICMPV6_UNREACHABLE = 1
export const ICMPV6_TOO_BIG = 2
export const ICMPV6_TIME_EXCEEDED = 3
export const ICMPV6_PARAMETER_PROBLEM = 4
export const ICMPV6_ECHO = 128
export const ICMPV6_ECHO_REPLY = 129
/** Codes of `ICMPV6_PARAMETER_PROBLEM`. */
export const ICMPV6_ERRONEOUS_FIELD = 0
export const ICMPV6_UNKNOWN_NEXT_HEADER = 1
export const ICMPV6_UNKNOWN_OPTION = 2

/** Code of a time exceeded message of either version: fragments did not all come. */
export const REASSEMBLY_TIME_EXCEEDED = 1

// RFC 4861 section 4.
export const NDP_ROUTER_SOLICITATION = 133
export const NDP_ROUTER_ADVERTISEMENT = 134
export const NDP_NEIGHBOUR_SOLICITATION = 135
export const NDP_NEIGHBOUR_ADVERTISEMENT = 136
export const NDP_REDIRECT = 137
/** Bytes of a neighbour solicitation or advertisement without options. */
export const NDP_NEIGHBOUR_BYTES = 24
export const NDP_SOURCE_LINK_ADDRESS = 1
export const NDP_TARGET_LINK_ADDRESS = 2
export const NDP_PREFIX = 3
export const NDP_MTU = 5
/** RFC 3971 5.3.2. */
export const NDP_NONCE = 14
/** Flags of an advertisement, in its fifth byte. */
export const NDP_ROUTER = 0x80
export const NDP_SOLICITED = 0x40
export const NDP_OVERRIDE = 0x20

/**
 * Whether the IP packet from `at` to `end` of these bytes carries an ICMP error or a redirect, of which no error may be
 * sent (RFC 1122 3.2.2, RFC 4443 2.4 (e.1), (e.2)). So is one whose ICMP type lies beyond `end`.
 * @param packet its whole IP header is there
 */
export function carriesIcmpError(packet: Uint8Array, at: number, end: number): boolean {
  if (packet[at]! >>> 4 === 4) {
    if (packet[at + 9] !== IPPROTO_ICMP) return false
    const message = at + ((packet[at]! & 15) << 2)
    if (message < at + IPV4_MIN_HEADER_BYTES || message >= end) return true
    const type = packet[message]!
    return (
      type === ICMP_UNREACHABLE ||
      type === ICMP_SOURCE_QUENCH ||
      type === ICMP_REDIRECT ||
      type === ICMP_TIME_EXCEEDED ||
      type === ICMP_PARAMETER_PROBLEM
    )
  }
  const message = icmpv6At(packet, at, end)
  return message >= 0 && (message >= end || packet[message]! < 128 || packet[message] === NDP_REDIRECT)
}

/** Where the ICMPv6 message of a packet begins; -1 if it is of another protocol, or that can't be seen. */
function icmpv6At(packet: Uint8Array, at: number, end: number): number {
  let next = packet[at + 6]
  let header = at + IPV6_HEADER_BYTES
  while (next !== IPPROTO_ICMPV6) {
    const fragment = next === IPPROTO_FRAGMENT
    if (
      header + 8 > end ||
      !(fragment || next === IPPROTO_HOP_BY_HOP || next === IPPROTO_DESTINATION || next === IPPROTO_ROUTING)
    )
      return -1
    if (fragment && get16(packet, header + 2) >= 8) return -1
    next = packet[header]
    header += fragment ? 8 : 8 + packet[header + 1]! * 8
  }
  return header
}
