import type { PcapError } from '../errors.ts'
import type { StreamReport } from './report.ts'
import type { WalkCounts } from './walk.ts'

/** Whose bytes they are. */
export interface FollowedStream {
  readonly stream: number
  readonly direction: 'client' | 'server'
  readonly client: string
  readonly server: string
}

/** What can be asked for of the streams of a capture, however they are got at. */
export interface StreamOptions {
  /** In the reports; default the path, or `-`. */
  readonly file?: string
  /** Only this conversation. */
  readonly conversation?: number
  /**
   * Only what this side sent; default both. In a replay: `client` makes our stack the server, `server` the client, and both are
   * two endpoints, one for each.
   */
  readonly direction?: 'client' | 'server' | 'both'
  /** SHA-256 of each stream; default true. */
  readonly digests?: boolean
  /** Ends it early: it throws the signal's reason then. */
  readonly signal?: AbortSignal
  /** Conversations that may be open at a time; quiet or ended ones make room. Default 16384. */
  readonly openConversations?: number
  /** The streams' bytes in order; `bytes[at, at + length)` is valid during the call only. */
  readonly onData?: (stream: FollowedStream, bytes: Uint8Array, at: number, length: number) => void
  /** Takes the reports, in order of conversations; without it they are returned at the end. */
  readonly onReport?: (report: StreamReport) => void
}

/** What is said of a capture as a whole. */
export interface CaptureSummary extends WalkCounts {
  conversations: number
  /** Conversations that were closed early because too many were open: what came of them later is missing. */
  evicted: number
  /** What ended the reading early: the file is truncated or corrupt. */
  error: PcapError | null
}
