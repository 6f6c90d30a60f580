/** ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861): numbers only. Both begin with type, code, checksum and four more bytes. */

export const IPPROTO_ICMP = 1
export const IPPROTO_ICMPV6 = 58
export const ICMP_HEADER_BYTES = 8

// RFC 792.
export const ICMP_ECHO_REPLY = 0
export const ICMP_UNREACHABLE = 3
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
/** Flags of an advertisement, in its fifth byte. */
export const NDP_ROUTER = 0x80
export const NDP_SOLICITED = 0x40
export const NDP_OVERRIDE = 0x20
