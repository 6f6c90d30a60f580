/** Captures: reading, writing, taking them off a NIC, following what is in them, building them. */

export { PcapError, type PcapErrorCode } from '../errors.ts'
export * from './build/index.ts'
export { FRAGMENT, MALFORMED, NOT_IP, NOT_TCP, SEGMENT, SegmentDecoder } from './decode/segment.ts'
export { type DiffOptions, diffLines } from './diff.ts'
export * from './file/format.ts'
export { CapturedPacket } from './file/packet.ts'
export type { CaptureInterface, Section } from './file/parser.ts'
export { CaptureReader } from './file/reader.ts'
export {
  type CaptureInterface as InterfaceOptions,
  type CaptureSink,
  type CaptureStatistics,
  type CaptureTime,
  FileSink,
  MemorySink,
  type PacketDetails,
  PcapngWriter,
  type PcapngWriterOptions,
  PcapWriter,
  type PcapWriterOptions,
} from './file/writer.ts'
export { type FollowOptions, type FollowResult, type FollowSummary, follow } from './follow/follow.ts'
export type { StreamReport } from './follow/report.ts'
export type {
  BuiltCapture,
  CaptureInput,
  CaptureSummary,
  FollowedStream,
  StreamOptions,
} from './follow/streams.ts'
export type { WalkCounts } from './follow/walk.ts'
export { type LineOptions, PacketLines, packetLine } from './line.ts'
export { type NotPlayed, PcapNic } from './play/index.ts'
export { CaptureNic, type CaptureNicOptions, checkCapture } from './tap/index.ts'
