import { get16, put16, put32 } from '../../stack/wire/bytes.ts'
import { addSums, fold, pseudoHeaderSumOf, sumBytes } from '../../stack/wire/checksum.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
  putEthernet,
} from '../../stack/wire/ethernet.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES } from '../../stack/wire/ipv6.ts'
import { FIN, PSH, putTcp, putTimestamps, TCP_MIN_HEADER_BYTES, tcpField } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../file/format.ts'
import type { PlayedConnection } from './connection.ts'
import { OUR_MAC } from './frame-nic.ts'
import { type Refused, translateNumbers } from './numbers.ts'

/** Longest headers: Ethernet with two tags, IP with its options or extension headers, TCP with its options. */
export const MAX_HEADER_BYTES = 2048
const TAG_BYTES = 4
const ETHERTYPE_OLD_QINQ = 0x9100
/** Where frames without an Ethernet header of their own come from. */
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)

/** Builds frames for a stack from captured segments: to our hardware address, with the numbers that the stack chose. */
export class PlayFrame {
  /** The frame's headers; the payload is not among them. */
  readonly header: Uint8Array = new Uint8Array(MAX_HEADER_BYTES)
  headerBytes = 0

  /**
   * Begins a frame with the Ethernet header of a captured one, VLAN tags included; else with one made up. Returns its bytes.
   * @param at where the captured frame begins; its IP header is the segment's. @param linkType -1 = it has none to keep
   */
  link(segment: SegmentDecoder, at: number, linkType: number): number {
    const { bytes, ipAt } = segment
    const { header } = this
    const linkBytes = ipAt - at
    if (linkType === LINKTYPE_ETHERNET && isPlainEthernet(bytes, at, linkBytes)) {
      for (let i = 0; i < linkBytes; i++) header[i] = bytes[at + i]!
      for (let i = 0; i < 6; i++) header[i] = OUR_MAC[i]!
      return linkBytes
    }
    const type = segment.version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6
    putEthernet(
      header,
      0,
      get16(OUR_MAC, 0),
      (OUR_MAC[2]! << 24) | (OUR_MAC[3]! << 16) | get16(OUR_MAC, 4) | 0,
      PEER_MAC,
      type,
    )
    return ETHERNET_HEADER_BYTES
  }

  /**
   * The headers of a segment, or of `length` bytes of its payload from `from` on, behind `linkBytes` that `link` wrote. False
   * when they are too long to be played. A checksum that was wrong stays wrong if the payload is whole.
   */
  segment(
    s: SegmentDecoder,
    linkBytes: number,
    connection: PlayedConnection,
    refused: Refused | null,
    from: number,
    length: number,
  ): boolean {
    const { header } = this
    const { bytes, ipAt, tcpAt, headerBytes } = s
    const ipBytes = tcpAt - ipAt
    const tcp = linkBytes + ipBytes
    if (tcp + headerBytes > MAX_HEADER_BYTES) return false
    for (let i = 0; i < ipBytes + headerBytes; i++) header[linkBytes + i] = bytes[ipAt + i]!
    this.headerBytes = tcp + headerBytes
    const whole = length === s.payloadBytes
    const pseudo = pseudoHeaderSumOf(s, IPPROTO_TCP, headerBytes + length)
    const state = whole ? unfinished(s, pseudo) : false
    put16(header, tcp + tcpField.checksum, 0)
    const before = sumBytes(header, tcp, headerBytes)
    if (from > 0) put32(header, tcp + tcpField.sequence, (s.seq + from) | 0)
    if (from + length < s.payloadBytes) header[tcp + tcpField.flags]! &= ~(FIN | PSH)
    translateNumbers(header, tcp, headerBytes, s.flags, connection, refused)
    finishIp(header, linkBytes, ipBytes, s.version, headerBytes + length, !whole)
    if (state) {
      put16(header, tcp + tcpField.checksum, pseudo)
      return true
    }
    const after = sumBytes(header, tcp, headerBytes)
    const field = get16(bytes, tcpAt + tcpField.checksum)
    const sum = whole
      ? // RFC 1624: what the header has become instead of what it was.
        fold((~field & 0xffff) + after + (~before & 0xffff))
      : addSums(addSums(pseudo, after), sumBytes(bytes, s.payloadAt + from, length))
    put16(header, tcp + tcpField.checksum, ~sum & 0xffff)
    return true
  }

  /**
   * The headers of a segment in the peer's name. With payload, the checksum is left unfinished.
   * @param syn the connection's, decoded @param length bytes of payload
   */
  make(
    syn: SegmentDecoder,
    connection: PlayedConnection,
    seq: number,
    ack: number,
    flags: number,
    length = 0,
  ): void {
    const { header } = this
    const { ipAt, tcpAt } = syn
    const optionBytes = connection.timestamps ? 12 : 0
    const headerBytes = TCP_MIN_HEADER_BYTES + optionBytes
    header.set(connection.syn.subarray(0, tcpAt))
    this.headerBytes = tcpAt + headerBytes
    finishIp(header, ipAt, tcpAt - ipAt, syn.version, headerBytes + length, true)
    putTcp(header, tcpAt, syn.sourcePort, syn.destinationPort, seq, ack, headerBytes, flags, 0xffff)
    if (optionBytes > 0)
      putTimestamps(header, tcpAt + TCP_MIN_HEADER_BYTES, connection.lastTsVal, connection.tsValOurs)
    const pseudo = pseudoHeaderSumOf(syn, IPPROTO_TCP, headerBytes + length)
    const sum = length > 0 ? pseudo : ~addSums(pseudo, sumBytes(header, tcpAt, headerBytes)) & 0xffff
    put16(header, tcpAt + tcpField.checksum, sum)
  }
}

/** Whether the checksum is right, or left for a device to finish. */
export function isIntact(s: SegmentDecoder): boolean {
  const length = s.headerBytes + s.payloadBytes
  const pseudo = pseudoHeaderSumOf(s, IPPROTO_TCP, length)
  return unfinished(s, pseudo) || addSums(pseudo, sumBytes(s.bytes, s.tcpAt, length)) === 0xffff
}

/** The IPv4 checksum of a datagram that was put together. */
export function finishAssembled(s: SegmentDecoder): void {
  if (s.version === 4) finishIp(s.bytes, s.ipAt, s.tcpAt - s.ipAt, 4, s.ipEnd - s.tcpAt, true)
}

/** The field holds the sum of the pseudo-header only (RFC 9293 3.1); offloading senders leave the length out of it, too. */
function unfinished(s: SegmentDecoder, pseudo: number): boolean {
  const field = get16(s.bytes, s.tcpAt + tcpField.checksum)
  return field === pseudo || field === pseudoHeaderSumOf(s, IPPROTO_TCP, 0)
}

/** Lengths and checksum of an IP header. @param anew the length is another one */
function finishIp(
  header: Uint8Array,
  ip: number,
  ipBytes: number,
  version: 4 | 6,
  transportBytes: number,
  anew: boolean,
): void {
  if (version === 6) {
    put16(header, ip + 4, ipBytes - IPV6_HEADER_BYTES + transportBytes)
    return
  }
  // Zero was left for a device to fill in.
  if (!anew && get16(header, ip + 10) !== 0 && get16(header, ip + 2) !== 0) return
  put16(header, ip + 2, ipBytes + transportBytes)
  put16(header, ip + 10, 0)
  put16(header, ip + 10, ~sumBytes(header, ip, ipBytes) & 0xffff)
}

function isPlainEthernet(bytes: Uint8Array, at: number, linkBytes: number): boolean {
  if (linkBytes === ETHERNET_HEADER_BYTES) return true
  if (linkBytes !== ETHERNET_HEADER_BYTES + TAG_BYTES && linkBytes !== ETHERNET_HEADER_BYTES + 2 * TAG_BYTES)
    return false
  const type = get16(bytes, at + 12)
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ || type === ETHERTYPE_OLD_QINQ
}
