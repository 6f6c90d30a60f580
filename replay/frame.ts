import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { type Numbers, type Refused, translateNumbers } from '../pcap/play/numbers.ts'
import type { IpAddress } from '../stack/ip/address.ts'
import { get16, get32, put16, put32 } from '../stack/wire/bytes.ts'
import { addSums, fold, pseudoHeaderSum6, pseudoHeaderSumOf, sumBytes } from '../stack/wire/checksum.ts'
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, putEthernet } from '../stack/wire/ethernet.ts'
import { IPPROTO_TCP, IPV4_MIN_HEADER_BYTES, putIpv4 } from '../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../stack/wire/ipv6.ts'
import { FIN, putTcp, TCP_MIN_HEADER_BYTES, tcpField } from '../stack/wire/tcp.ts'
import { LOCAL4, LOCAL6, PEER_MAC } from './endpoint.ts'
import { OUR_MAC } from './nic.ts'

/** Longest headers: Ethernet, IP with its options or extension headers, TCP with its options. */
export const MAX_HEADER_BYTES = 2048
/** Payload of a segment that is cut anew: with headers below what an IP packet can hold. */
export const MAX_CUT_BYTES = 32_768

/** What is to be changed in a segment. */
export interface Changes {
  /** The address the segment comes from; it goes to ours. */
  readonly remote: IpAddress
  readonly numbers: Numbers
  /** Of a SYN; else null. */
  readonly refused: Refused | null
  /** Checksums are made right, whatever they were. */
  readonly recompute: boolean
  /** The FIN is left out: what lies in front of it is not there. Only with `recompute`. */
  readonly withoutFin: boolean
}

/**
 * Builds frames for our endpoint from captured segments: other addresses, and acknowledgement numbers, SACK edges and
 * timestamp echoes as our endpoint chose its own. A checksum that was wrong stays wrong, one that was unfinished (the sum of the
 * pseudo-header only, RFC 9293 3.1, as captured in front of a device that would finish it) stays unfinished.
 */
export class FrameBuilder {
  /** The frame's headers; the payload is not among them. */
  readonly header: Uint8Array = new Uint8Array(MAX_HEADER_BYTES)
  headerBytes = 0
  /** Where the TCP header lies. */
  tcpAt = 0

  /**
   * The segment's headers with the changes made. False when they are too long to be played.
   * @param payload the payload that follows is `payload[at, at + length)`: the captured one unless `recompute`
   */
  translate(
    segment: SegmentDecoder,
    changes: Changes,
    payload: Uint8Array,
    at: number,
    length: number,
  ): boolean {
    const { header } = this
    const { bytes, ipAt, tcpAt, headerBytes } = segment
    const ipBytes = tcpAt - ipAt
    if (ETHERNET_HEADER_BYTES + ipBytes + headerBytes > MAX_HEADER_BYTES) return false
    this.#ethernet(segment.version)
    const ip = ETHERNET_HEADER_BYTES
    const tcp = ip + ipBytes
    for (let i = 0; i < ipBytes; i++) header[ip + i] = bytes[ipAt + i]!
    for (let i = 0; i < headerBytes; i++) header[tcp + i] = bytes[tcpAt + i]!
    this.tcpAt = tcp
    this.headerBytes = tcp + headerBytes
    const pseudoBefore = pseudoSum(segment, headerBytes + segment.payloadBytes)
    const field = get16(bytes, tcpAt + tcpField.checksum)
    // Offloading senders leave the length out of it, too.
    const unfinished = field === pseudoBefore || field === pseudoSum(segment, 0)
    put16(header, tcp + tcpField.checksum, 0)
    const before = addSums(pseudoBefore, sumBytes(header, tcp, headerBytes))
    if (changes.withoutFin) header[tcp + tcpField.flags]! &= ~FIN
    translateNumbers(header, tcp, headerBytes, segment.flags, changes.numbers, changes.refused)
    const { recompute, remote } = changes
    this.#addresses(segment, ip, ipBytes, remote, headerBytes + length, recompute)
    const pseudo = ourPseudoSum(remote, headerBytes + length)
    if (unfinished && !recompute) {
      put16(header, tcp + tcpField.checksum, pseudo)
      return true
    }
    const after = addSums(pseudo, sumBytes(header, tcp, headerBytes))
    const sum = recompute
      ? addSums(after, sumBytes(payload, at, length))
      : // RFC 1624: what the headers have become instead of what they were.
        fold((~field & 0xffff) + after + (~before & 0xffff))
    put16(header, tcp + tcpField.checksum, ~sum & 0xffff)
    return true
  }

  /**
   * Headers of a segment that is not in the capture as it is: one cut into several, or one in place of what is missing. IP and TCP
   * headers are made anew, with a checksum that is right.
   * @param options TCP options, a multiple of four bytes
   */
  make(
    remote: IpAddress,
    ports: { source: number; destination: number },
    seq: number,
    ack: number,
    flags: number,
    window: number,
    options: Uint8Array,
    payload: Uint8Array,
    at: number,
    length: number,
  ): void {
    const { header } = this
    const { version } = remote
    this.#ethernet(version)
    const ip = ETHERNET_HEADER_BYTES
    const tcp = ip + (version === 4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES)
    const headerBytes = TCP_MIN_HEADER_BYTES + options.length
    if (version === 4) {
      putIpv4(header, ip, IPV4_MIN_HEADER_BYTES + headerBytes + length, 0, IPPROTO_TCP, remote.w3, LOCAL4.w3)
    } else putIpv6(header, ip, headerBytes + length, IPPROTO_TCP, remote, LOCAL6, 0)
    putTcp(header, tcp, ports.source, ports.destination, seq, ack, headerBytes, flags, window)
    header.set(options, tcp + TCP_MIN_HEADER_BYTES)
    const pseudo = ourPseudoSum(remote, headerBytes + length)
    const sum = addSums(addSums(pseudo, sumBytes(header, tcp, headerBytes)), sumBytes(payload, at, length))
    put16(header, tcp + tcpField.checksum, ~sum & 0xffff)
    this.tcpAt = tcp
    this.headerBytes = tcp + headerBytes
  }

  #ethernet(version: 4 | 6): void {
    const type = version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6
    putEthernet(this.header, 0, get16(OUR_MAC, 0), get32(OUR_MAC, 2), PEER_MAC, type)
  }

  /** Other addresses in the IP header; its checksum, if right, stays right. */
  #addresses(
    { version }: SegmentDecoder,
    ip: number,
    ipBytes: number,
    remote: IpAddress,
    transportBytes: number,
    recompute: boolean,
  ): void {
    const { header } = this
    if (version === 6) {
      put16(header, ip + 4, ipBytes - IPV6_HEADER_BYTES + transportBytes)
      remote.put(header, ip + 8)
      LOCAL6.put(header, ip + 24)
      return
    }
    const field = get16(header, ip + 10)
    put16(header, ip + 10, 0)
    const before = sumBytes(header, ip, ipBytes)
    put16(header, ip + 2, ipBytes + transportBytes)
    put32(header, ip + 12, remote.w3)
    put32(header, ip + 16, LOCAL4.w3)
    const after = sumBytes(header, ip, ipBytes)
    // Zero was left for a device to fill in.
    const sum = recompute || field === 0 ? after : fold((~field & 0xffff) + after + (~before & 0xffff))
    put16(header, ip + 10, ~sum & 0xffff)
  }
}

function pseudoSum(segment: SegmentDecoder, length: number): number {
  return pseudoHeaderSumOf(segment, IPPROTO_TCP, length)
}

/** IPv4 addresses in their v4-mapped form have the same sum. */
function ourPseudoSum(remote: IpAddress, length: number): number {
  return pseudoHeaderSum6(remote, remote.version === 4 ? LOCAL4 : LOCAL6, IPPROTO_TCP, length)
}
