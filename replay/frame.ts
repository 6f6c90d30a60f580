import type { IpAddress } from '../address.ts'
import { get16, get32, put16 } from '../bytes.ts'
import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { OUR_MAC } from '../pcap/play/frame-nic.ts'
import { TranslatedFrame } from '../pcap/play/translate.ts'
import { addSums, pseudoHeaderSum6, sumBytes } from '../stack/wire/checksum.ts'
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, putEthernet } from '../stack/wire/ethernet.ts'
import { IPPROTO_TCP, IPV4_MIN_HEADER_BYTES, putIpv4 } from '../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../stack/wire/ipv6.ts'
import { putTcp, TCP_MIN_HEADER_BYTES, tcpField } from '../stack/wire/tcp.ts'
import { LOCAL4, LOCAL6, PEER_MAC } from './endpoint.ts'

/** Payload of a segment that is cut anew: with headers below what an IP packet can hold. */
export const MAX_CUT_BYTES = 32_768

/** A segment that is not in the capture as it is. */
export interface MadeSegment {
  readonly remote: IpAddress
  readonly ports: { readonly source: number; readonly destination: number }
  readonly seq: number
  readonly ack: number
  readonly flags: number
  readonly window: number
  /** TCP options, a multiple of four bytes. */
  readonly options: Uint8Array
  /** Its payload is `payload[at, at + length)`. */
  readonly payload: Uint8Array
  readonly at: number
  readonly length: number
}

/** Builds frames for our endpoint: captured segments towards its address, and others in the captured side's name. */
export class FrameBuilder extends TranslatedFrame {
  /** A captured segment (`TranslatedFrame.translate`) behind an Ethernet header to our endpoint. */
  captured(segment: SegmentDecoder): boolean {
    this.#ethernet(segment.version)
    return this.translate(segment, ETHERNET_HEADER_BYTES)
  }

  /**
   * Headers of a segment that is not in the capture as it is: one cut into several, or one in place of what is missing. IP and TCP
   * headers are made anew, with a checksum that is right.
   */
  make({ remote, ports, seq, ack, flags, window, options, payload, at, length }: MadeSegment): void {
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
}

/** IPv4 addresses in their v4-mapped form have the same sum. */
function ourPseudoSum(remote: IpAddress, length: number): number {
  return pseudoHeaderSum6(remote, remote.version === 4 ? LOCAL4 : LOCAL6, IPPROTO_TCP, length)
}
