import type { Census } from '../diagnostics.ts'
import type { CaptureSink } from '../pcap/file/writer.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import type { CaptureSummary, StreamOptions } from '../pcap/follow/streams.ts'
import type { Kept } from './kept.ts'

/** What `replay` is told. */
export interface ReplayOptions extends StreamOptions {
  /** Makes every checksum right: for captures taken where a device would have. Unfinished ones need no help. */
  readonly recomputeChecksums?: boolean
  /** Bytes of the area that data is received into; default 64 MiB. */
  readonly areaBytes?: number
  /** Of our initial sequence numbers; default 1. */
  readonly seed?: number
  /**
   * A capture (pcapng) of what our endpoints received and sent goes there, with the original's addresses and, where the stack
   * dropped a frame, the cause as its comment.
   */
  readonly record?: CaptureSink
  /**
   * Keeps completions and a capture of the run for `expectCompletions` and its like, within 32 MiB; default true. False where
   * only the reports matter: it is faster.
   */
  readonly keep?: boolean
}

/** What was played, as a whole. */
export interface ReplaySummary extends CaptureSummary {
  /** Streams that were left out, by reason. */
  skipped: Record<string, number>
  /** Frames that our endpoints were given. */
  framesPlayed: number
  /** Segments that could not be: longer headers than any, or no room in the area. */
  unplayable: number
  /** Bytes our endpoints were to send and did not: the capture does not acknowledge what would have made room. */
  unsentBytes: number
  /** What our endpoints' stacks dropped, by cause. */
  drops: Record<string, number>
  /** Where the buffers of the areas are in the end. */
  niovs: Census
}

/** What a replay received. */
export interface ReplayResult {
  /** In order of conversations, the client's before the server's. */
  readonly streams: StreamReport[]
  /** Of the capture and the run as a whole. */
  readonly summary: ReplaySummary
  /** `onReport` was given them instead. */
  readonly reportsTaken: boolean
  /** What was kept for expectations; null with `keep: false`. */
  readonly kept: Kept | null
}
