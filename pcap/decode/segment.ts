import { V4_MAPPED } from '../../address.ts'
import { get16, get32 } from '../../bytes.ts'
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
import { Layer } from './layer.ts'
import { enterLink } from './link.ts'
import { enterTunnel } from './tunnel.ts'

/** RFC 4302, RFC 6275. */
const IPPROTO_AH = 51
const IPPROTO_MOBILITY = 135
const IPPROTO_ICMP = 1
const IPPROTO_ICMPV6 = 58
const ICMP_HEADER_BYTES = 8
/** Extension headers that are walked. */
const MOST_EXTENSIONS = 8
/** Packets within packets that are looked into. */
const MOST_TUNNELS = 8
/** Of a TCP header, to its window: Wireshark knows the connection by these, whatever follows. */
const NAMING_BYTES = 16

/** What `SegmentDecoder.decode` found. */
export const NOT_IP = 0
/** An IP packet of another protocol. */
export const NOT_TCP = 1
/** A fragment of an IP packet: see `protocol`, `fragment…`. */
export const FRAGMENT = 2
/** Lengths contradict each other, or the capture holds too little of the headers. */
export const MALFORMED = 3
/** A TCP segment. */
export const SEGMENT = 4

/**
 * The TCP segment of a captured frame. One object is overwritten for each; offsets count in `bytes`. Nothing is verified but
 * lengths: what a host would make of the segment, the stack decides.
 */
export class SegmentDecoder {
  /** What offsets count in: the packet's buffer, valid for as long as that. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Of IP. */
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
  /** Host order. */
  sourcePort = 0
  /** Host order. */
  destinationPort = 0
  /** Signed 32-bit integers, as everywhere. */
  seq = 0
  /** Acknowledgment number. */
  ack = 0
  /** Control bits as in the header: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16. */
  flags = 0
  /** Raw, unscaled. */
  window = 0
  /** Where the IP header begins. */
  ipAt = 0
  /** Where the packet ends that the IP header announces, and where what was captured of it ends. */
  ipEnd = 0
  /** Where what was captured of the packet ends. */
  capturedEnd = 0
  /** Of the IP packet: 6 is TCP. */
  protocol = 0
  /** Where the TCP header begins. */
  tcpAt = 0
  /** Of the TCP header with its options. */
  headerBytes = 0
  /** Payload bytes on the wire, and those captured. */
  payloadBytes = 0
  /** Payload bytes that were captured. */
  capturedBytes = 0
  /** Bytes of the packet that its IP header promises and its frame does not have: a lie. A receiver drops it. */
  beyond = 0
  /** Tunnels that it was found in. */
  tunnels = 0
  /** It is quoted in an ICMP error: nobody sent it now. */
  quoted = false
  /** Ends and numbers of a TCP segment are there, though it may be quoted, or malformed behind them. */
  named = false
  /** Its TCP header lies within the packet, on the wire: Wireshark counts its stream's numbers from there. */
  numbered = false
  /** Of a fragment: byte offset in its datagram, whether more follow, identification, and where its data begins. */
  fragmentOffset = 0
  /** Of a fragment: more follow. */
  fragmentMore = false
  /** Of a fragment: identification. */
  fragmentId = 0
  /** Of a fragment: where its data begins. */
  dataAt = 0
  readonly #layer = new Layer()

  /** Where the payload begins. */
  get payloadAt(): number {
    return this.tcpAt + this.headerBytes
  }

  /** What was met that may carry segments and is not looked into, as people call it; empty = nothing. */
  get opaque(): string {
    return this.#layer.opaque
  }

  /** Finds the segment in a captured frame. Returns one of the numbers above. */
  decode({ bytes, at, length, wireLength, linkType }: CapturedPacket): number {
    return this.decodeFrame(bytes, at, at + length, at + wireLength, linkType)
  }

  /** The frame that begins at `at`. @param end,wireEnd of what was captured and of what was on the wire */
  decodeFrame(bytes: Uint8Array, at: number, end: number, wireEnd: number, linkType: number): number {
    const layer = this.#begin(bytes, at, end, wireEnd)
    return enterLink(layer, linkType) && layer.at < layer.end ? this.#packet() : NOT_IP
  }

  /** The IP packet that begins at `ip`. @param end,wireEnd of what was captured and of what was on the wire */
  decodeIp(bytes: Uint8Array, ip: number, end: number, wireEnd: number): number {
    const layer = this.#begin(bytes, ip, end, wireEnd)
    return layer.at < layer.end ? this.#packet() : NOT_IP
  }

  #begin(bytes: Uint8Array, at: number, end: number, wireEnd: number): Layer {
    this.bytes = bytes
    this.tunnels = 0
    this.quoted = false
    this.named = false
    this.#layer.begin(bytes, at, end, wireEnd)
    return this.#layer
  }

  /** The IP packet where the layer is, and those within it. */
  #packet(): number {
    const layer = this.#layer
    for (;;) {
      const found = this.#ip(layer.at, layer.end, layer.wireEnd)
      if (this.quoted) return NOT_TCP
      if (found !== NOT_TCP) return this.tunnels > 0 && found === NOT_IP ? NOT_TCP : found
      layer.at = this.dataAt
      layer.end = this.capturedEnd
      layer.wireEnd = this.ipEnd
      if (this.#enterQuote(layer)) {
        this.quoted = true
        continue
      }
      if (!enterTunnel(layer, this.protocol) || layer.at >= layer.end) return NOT_TCP
      if (++this.tunnels > MOST_TUNNELS) {
        layer.stop('tunnels inside each other')
        return NOT_TCP
      }
    }
  }

  /** An ICMP error quotes the packet that it is about. */
  #enterQuote(layer: Layer): boolean {
    const { protocol } = this
    if (protocol !== IPPROTO_ICMP && protocol !== IPPROTO_ICMPV6) return false
    if (layer.at + ICMP_HEADER_BYTES >= layer.end) return false
    const type = this.bytes[layer.at]!
    layer.at += ICMP_HEADER_BYTES
    if (protocol === IPPROTO_ICMPV6) return type >= 1 && type <= 4
    // Of what a redirect quotes, Wireshark reads the ports only.
    return type === 3 || type === 4 || type === 11 || type === 12
  }

  #ip(ip: number, end: number, wireEnd: number): number {
    this.ipAt = ip
    const version = this.bytes[ip]! >>> 4
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
    this.beyond = Math.max(0, ip + total - wireEnd)
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
    this.dataAt = ip + headerBytes
    return this.protocol === IPPROTO_TCP ? this.#tcp(this.dataAt) : NOT_TCP
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
    this.beyond = Math.max(0, ip + IPV6_HEADER_BYTES + payload - wireEnd)
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
      if (!known) {
        this.dataAt = at
        return NOT_TCP
      }
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
    if (at + NAMING_BYTES > this.capturedEnd) return MALFORMED
    this.tcpAt = at
    this.sourcePort = get16(bytes, at)
    this.destinationPort = get16(bytes, at + 2)
    this.seq = get32(bytes, at + 4)
    this.ack = get32(bytes, at + 8)
    this.flags = ((bytes[at + 12]! & 1) << 8) | bytes[at + 13]!
    this.window = get16(bytes, at + 14)
    this.named = true
    const headerBytes = (bytes[at + 12]! >>> 4) * 4
    this.numbered = !this.quoted && at + Math.max(headerBytes, TCP_MIN_HEADER_BYTES) <= this.ipEnd
    if (at + TCP_MIN_HEADER_BYTES > this.capturedEnd) return MALFORMED
    if (headerBytes < TCP_MIN_HEADER_BYTES || at + headerBytes > this.ipEnd) return MALFORMED
    this.headerBytes = headerBytes
    this.payloadBytes = this.ipEnd - at - headerBytes
    this.capturedBytes = Math.max(0, this.capturedEnd - at - headerBytes)
    return SEGMENT
  }
}
