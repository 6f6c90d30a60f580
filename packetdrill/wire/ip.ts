import { checksum, concat, get16, onesSum, put16 } from './bytes.ts'

export const PROTOCOL_TCP = 6
export const PROTOCOL_ICMP = 1
export const PROTOCOL_ICMPV6 = 58
const DEFAULT_TTL = 64

/** An IP packet of either family. */
export interface IpPacket {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly protocol: number
  readonly tos: number
  readonly ttl: number
  readonly payload: Uint8Array
  /** What is wrong with the header, for people; '' when nothing is. */
  readonly problem: string
}

/** IPv4 or IPv6 by the length of the addresses; don't-fragment is set, the identification is 0. */
export function encodeIp(
  packet: Omit<IpPacket, 'problem' | 'tos' | 'ttl'> & { tos?: number; ttl?: number },
): Uint8Array {
  const { source, destination, protocol, payload, tos = 0, ttl = DEFAULT_TTL } = packet
  if (source.length === 16) {
    const header = new Uint8Array(40)
    put16(header, 0, 0x6000 | (tos << 4))
    put16(header, 4, payload.length)
    header[6] = protocol
    header[7] = ttl
    header.set(source, 8)
    header.set(destination, 24)
    return concat(header, payload)
  }
  const header = new Uint8Array(20)
  header[0] = 0x45
  header[1] = tos
  put16(header, 2, 20 + payload.length)
  put16(header, 6, 0x4000)
  header[8] = ttl
  header[9] = protocol
  header.set(source, 12)
  header.set(destination, 16)
  put16(header, 10, checksum(header))
  return concat(header, payload)
}

/** Reads an IP packet behind which there may be padding; null when it is none. */
export function decodeIp(bytes: Uint8Array): IpPacket | null {
  const version = (bytes[0] ?? 0) >>> 4
  if (version === 6 && bytes.length >= 40) {
    const length = get16(bytes, 4)
    return {
      source: bytes.slice(8, 24),
      destination: bytes.slice(24, 40),
      protocol: bytes[6]!,
      tos: (get16(bytes, 0) >>> 4) & 0xff,
      ttl: bytes[7]!,
      payload: bytes.slice(40, 40 + length),
      problem: 40 + length > bytes.length ? 'IP payload length beyond the frame' : '',
    }
  }
  const headerBytes = (bytes[0]! & 15) * 4
  if (version !== 4 || bytes.length < 20 || headerBytes < 20 || headerBytes > bytes.length) return null
  const total = get16(bytes, 2)
  let problem = ''
  if (headerBytes > 20) problem = 'IP options'
  else if (onesSum(bytes.subarray(0, headerBytes)) !== 0xffff) problem = 'wrong IP header checksum'
  else if (total < headerBytes || total > bytes.length) problem = 'IP total length beyond the frame'
  else if ((get16(bytes, 6) & 0x3fff) !== 0) problem = 'an IP fragment'
  return {
    source: bytes.slice(12, 16),
    destination: bytes.slice(16, 20),
    protocol: bytes[9]!,
    tos: bytes[1]!,
    ttl: bytes[8]!,
    payload: bytes.slice(headerBytes, Math.max(headerBytes, total)),
    problem,
  }
}

/** What the transport checksum covers besides the segment (RFC 9293 3.1, RFC 8200 8.1). */
export function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Uint8Array {
  const tail = source.length === 16 ? new Uint8Array(8) : new Uint8Array(4)
  put16(tail, 2, length)
  if (tail.length === 8) tail[7] = protocol
  else tail[1] = protocol
  return concat(source, destination, tail)
}
