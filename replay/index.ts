/** `zcrx/pcap`: captures, and what our stack makes of them. */
export * from '../pcap/index.ts'
export {
  type ExpectedCompletion,
  type ExpectedStream,
  type ExpectOptions,
  expectCompletions,
  expectPackets,
  expectStream,
  packetLines,
} from './expect.ts'
export type { Kept, KeptCompletion } from './kept.ts'
export { replay } from './replay.ts'
export type { ReplayOptions, ReplayResult, ReplaySummary } from './result.ts'
