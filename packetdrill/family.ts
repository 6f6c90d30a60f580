import { IpAddress } from '../address.ts'
import type { Stack } from '../stack/stack.ts'
import { checksum, concat, get16, put16, put32 } from './wire/bytes.ts'
import { encodeIp, PROTOCOL_ICMP, PROTOCOL_ICMPV6, pseudoHeader } from './wire/ip.ts'

/** Everything in which IPv4 and IPv6 differ for a script. */
export interface Family {
  readonly name: 'ipv4' | 'ipv6'
  /** AF_* */
  readonly domain: number
  readonly etherType: number
  /** Of IP and TCP together, without options. */
  readonly headerBytes: number
  /** The stack's address and the script's. */
  readonly local: Uint8Array
  readonly remote: Uint8Array
  /** Gives the stack its address. */
  attach(stack: Stack): void
  sockaddr(address: 'local' | 'remote', port: number): Uint8Array
  /** A frame that a stack with the local address answers: the neighbour asks for its hardware address. */
  probe(to: Uint8Array, from: Uint8Array): Uint8Array
  /** What a neighbour answers to a frame, null when it is not asked. */
  answer(frame: Uint8Array, mac: Uint8Array): Uint8Array | null
  /** An ICMP error about `quoted`, an IP packet of the stack's; null for a type or code that the family does not have. */
  icmpError(type: string, code: string | null, mtu: number, quoted: Uint8Array): Uint8Array | null
}

const ETHERTYPE_ARP = 0x0806
const MAC_BYTES = 6

function ipv6Bytes(text: string): Uint8Array {
  const [head = '', tail = ''] = text.split('::')
  const left = head.split(':').filter((group) => group !== '')
  const right = tail.split(':').filter((group) => group !== '')
  const groups = [...left, ...new Array<string>(8 - left.length - right.length).fill('0'), ...right]
  const bytes = new Uint8Array(16)
  groups.forEach((group, i) => {
    put16(bytes, 2 * i, Number.parseInt(group, 16))
  })
  return bytes
}

function ethernet(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(14)
  header.set(to)
  header.set(from, MAC_BYTES)
  put16(header, 12, type)
  return concat(header, payload)
}

const UNREACHABLE4: Readonly<Record<string, number>> = {
  net_unreachable: 0,
  host_unreachable: 1,
  protocol_unreachable: 2,
  port_unreachable: 3,
  frag_needed: 4,
  source_route_failed: 5,
  net_unknown: 6,
  host_unknown: 7,
  source_host_isolated: 8,
  net_prohibited: 9,
  host_prohibited: 10,
  net_unreachable_for_tos: 11,
  host_unreachable_for_tos: 12,
  packet_filtered: 13,
  admin_prohibited: 13,
  precedence_violation: 14,
  precedence_cutoff: 15,
}
const UNREACHABLE6: Readonly<Record<string, number>> = {
  no_route: 0,
  net_unreachable: 0,
  admin_prohibited: 1,
  not_neighbour: 2,
  beyond_scope: 2,
  address_unreachable: 3,
  host_unreachable: 3,
  port_unreachable: 4,
}
const EXCEEDED = {
  ttl_exceeded: 0,
  ttl_exceeded_in_transit: 0,
  hop_limit_exceeded_in_transit: 0,
  fragment_reassembly_time_exceeded: 1,
  exc_ttl: 0,
  hop_limit_exceeded: 0,
  exceeded_hop_limit: 0,
  reassembly_time_exceeded: 1,
  exceeded_frag_time: 1,
  exc_fragtime: 1,
}
const PROBLEM4 = {
  pointer_indicates_error: 0,
  pointer_indicates_the_error: 0,
  missing_required_option: 1,
  missing_a_required_option: 1,
  bad_length: 2,
}
const PROBLEM6 = {
  header_field: 0,
  err_header_field: 0,
  erroneous_header_field: 0,
  erroneous_header_field_encountered: 0,
  unknown_next_header: 1,
  unrecognized_next_header: 1,
  unrecognized_next_header_type_encountered: 1,
  unknown_option: 2,
  unrecognized_option: 2,
  unrecognized_ipv6_option_encountered: 2,
}

interface IcmpType {
  readonly type: number
  readonly codes: Readonly<Record<string, number>>
  /** The MTU goes into the header, here. */
  readonly mtuAt?: 4 | 6
}
const TYPES4: Readonly<Record<string, IcmpType>> = {
  unreachable: { type: 3, codes: UNREACHABLE4, mtuAt: 6 },
  source_quench: { type: 4, codes: {} },
  redirect: { type: 5, codes: {} },
  time_exceeded: { type: 11, codes: EXCEEDED },
  parameter_problem: { type: 12, codes: PROBLEM4 },
}
const TYPES6: Readonly<Record<string, IcmpType>> = {
  unreachable: { type: 1, codes: UNREACHABLE6 },
  packet_too_big: { type: 2, codes: {}, mtuAt: 4 },
  time_exceeded: { type: 3, codes: EXCEEDED },
  parameter_problem: { type: 4, codes: PROBLEM6 },
}

/** `type_3`, `code_1`: the number, -1 for other words. */
function byteOf(front: string, word: string): number {
  const number = word.startsWith(front) ? word.slice(front.length) : ''
  return /^\d{1,3}$/.test(number) && Number(number) < 256 ? Number(number) : -1
}

/** Header and quotation, checksum still 0. */
function icmpBody(
  types: Readonly<Record<string, IcmpType>>,
  type: string,
  code: string | null,
  mtu: number,
  quoted: Uint8Array,
): Uint8Array | null {
  const number = byteOf('type_', type)
  const known = number >= 0 ? { type: number, codes: {} } : Object.hasOwn(types, type) ? types[type]! : null
  if (known === null) return null
  const codes: Readonly<Record<string, number>> = known.codes
  const value = code === null ? 0 : Object.hasOwn(codes, code) ? codes[code]! : byteOf('code_', code)
  if (value < 0) return null
  const header = new Uint8Array(8)
  header[0] = known.type
  header[1] = value
  const { mtuAt }: IcmpType = known
  if (mtuAt === 4) put32(header, 4, mtu)
  else if (mtuAt === 6) put16(header, 6, mtu)
  return concat(header, quoted)
}

const LOCAL4 = Uint8Array.of(192, 168, 0, 1)
const REMOTE4 = Uint8Array.of(192, 0, 2, 1)

export const ipv4: Family = {
  name: 'ipv4',
  domain: 2,
  etherType: 0x0800,
  headerBytes: 40,
  local: LOCAL4,
  remote: REMOTE4,
  attach(stack) {
    stack.addAddress(IpAddress.from(LOCAL4), true)
  },
  sockaddr(address, port) {
    const bytes = new Uint8Array(16)
    bytes[0] = 2
    put16(bytes, 2, port)
    bytes.set(address === 'local' ? LOCAL4 : REMOTE4, 4)
    return bytes
  },
  probe(to, from) {
    const request = new Uint8Array(28)
    request.set([0, 1, 8, 0, 6, 4, 0, 1])
    request.set(from, 8)
    request.set(REMOTE4, 14)
    request.set(LOCAL4, 24)
    return ethernet(to, from, ETHERTYPE_ARP, request)
  },
  answer(frame, mac) {
    const isRequest =
      frame.length >= 42 &&
      get16(frame, 12) === ETHERTYPE_ARP &&
      get16(frame, 20) === 1 &&
      get16(frame, 16) === 0x0800
    if (!isRequest || !REMOTE4.every((byte, i) => frame[38 + i] === byte)) return null
    const asker = frame.slice(22, 28)
    const reply = new Uint8Array(28)
    reply.set([0, 1, 8, 0, 6, 4, 0, 2])
    reply.set(mac, 8)
    reply.set(REMOTE4, 14)
    reply.set(asker, 18)
    reply.set(frame.subarray(28, 32), 24)
    return ethernet(asker, mac, ETHERTYPE_ARP, reply)
  },
  icmpError(type, code, mtu, quoted) {
    const body = icmpBody(TYPES4, type, code, mtu, quoted)
    if (body === null) return null
    put16(body, 2, checksum(body))
    return encodeIp({ source: REMOTE4, destination: LOCAL4, protocol: PROTOCOL_ICMP, payload: body })
  },
}

const LOCAL6 = ipv6Bytes('fd3d:0a0b:17d6::1')
const REMOTE6 = ipv6Bytes('fd3d:fa7b:d17d::1')
const NEIGHBOUR_SOLICITATION = 135
const NEIGHBOUR_ADVERTISEMENT = 136

/** A neighbour discovery message of the script's side (RFC 4861), with its hardware address as option. */
function discovery(
  type: number,
  flags: number,
  destination: Uint8Array,
  target: Uint8Array,
  option: number,
  mac: Uint8Array,
): Uint8Array {
  const body = new Uint8Array(32)
  body[0] = type
  body[4] = flags
  body.set(target, 8)
  body.set([option, 1], 24)
  body.set(mac, 26)
  put16(body, 2, checksum(pseudoHeader(REMOTE6, destination, PROTOCOL_ICMPV6, body.length), body))
  return encodeIp({ source: REMOTE6, destination, protocol: PROTOCOL_ICMPV6, payload: body, ttl: 255 })
}

export const ipv6: Family = {
  name: 'ipv6',
  domain: 10,
  etherType: 0x86dd,
  headerBytes: 60,
  local: LOCAL6,
  remote: REMOTE6,
  attach(stack) {
    stack.addAddress(IpAddress.from(LOCAL6), true)
  },
  sockaddr(address, port) {
    const bytes = new Uint8Array(28)
    bytes[0] = 10
    put16(bytes, 2, port)
    bytes.set(address === 'local' ? LOCAL6 : REMOTE6, 8)
    return bytes
  },
  probe(to, from) {
    return ethernet(to, from, 0x86dd, discovery(NEIGHBOUR_SOLICITATION, 0, LOCAL6, LOCAL6, 1, from))
  },
  answer(frame, mac) {
    const icmp = 14 + 40
    const asked =
      frame.length >= icmp + 24 &&
      get16(frame, 12) === 0x86dd &&
      frame[20] === PROTOCOL_ICMPV6 &&
      frame[icmp] === NEIGHBOUR_SOLICITATION
    if (!asked || !REMOTE6.every((byte, i) => frame[icmp + 8 + i] === byte)) return null
    const asker = frame.slice(22, 38)
    // Solicited, override.
    const packet = discovery(NEIGHBOUR_ADVERTISEMENT, 0x60, asker, REMOTE6, 2, mac)
    return ethernet(frame.slice(6, 12), mac, 0x86dd, packet)
  },
  icmpError(type, code, mtu, quoted) {
    const body = icmpBody(TYPES6, type, code, mtu, quoted)
    if (body === null) return null
    put16(body, 2, checksum(pseudoHeader(REMOTE6, LOCAL6, PROTOCOL_ICMPV6, body.length), body))
    return encodeIp({ source: REMOTE6, destination: LOCAL6, protocol: PROTOCOL_ICMPV6, payload: body })
  },
}

export { ethernet }
