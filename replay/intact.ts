import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { get16 } from '../stack/wire/bytes.ts'
import { addSums, pseudoHeaderSumOf, sumBytes } from '../stack/wire/checksum.ts'
import { IPPROTO_TCP } from '../stack/wire/ipv4.ts'
import { tcpField } from '../stack/wire/tcp.ts'

/**
 * Whether a captured segment's checksum is right, or can't tell: unfinished, or of a segment that was cut off. Touches every byte:
 * for segments that something depends on, not for all.
 */
export function isIntact(segment: SegmentDecoder): boolean {
  const { bytes, tcpAt, headerBytes, payloadBytes, capturedBytes } = segment
  if (capturedBytes < payloadBytes) return true
  const length = headerBytes + payloadBytes
  const pseudo = pseudoHeaderSumOf(segment, IPPROTO_TCP, length)
  if (addSums(pseudo, sumBytes(bytes, tcpAt, length)) === 0xffff) return true
  const field = get16(bytes, tcpAt + tcpField.checksum)
  return field === pseudo || field === pseudoHeaderSumOf(segment, IPPROTO_TCP, 0)
}
