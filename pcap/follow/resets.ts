import { ACK } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import type { OrderedStream } from './ordered.ts'

/**
 * Whether a captured RST, whose checksum is right, has ended the connection: a host challenges one that is not exactly what
 * it expects next (RFC 5961 section 3.2). Who has not sent anything refuses what it acknowledges.
 * @param sender what the RST's sender has sent @param receiver what the other end has
 */
export function isReset(segment: SegmentDecoder, sender: OrderedStream, receiver: OrderedStream): boolean {
  const { flags, seq, ack } = segment
  if (sender.isNext(seq)) return true
  if (sender.begun) return false
  if ((flags & ACK) === 0) return !sender.acknowledges
  return !receiver.begun || receiver.isNext(ack)
}
