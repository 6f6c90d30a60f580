import type { Census } from '../diagnostics.ts'
import type { PcapError } from '../errors.ts'
import type { Conversation, ConversationTable, Side } from '../pcap/follow/conversations.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import type { FollowedStream } from '../pcap/follow/streams.ts'
import type { WalkCounts } from '../pcap/follow/walk.ts'
import { FIN, RST, SYN } from '../stack/wire/tcp.ts'
import * as abi from '../uapi/abi/index.ts'
import type { Direction, Replayed } from './direction.ts'
import type { ReplaySummary } from './result.ts'
import type { Role } from './role.ts'
import type { ReplaySession } from './session.ts'

/** Reasons for leaving a conversation out. */
export const BEGAN_EARLIER = 'began before the capture'
export const ONLY_NAMED = 'has no segment of its own'
const PORT_0 = 'port 0'

/** Errors of a connection that a reset has ended; others are our endpoint's own, as time runs out. */
const RESET_ERRORS: ReadonlySet<number> = new Set([abi.ECONNRESET, abi.ECONNREFUSED, abi.EPIPE])

/** One direction of a conversation, for people and reports. */
export function describe<T>(conversation: Conversation<T>, side: Side): FollowedStream {
  const { client } = conversation
  return {
    stream: conversation.number,
    direction: side === client ? 'client' : 'server',
    client: conversation.endpoint(client),
    server: conversation.endpoint(client === 0 ? 1 : 0),
  }
}

/** Why a conversation whose first captured segment has these flags can't be played; null when it can. */
export function whyNot<T>(conversation: Conversation<T>, flags: number): string | null {
  if (conversation.named) return ONLY_NAMED
  // An answer to a SYN may have been captured in front of it.
  if ((flags & (SYN | RST | FIN)) !== SYN) return BEGAN_EARLIER
  return conversation.ports[0] === 0 || conversation.ports[1] === 0 ? PORT_0 : null
}

/** Of a stream that was left out. */
export function skippedReport(file: string, who: FollowedStream, skipped: string): StreamReport {
  return { ...blank(file, who), skipped }
}

/** @param reset of the conversation @param behind bytes that were captured behind a hole that nobody acknowledged */
export function streamReport(
  file: string,
  direction: Direction,
  session: ReplaySession,
  reset: boolean,
  behind: number,
): StreamReport {
  const { skipped, endedWith } = session
  const ends = reset || RESET_ERRORS.has(endedWith)
  // What our endpoint refused, for a checksum or an old timestamp, and nobody sent again.
  const refused = skipped === null && !ends ? Math.max(0, direction.position - session.position) : 0
  return {
    ...blank(file, direction.who),
    bytes: session.bytes,
    sha256: session.digest?.end() ?? null,
    completions: session.completions,
    zeroCopiedBytes: Math.max(0, session.position - session.filledBytes - session.copiedBytes),
    copiedBytes: session.copiedBytes,
    gaps: direction.gaps + (behind > 0 || refused > 0 ? 1 : 0),
    missingBytes: direction.missingBytes + refused,
    end: endedWith === 0 ? 'fin' : ends ? 'rst' : 'none',
    skipped,
  }
}

function blank(file: string, { stream, client, server, direction }: FollowedStream): StreamReport {
  return {
    file,
    stream,
    client,
    server,
    direction,
    bytes: 0,
    sha256: null,
    completions: 0,
    zeroCopiedBytes: 0,
    copiedBytes: 0,
    gaps: 0,
    missingBytes: 0,
    end: 'none',
    skipped: null,
  }
}

/** @param skipped how many streams were left out, by reason @param unsentBytes of all sessions */
export function summaryOf(
  table: ConversationTable<Replayed>,
  counts: WalkCounts,
  roles: readonly Role[],
  skipped: Record<string, number>,
  unsentBytes: number,
  error: PcapError | null,
): ReplaySummary {
  const niovs: Census = { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }
  const drops: Record<string, number> = {}
  let framesPlayed = 0
  let unplayable = 0
  for (const { endpoint, frames, unplayable: refused } of roles) {
    framesPlayed += frames
    unplayable += refused
    for (const [cause, count] of Object.entries(endpoint.stack.drops()))
      drops[cause] = (drops[cause] ?? 0) + count
    const census = endpoint.census()
    for (const place of Object.keys(niovs) as (keyof Census)[]) niovs[place] += census[place]
  }
  return {
    conversations: table.count,
    evicted: table.evicted,
    ...counts,
    skipped,
    framesPlayed,
    unplayable,
    unsentBytes,
    drops,
    niovs,
    error,
  }
}
