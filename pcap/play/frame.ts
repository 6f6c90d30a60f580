import { get16, put16 } from '../../bytes.ts'
import { addSums, pseudoHeaderSumOf, sumBytes } from '../../stack/wire/checksum.ts'
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
import { putTcp, putTimestamps, TCP_MIN_HEADER_BYTES, tcpField } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../file/format.ts'
import type { PlayedConnection } from './connection.ts'
import { OUR_MAC } from './frame-nic.ts'
import { TranslatedFrame } from './translate.ts'

const TAG_BYTES = 4
const ETHERTYPE_OLD_QINQ = 0x9100
/** Where frames without an Ethernet header of their own come from. */
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)

/** Builds frames for a stack from captured segments: to our hardware address, with the numbers that the stack chose. */
export class PlayFrame extends TranslatedFrame {
  /**
   * Begins a frame with the Ethernet header of a captured one, VLAN tags included; else with one made up. Returns its bytes.
   * @param at where the captured frame begins; its IP header is the segment's. @param linkType -1 = it has none to keep
   */
  link(segment: SegmentDecoder, at: number, linkType: number): number {
    const { bytes, ipAt } = segment
    const { header } = this
    const linkBytes = ipAt - at
    if (linkType === LINKTYPE_ETHERNET && isPlainEthernet(bytes, at, linkBytes, segment.version)) {
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
    this.tcpAt = tcpAt
    putLength(header, ipAt, tcpAt - ipAt, syn.version, headerBytes + length)
    putTcp(header, tcpAt, syn.sourcePort, syn.destinationPort, seq, ack, headerBytes, flags, 0xffff)
    if (optionBytes > 0)
      putTimestamps(header, tcpAt + TCP_MIN_HEADER_BYTES, connection.lastTsVal, connection.tsValOurs)
    const pseudo = pseudoHeaderSumOf(syn, IPPROTO_TCP, headerBytes + length)
    const sum = length > 0 ? pseudo : ~addSums(pseudo, sumBytes(header, tcpAt, headerBytes)) & 0xffff
    put16(header, tcpAt + tcpField.checksum, sum)
  }
}

/** Length and checksum of an IP header that says something else. */
function putLength(header: Uint8Array, ip: number, ipBytes: number, version: 4 | 6, bytes: number): void {
  if (version === 6) {
    put16(header, ip + 4, ipBytes - IPV6_HEADER_BYTES + bytes)
    return
  }
  put16(header, ip + 2, ipBytes + bytes)
  put16(header, ip + 10, 0)
  put16(header, ip + 10, ~sumBytes(header, ip, ipBytes) & 0xffff)
}

/** Whether there is nothing but VLAN tags in front of the IP packet. */
function isPlainEthernet(bytes: Uint8Array, at: number, linkBytes: number, version: 4 | 6): boolean {
  if (linkBytes > ETHERNET_HEADER_BYTES + 2 * TAG_BYTES) return false
  for (let to = ETHERNET_HEADER_BYTES; to < linkBytes; to += TAG_BYTES) {
    const type = get16(bytes, at + to - 2)
    if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_QINQ && type !== ETHERTYPE_OLD_QINQ) return false
  }
  return get16(bytes, at + linkBytes - 2) === (version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)
}
