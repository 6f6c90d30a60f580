import { put16, put32 } from '../../bytes.ts'
import { ArgumentError } from '../../errors.ts'
import { sumBytes } from '../../stack/wire/checksum.ts'
import { IPV4_DF, IPV4_MIN_HEADER_BYTES, IPV4_MORE_FRAGMENTS, putIpv4 } from '../../stack/wire/ipv4.ts'
import {
  FRAGMENT_HEADER_BYTES,
  HOP_LIMIT,
  IPPROTO_FRAGMENT,
  IPV6_HEADER_BYTES,
  putIpv6,
} from '../../stack/wire/ipv6.ts'
import type { Endpoint } from './endpoint.ts'

/** Fields of the IP header that a script may set. */
export interface IpFields {
  /** Time to live, or hop limit. */
  ttl?: number | undefined
  /** Type of service or traffic class: DSCP and ECN. */
  trafficClass?: number | undefined
  /** IPv6: 20 bits. */
  flowLabel?: number | undefined
  /** IPv4: 16 bits; of fragments of IPv6, 32 bits. */
  identification?: number | undefined
  /** IPv4: the DF bit. */
  dontFragment?: boolean | undefined
  /** What the total length (IPv4) or payload length (IPv6) claims, in bytes. */
  ipLength?: number | undefined
  /** IPv4 options, a multiple of 4 bytes. */
  ipOptions?: Uint8Array | undefined
  /** IPv6 extension headers, outer first: the next header value that names each, and its bytes, whose first is filled in. */
  extensions?: readonly (readonly [kind: number, bytes: Uint8Array])[] | undefined
}

/** An IP packet in parts, so that it can still be fragmented. */
export interface Packet {
  source: Endpoint
  destination: Endpoint
  protocol: number
  payload: Uint8Array
  fields: IpFields
}

/** A piece of a packet's payload. */
interface Piece {
  /** Bytes. */
  from: number
  to: number
  more: boolean
}

/** A whole packet. @throws ArgumentError when it is too long for the length field */
export function encodeIp(packet: Packet): Uint8Array {
  return packet.source.version === 4 ? encode4(packet, null) : encode6(packet, null)
}

/**
 * The packet in fragments of at most `bytes` of payload each, in order.
 * @throws ArgumentError when `bytes` is not a multiple of 8
 */
export function encodeFragments(packet: Packet, bytes: number): Uint8Array[] {
  if (bytes < 8 || bytes % 8 !== 0)
    throw new ArgumentError(`fragments can't have ${bytes} bytes`, 'use a multiple of 8')
  const total = packet.payload.length
  const fragments: Uint8Array[] = []
  for (let from = 0; from < total; from += bytes) {
    const to = Math.min(total, from + bytes)
    const piece = { from, to, more: to < total }
    fragments.push(packet.source.version === 4 ? encode4(packet, piece) : encode6(packet, piece))
  }
  return fragments
}

function encode4(
  { source, destination, protocol, payload, fields }: Packet,
  piece: Piece | null,
): Uint8Array {
  const options = fields.ipOptions ?? new Uint8Array()
  const head = IPV4_MIN_HEADER_BYTES + options.length
  if (options.length % 4 !== 0 || head > 60)
    throw new ArgumentError('IPv4 options take 0 to 40 bytes, in fours')
  const body = piece === null ? payload : payload.subarray(piece.from, piece.to)
  const length = fields.ipLength ?? head + body.length
  if (length > 0xffff) throw new ArgumentError(`an IPv4 packet can't have ${length} bytes`, 'set ipLength')
  const whole = (fields.dontFragment ?? true) ? IPV4_DF : 0
  const flags = piece === null ? whole : (piece.more ? IPV4_MORE_FRAGMENTS : 0) | (piece.from >>> 3)
  const bytes = new Uint8Array(head + body.length)
  putIpv4(
    bytes,
    0,
    length,
    fields.identification ?? 0,
    protocol,
    word(source),
    word(destination),
    flags,
    fields.trafficClass,
    fields.ttl,
  )
  bytes.set(options, IPV4_MIN_HEADER_BYTES)
  bytes[0] = 0x40 | (head >>> 2)
  put16(bytes, 10, 0)
  put16(bytes, 10, ~sumBytes(bytes, 0, head) & 0xffff)
  bytes.set(body, head)
  return bytes
}

function encode6(
  { source, destination, protocol, payload, fields }: Packet,
  piece: Piece | null,
): Uint8Array {
  const extensions = [...(fields.extensions ?? [])]
  if (piece !== null) extensions.push([IPPROTO_FRAGMENT, fragmentHeader(piece, fields.identification ?? 0)])
  const kinds = [...extensions.map(([kind]) => kind), protocol]
  const extra = extensions.reduce((sum, [, header]) => sum + header.length, 0)
  const body = piece === null ? payload : payload.subarray(piece.from, piece.to)
  const length = fields.ipLength ?? extra + body.length
  if (length > 0xffff) throw new ArgumentError(`an IPv6 packet can't carry ${length} bytes`, 'set ipLength')
  const bytes = new Uint8Array(IPV6_HEADER_BYTES + extra + body.length)
  const writer = ({ address }: Endpoint) => ({ put: (to: Uint8Array, at: number) => to.set(address, at) })
  putIpv6(
    bytes,
    0,
    length,
    kinds[0]!,
    writer(source),
    writer(destination),
    fields.flowLabel ?? 0,
    fields.ttl ?? HOP_LIMIT,
    fields.trafficClass,
  )
  let at = IPV6_HEADER_BYTES
  for (const [i, [, header]] of extensions.entries()) {
    bytes.set(header, at)
    bytes[at] = kinds[i + 1]!
    at += header.length
  }
  bytes.set(body, at)
  return bytes
}

function fragmentHeader(piece: Piece, identification: number): Uint8Array {
  const header = new Uint8Array(FRAGMENT_HEADER_BYTES)
  put16(header, 2, piece.from | (piece.more ? 1 : 0))
  put32(header, 4, identification)
  return header
}

function word({ address }: Endpoint): number {
  return (address[0]! << 24) | (address[1]! << 16) | (address[2]! << 8) | address[3]!
}
