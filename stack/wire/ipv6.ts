import { put16, put32 } from './bytes.ts'
import { parseIpv4 } from './ipv4.ts'

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

/** An address as four words in network order. */
interface AddressWords {
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}

/** Four words in network order from `2001:db8::1`; null when the text is not an address. */
export function parseIpv6(text: string): [number, number, number, number] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const front = parseGroups(halves[0]!, halves.length === 1)
  const back = halves.length === 1 ? [] : parseGroups(halves[1]!, true)
  if (front === null || back === null) return null
  const missing = 8 - front.length - back.length
  // RFC 4291 2.2: "::" stands for one group of zeros at least.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null
  const g = [...front, ...new Array<number>(missing).fill(0), ...back]
  return [(g[0]! << 16) | g[1]!, (g[2]! << 16) | g[3]!, (g[4]! << 16) | g[5]!, (g[6]! << 16) | g[7]!]
}

/** Groups of 16 bits; the last part may be a dotted quad when it ends the address. */
function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const address = parseIpv4(part)
      if (address === null) return null
      groups.push(address >>> 16, address & 0xffff)
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return null
  }
  return groups
}

/** RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups is "::". */
export function formatIpv6({ w0, w1, w2, w3 }: AddressWords): string {
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff])
  let best = -1
  let bestLength = 1
  for (let at = 0; at < 8; ) {
    let end = at
    while (end < 8 && groups[end] === 0) end++
    if (end - at > bestLength) {
      best = at
      bestLength = end - at
    }
    at = end + 1
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`
}
