import { V4_MAPPED } from '../../stack/ip/address.ts'
import { get16, get32 } from '../../stack/wire/bytes.ts'
import { IPPROTO_TCP, IPV4_FRAGMENT_MASK, IPV4_MIN_HEADER_BYTES } from '../../stack/wire/ipv4.ts'
import {
  IPPROTO_DESTINATION,
  IPPROTO_FRAGMENT,
  IPPROTO_HOP_BY_HOP,
  IPPROTO_ROUTING,
  IPV6_HEADER_BYTES,
} from '../../stack/wire/ipv6.ts'
import { TCP_MIN_HEADER_BYTES } from '../../stack/wire/tcp.ts'
import type { CapturedPacket } from '../file/packet.ts'
import { ipOffset } from './link.ts'

/** RFC 4302, RFC 6275. */
const IPPROTO_AH = 51
const IPPROTO_MOBILITY = 135
/** Extension headers that are walked. */
const MOST_EXTENSIONS = 8

/** What `SegmentDecoder.decode` found. */
export const NOT_IP = 0
/** An IP packet of another protocol. */
export const NOT_TCP = 1
/** A fragment of an IP packet: see `protocol`, `fragment…`. */
export const FRAGMENT = 2
/** Lengths contradict each other, or the capture holds too little of the headers. */
export const MALFORMED = 3
export const SEGMENT = 4

/**
 * The TCP segment of a captured frame. One object is overwritten for each; offsets count in `bytes`. Nothing is verified but
 * lengths: what a host would make of the segment, the stack decides.
 */
export class SegmentDecoder {
  bytes: Uint8Array = new Uint8Array(0)
  version: 4 | 6 = 4
  /** Words of the addresses in network order, IPv4 v4-mapped as in `IpAddress`. */
  source0 = 0
  source1 = 0
  source2 = V4_MAPPED
  source3 = 0
  destination0 = 0
  destination1 = 0
  destination2 = V4_MAPPED
  destination3 = 0
  sourcePort = 0
  destinationPort = 0
  /** Signed 32-bit integers, as everywhere. */
  seq = 0
  ack = 0
  flags = 0
  /** Raw, unscaled. */
  window = 0
  ipAt = 0
  /** Where the packet ends that the IP header announces, and where what was captured of it ends. */
  ipEnd = 0
  capturedEnd = 0
  protocol = 0
  tcpAt = 0
  /** Of the TCP header with its options. */
  headerBytes = 0
  /** Payload bytes on the wire, and those captured. */
  payloadBytes = 0
  capturedBytes = 0
  /** Of a fragment: byte offset in its datagram, whether more follow, identification, and where its data begins. */
  fragmentOffset = 0
  fragmentMore = false
  fragmentId = 0
  dataAt = 0

  get payloadAt(): number {
    return this.tcpAt + this.headerBytes
  }

  /** Finds the segment in a captured frame. Returns one of the numbers above. */
  decode(packet: CapturedPacket): number {
    const { bytes, at, length } = packet
    const end = at + length
    const ip = ipOffset(bytes, at, end, packet.linkType)
    if (ip < 0 || ip >= end) return NOT_IP
    return this.decodeIp(bytes, ip, end, at + packet.wireLength)
  }

  /** The IP packet that begins at `ip`. @param end,wireEnd of what was captured and of what was on the wire */
  decodeIp(bytes: Uint8Array, ip: number, end: number, wireEnd: number): number {
    this.bytes = bytes
    this.ipAt = ip
    const version = bytes[ip]! >>> 4
    if (version === 4) return this.#ipv4(ip, end, wireEnd)
    if (version === 6) return this.#ipv6(ip, end, wireEnd)
    return NOT_IP
  }

  #ipv4(ip: number, end: number, wireEnd: number): number {
    const { bytes } = this
    if (ip + IPV4_MIN_HEADER_BYTES > end) return MALFORMED
    const headerBytes = (bytes[ip]! & 15) * 4
    const total = get16(bytes, ip + 2)
    // A captured segment of an offloading sender can be too long for the field; it is 0 then.
    const ipEnd = total === 0 ? wireEnd : Math.min(ip + total, wireEnd)
    if (headerBytes < IPV4_MIN_HEADER_BYTES || ip + headerBytes > Math.min(end, ipEnd)) return MALFORMED
    this.version = 4
    this.source0 = this.source1 = this.destination0 = this.destination1 = 0
    this.source2 = this.destination2 = V4_MAPPED
    this.source3 = get32(bytes, ip + 12)
    this.destination3 = get32(bytes, ip + 16)
    this.ipEnd = ipEnd
    this.capturedEnd = Math.min(end, ipEnd)
    this.protocol = bytes[ip + 9]!
    const fragment = get16(bytes, ip + 6)
    if ((fragment & IPV4_FRAGMENT_MASK) !== 0) {
      this.fragmentOffset = (fragment & 0x1fff) * 8
      this.fragmentMore = (fragment & 0x2000) !== 0
      this.fragmentId = get16(bytes, ip + 4)
      this.dataAt = ip + headerBytes
      return FRAGMENT
    }
    return this.protocol === IPPROTO_TCP ? this.#tcp(ip + headerBytes) : NOT_TCP
  }

  #ipv6(ip: number, end: number, wireEnd: number): number {
    const { bytes } = this
    if (ip + IPV6_HEADER_BYTES > end) return MALFORMED
    const payload = get16(bytes, ip + 4)
    this.version = 6
    this.source0 = get32(bytes, ip + 8)
    this.source1 = get32(bytes, ip + 12)
    this.source2 = get32(bytes, ip + 16)
    this.source3 = get32(bytes, ip + 20)
    this.destination0 = get32(bytes, ip + 24)
    this.destination1 = get32(bytes, ip + 28)
    this.destination2 = get32(bytes, ip + 32)
    this.destination3 = get32(bytes, ip + 36)
    this.ipEnd = payload === 0 ? wireEnd : Math.min(ip + IPV6_HEADER_BYTES + payload, wireEnd)
    this.capturedEnd = Math.min(end, this.ipEnd)
    let next = bytes[ip + 6]!
    let at = ip + IPV6_HEADER_BYTES
    for (let walked = 0; walked <= MOST_EXTENSIONS; walked++) {
      this.protocol = next
      if (next === IPPROTO_TCP) return this.#tcp(at)
      const known =
        next === IPPROTO_HOP_BY_HOP ||
        next === IPPROTO_ROUTING ||
        next === IPPROTO_DESTINATION ||
        next === IPPROTO_MOBILITY ||
        next === IPPROTO_FRAGMENT ||
        next === IPPROTO_AH
      if (!known) return NOT_TCP
      if (at + 8 > this.capturedEnd) return MALFORMED
      if (next === IPPROTO_FRAGMENT) {
        const field = get16(bytes, at + 2)
        next = bytes[at]!
        // RFC 6946: a fragment that is the whole packet.
        if ((field & 0xfff9) !== 0) {
          this.protocol = next
          this.fragmentOffset = field & 0xfff8
          this.fragmentMore = (field & 1) !== 0
          this.fragmentId = get32(bytes, at + 4)
          this.dataAt = at + 8
          return FRAGMENT
        }
        at += 8
        continue
      }
      const bytesOfIt = next === IPPROTO_AH ? (bytes[at + 1]! + 2) * 4 : (bytes[at + 1]! + 1) * 8
      next = bytes[at]!
      at += bytesOfIt
      if (at > this.capturedEnd) return MALFORMED
    }
    return MALFORMED
  }

  #tcp(at: number): number {
    const { bytes } = this
    if (at + TCP_MIN_HEADER_BYTES > this.capturedEnd) return MALFORMED
    const headerBytes = (bytes[at + 12]! >>> 4) * 4
    if (headerBytes < TCP_MIN_HEADER_BYTES || at + headerBytes > this.ipEnd) return MALFORMED
    this.tcpAt = at
    this.headerBytes = headerBytes
    this.sourcePort = get16(bytes, at)
    this.destinationPort = get16(bytes, at + 2)
    this.seq = get32(bytes, at + 4)
    this.ack = get32(bytes, at + 8)
    this.flags = ((bytes[at + 12]! & 1) << 8) | bytes[at + 13]!
    this.window = get16(bytes, at + 14)
    this.payloadBytes = this.ipEnd - at - headerBytes
    this.capturedBytes = Math.max(0, this.capturedEnd - at - headerBytes)
    return SEGMENT
  }
}
