import { put16, put32 } from '../../bytes.ts'

/** The IPv6 header (RFC 8200 section 3). */

export const IPV6_HEADER_BYTES = 40
export const FRAGMENT_HEADER_BYTES = 8
/** Next header values of extension headers (RFC 8200 section 4). */
export const IPPROTO_HOP_BY_HOP = 0
export const IPPROTO_ROUTING = 43
export const IPPROTO_FRAGMENT = 44
export const IPPROTO_NONE = 59
export const IPPROTO_DESTINATION = 60
/** RFC 1122's default and that of RFC 8200 hosts (IANA ip-parameters): 64. */
export const HOP_LIMIT = 64

interface AddressWriter {
  put(bytes: Uint8Array, at: number): void
}

/**
 * Writes the 40-byte header.
 * @param payloadLength bytes behind the header @param flowLabel 20 bits (RFC 6437)
 */
export function putIpv6(
  frame: Uint8Array,
  at: number,
  payloadLength: number,
  nextHeader: number,
  source: AddressWriter,
  destination: AddressWriter,
  flowLabel: number,
  hopLimit: number = HOP_LIMIT,
  trafficClass = 0,
): void {
  put32(frame, at, (6 << 28) | (trafficClass << 20) | (flowLabel & 0xfffff))
  put16(frame, at + 4, payloadLength)
  frame[at + 6] = nextHeader
  frame[at + 7] = hopLimit
  source.put(frame, at + 8)
  destination.put(frame, at + 24)
}
