import type { PcapError } from '../../errors.ts'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkObject,
  checkOneOf,
  checkSignal,
  checkString,
  checkThat,
} from '../check.ts'
import { CaptureReader } from '../file/reader.ts'
import type { StreamReport } from './report.ts'
import type { WalkCounts } from './walk.ts'

/** Whose bytes they are. */
export interface FollowedStream {
  /** Number in order of first packets, from 0: Wireshark's `tcp.stream`. */
  readonly stream: number
  /** Who sent these bytes. */
  readonly direction: 'client' | 'server'
  /** `192.0.2.1:40000`, `[2001:db8::1]:40000`. */
  readonly client: string
  /** Address and port, as `client`. */
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
  /** How many TCP conversations there were. */
  conversations: number
  /** Conversations that were closed early because too many were open: what came of them later is missing. */
  evicted: number
  /** What ended the reading early: the file is truncated or corrupt. */
  error: PcapError | null
}

const DIRECTIONS = ['client', 'server', 'both']
const MOST_OPEN = 2 ** 24

/** @throws ArgumentError that names the option */
export function checkStreamOptions(options: StreamOptions): void {
  checkObject('options', options)
  checkString('file', options.file)
  checkInteger('conversation', options.conversation, 0, Number.MAX_SAFE_INTEGER)
  checkOneOf('direction', options.direction, DIRECTIONS)
  checkBoolean('digests', options.digests)
  checkSignal('signal', options.signal)
  checkInteger('openConversations', options.openConversations, 1, MOST_OPEN)
  checkFunction('onData', options.onData)
  checkFunction('onReport', options.onReport)
}

/** A capture that was built, such as `packets(...)`. */
export interface BuiltCapture {
  /** The capture as a pcapng file. */
  pcapng(): Uint8Array
}

/** What captures are read from: a path (`-` is standard input), bytes, one that was built, or an open reader. */
export type CaptureInput = string | Uint8Array | CaptureReader | BuiltCapture

/** A reader of it; an open one is taken as it is. @throws PcapError, ArgumentError */
export async function openReader(input: CaptureInput): Promise<CaptureReader> {
  if (input instanceof CaptureReader) return input
  if (typeof input === 'string') return CaptureReader.open(input)
  if (input instanceof Uint8Array) return CaptureReader.from(input)
  const built = typeof input === 'object' && input !== null && typeof input.pcapng === 'function'
  checkThat('input', input, built, "a path, a capture's bytes, what packets() builds, or a CaptureReader")
  return CaptureReader.from(input.pcapng())
}
