import { SegmentDecoder } from '../../../pcap/decode/segment.ts'
import { LINKTYPE_RAW } from '../../../pcap/file/format.ts'
import { CapturedPacket } from '../../../pcap/file/packet.ts'

/** A captured frame in the midst of a buffer, so that bytes around it would be noticed. */
export function captured(
  bytes: Uint8Array,
  linkType: number = LINKTYPE_RAW,
  { length = bytes.length, wireLength = bytes.length } = {},
): CapturedPacket {
  const buffer = new Uint8Array(bytes.length + 64).fill(0x45)
  buffer.set(bytes, 32)
  return Object.assign(new CapturedPacket(), { bytes: buffer, at: 32, length, wireLength, linkType })
}

/** What a fresh decoder makes of a frame. */
export function decode(
  bytes: Uint8Array,
  linkType?: number,
  cut?: { length?: number; wireLength?: number },
): { found: number; segment: SegmentDecoder } {
  const segment = new SegmentDecoder()
  const found = segment.decode(captured(bytes, linkType, cut))
  return { found, segment }
}
