import { put16, put32 } from '../../bytes.ts'
import { sumBytes } from './checksum.ts'

/** The IPv4 header (RFC 791 section 3.1). */

export const IPV4_MIN_HEADER_BYTES = 20
export const IPPROTO_TCP = 6

/** Don't fragment. */
export const IPV4_DF = 0x4000
export const IPV4_MORE_FRAGMENTS = 0x2000
/** More-fragments bit and fragment offset: anything set means "a fragment". */
export const IPV4_FRAGMENT_MASK = 0x3fff

/**
 * Writes a 20-byte header with its checksum.
 * @param totalLength bytes of header and payload @param source,destination addresses as integers
 * @param flags with the fragment offset; none for what may be fragmented
 */
export function putIpv4(
  frame: Uint8Array,
  at: number,
  totalLength: number,
  identification: number,
  protocol: number,
  source: number,
  destination: number,
  flags: number = IPV4_DF,
  trafficClass = 0,
  timeToLive = 64,
): void {
  frame[at] = 0x45
  frame[at + 1] = trafficClass
  put16(frame, at + 2, totalLength)
  put16(frame, at + 4, identification)
  put16(frame, at + 6, flags)
  frame[at + 8] = timeToLive
  frame[at + 9] = protocol
  put16(frame, at + 10, 0)
  put32(frame, at + 12, source)
  put32(frame, at + 16, destination)
  put16(frame, at + 10, ~sumBytes(frame, at, IPV4_MIN_HEADER_BYTES) & 0xffff)
}
