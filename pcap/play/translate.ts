import type { IpAddress } from '../../address.ts'
import { get16, put16, put32 } from '../../bytes.ts'
import { addSums, fold, pseudoHeaderSum6, pseudoHeaderSumOf, sumBytes } from '../../stack/wire/checksum.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES } from '../../stack/wire/ipv6.ts'
import { FIN, PSH, tcpField } from '../../stack/wire/tcp.ts'
import { isUnfinished } from '../decode/intact.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import { type Numbers, type Refused, translateNumbers } from './numbers.ts'

/** Longest headers: the link's, IP with its options or extension headers, TCP with its options. */
export const MAX_HEADER_BYTES = 2048
const MAX_LENGTH = 0xffff

/** Other ends than the captured ones. */
export interface Ends {
  /** Where the segment comes from. */
  readonly remote: IpAddress
  /** Where it goes to. */
  readonly local: IpAddress
}

/** What is to be changed in a captured segment. */
export interface Changes {
  numbers: Numbers
  /** Of a SYN; else null. */
  refused: Refused | null
  /** Null: the addresses stay. */
  ends: Ends | null
  /** Checksums are made right, whatever they were. */
  recompute: boolean
  /** Of the payload: what is played, bytes from its start. FIN and PSH belong to its end. */
  from: number
  length: number
}

/** Numbers that nobody chose anew. */
const AS_CAPTURED: Numbers = {
  ack: (captured) => captured,
  knows: () => true,
  tsVal: (captured) => captured,
  tsEcr: (captured) => captured,
}

/**
 * The headers of a captured segment as an endpoint of ours is to see them, in every way that a capture is played: with the
 * numbers that the endpoint chose. What was wrong stays wrong, for the endpoint to find: checksums, and a length that promises
 * more than the frame has. What was left to a device, a checksum or a length of zero, is as the device would leave it.
 */
export class TranslatedFrame {
  /** The frame's headers; the payload is not among them. */
  readonly header: Uint8Array = new Uint8Array(MAX_HEADER_BYTES)
  headerBytes = 0
  /** Where the TCP header lies. */
  tcpAt = 0
  /** What `translate` changes: to be set for each segment. */
  readonly changes: Changes = {
    numbers: AS_CAPTURED,
    refused: null,
    ends: null,
    recompute: false,
    from: 0,
    length: 0,
  }

  /**
   * Writes IP and TCP header behind `linkBytes` of a link's. False when they are too long to be played.
   * A part of the payload gets a checksum of its own, which is right.
   */
  translate(segment: SegmentDecoder, linkBytes: number): boolean {
    const { header, changes } = this
    const { bytes, ipAt, tcpAt, headerBytes, payloadBytes } = segment
    const { from, length, ends } = changes
    const ipBytes = tcpAt - ipAt
    const tcp = linkBytes + ipBytes
    if (tcp + headerBytes > MAX_HEADER_BYTES) return false
    for (let i = 0; i < ipBytes + headerBytes; i++) header[linkBytes + i] = bytes[ipAt + i]!
    this.tcpAt = tcp
    this.headerBytes = tcp + headerBytes
    const recompute = changes.recompute || length !== payloadBytes
    const pseudoBefore = pseudoHeaderSumOf(segment, IPPROTO_TCP, headerBytes + payloadBytes)
    const unfinished = !recompute && isUnfinished(segment, pseudoBefore)
    put16(header, tcp + tcpField.checksum, 0)
    const before = addSums(pseudoBefore, sumBytes(header, tcp, headerBytes))
    if (from > 0) put32(header, tcp + tcpField.sequence, (segment.seq + from) | 0)
    if (from + length < payloadBytes) header[tcp + tcpField.flags]! &= ~(FIN | PSH)
    translateNumbers(header, tcp, headerBytes, segment.flags, changes.numbers, changes.refused)
    finishIp(header, linkBytes, ipBytes, segment, headerBytes + length, ends, changes.recompute)
    const pseudo =
      ends === null
        ? pseudoHeaderSumOf(segment, IPPROTO_TCP, headerBytes + length)
        : pseudoHeaderSum6(ends.remote, ends.local, IPPROTO_TCP, headerBytes + length)
    if (unfinished) {
      put16(header, tcp + tcpField.checksum, pseudo)
      return true
    }
    const after = addSums(pseudo, sumBytes(header, tcp, headerBytes))
    const field = get16(bytes, tcpAt + tcpField.checksum)
    const sum = recompute
      ? addSums(after, sumBytes(bytes, segment.payloadAt + from, length))
      : // RFC 1624: what the headers have become instead of what they were.
        fold((~field & 0xffff) + after + (~before & 0xffff))
    put16(header, tcp + tcpField.checksum, ~sum & 0xffff)
    return true
  }
}

/** Addresses, length and checksum of an IP header. */
function finishIp(
  header: Uint8Array,
  ip: number,
  ipBytes: number,
  { version, beyond }: SegmentDecoder,
  transportBytes: number,
  ends: Ends | null,
  recompute: boolean,
): void {
  const length = Math.min(MAX_LENGTH, ipBytes + transportBytes + beyond)
  if (version === 6) {
    put16(header, ip + 4, length - IPV6_HEADER_BYTES)
    ends?.remote.put(header, ip + 8)
    ends?.local.put(header, ip + 24)
    return
  }
  const field = get16(header, ip + 10)
  // Left for a device to fill in.
  const anew = recompute || field === 0 || get16(header, ip + 2) === 0
  put16(header, ip + 10, 0)
  const before = sumBytes(header, ip, ipBytes)
  put16(header, ip + 2, length)
  if (ends !== null) {
    put32(header, ip + 12, ends.remote.w3)
    put32(header, ip + 16, ends.local.w3)
  }
  const after = sumBytes(header, ip, ipBytes)
  put16(header, ip + 10, ~(anew ? after : fold((~field & 0xffff) + after + (~before & 0xffff))) & 0xffff)
}
