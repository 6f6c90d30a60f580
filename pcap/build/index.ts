/** Writes captures packet by packet: for samples, tests and hostile input. */
export { Capture, type Frame, merge, type PcapOptions } from './capture.ts'
export type { IpFields } from './ip.ts'
export type { LinkName } from './link.ts'
export { type PacketBuilder, packets } from './packets.ts'
export { type Data, pattern, type Side } from './pattern.ts'
export type { ChecksumMode } from './segment.ts'
export type { PacketsOptions, SegmentOverrides, SegmentSpec } from './spec.ts'
