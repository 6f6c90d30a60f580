import { get16 } from '../../bytes.ts'
import { addSums, pseudoHeaderSumOf, sumBytes } from '../../stack/wire/checksum.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import { tcpField } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from './segment.ts'

/**
 * Whether a host would take a captured segment for what it says: its lengths are honest and its checksums right, or can't
 * tell, being unfinished, or of a segment that was cut off. Touches every byte: for segments that something depends on, not for
 * all.
 */
export function isIntact(segment: SegmentDecoder): boolean {
  const { bytes, ipAt, tcpAt, headerBytes, payloadBytes, capturedBytes, version } = segment
  if (segment.beyond > 0) return false
  if (version === 4 && get16(bytes, ipAt + 10) !== 0) {
    if (sumBytes(bytes, ipAt, (bytes[ipAt]! & 15) * 4) !== 0xffff) return false
  }
  if (capturedBytes < payloadBytes || segment.capturedEnd < segment.payloadAt) return true
  const length = headerBytes + payloadBytes
  const pseudo = pseudoHeaderSumOf(segment, IPPROTO_TCP, length)
  return isUnfinished(segment, pseudo) || addSums(pseudo, sumBytes(bytes, tcpAt, length)) === 0xffff
}

/**
 * The field holds the sum of the pseudo-header only (RFC 9293 3.1), as captured in front of a device that would finish it;
 * offloading senders leave the length out of it, too. @param pseudo sum of the pseudo-header
 */
export function isUnfinished(segment: SegmentDecoder, pseudo: number): boolean {
  const field = get16(segment.bytes, segment.tcpAt + tcpField.checksum)
  return field === pseudo || field === pseudoHeaderSumOf(segment, IPPROTO_TCP, 0)
}
