import type { FollowSummary, PcapError, ReplaySummary, StreamReport } from '../api.ts'
import { formatBytes } from '../cli/format.ts'

/** Characters of a digest that people see. */
const DIGEST_SHOWN = 16

/** One stream, for people. */
export function streamLine(report: StreamReport): string {
  const { client, server, direction, bytes, gaps, missingBytes, end, skipped, sha256 } = report
  const way = direction === 'client' ? `${client} > ${server}` : `${server} > ${client}`
  const head = `${String(report.stream).padStart(5)}  ${way.padEnd(45)}`
  if (skipped !== null) return `${head} left out: ${skipped}`
  const parts = [`${head} ${formatBytes(bytes).padStart(10)}`, end.padEnd(4)]
  if (sha256 !== null) parts.push(`sha256 ${sha256.slice(0, DIGEST_SHOWN)}…`)
  if (report.completions > 0) {
    parts.push(`${report.completions} completions, ${formatBytes(report.copiedBytes)} copied`)
  }
  if (gaps > 0) parts.push(`${gaps} holes of ${formatBytes(missingBytes)}`)
  return parts.join('  ')
}

/** What both commands say of a capture as a whole. */
export function captureLines(summary: FollowSummary | ReplaySummary): string[] {
  const { packets, segments, conversations, fragments, notTcp, notIp, unknownLink, malformed } = summary
  const lines = [`${packets} packets, ${segments} TCP segments, ${conversations} conversations`]
  const others = [
    [fragments, 'fragments'],
    [notTcp, 'packets of other protocols'],
    [notIp, 'that are not IP'],
    [unknownLink, 'of unknown link types'],
    [malformed, 'malformed'],
    [summary.evicted, 'conversations closed early, too many were open'],
  ] as const
  const said = others.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  if (said.length > 0) lines.push(said.join(', '))
  for (const [name, count] of Object.entries(summary.notLookedInto)) {
    lines.push(`${count} packets in ${name} were not looked into`)
  }
  return lines
}

/** What a replay says besides. */
export function replayLines(summary: ReplaySummary): string[] {
  const lines = [`${summary.framesPlayed} frames played`]
  for (const [reason, count] of Object.entries(summary.skipped))
    lines.push(`${count} streams left out: ${reason}`)
  const drops = Object.entries(summary.drops).map(([cause, count]) => `${cause} ${count}`)
  if (drops.length > 0) lines.push(`dropped by the stack: ${drops.join(', ')}`)
  if (summary.unplayable > 0) lines.push(`${summary.unplayable} segments could not be played`)
  if (summary.unsentBytes > 0)
    lines.push(`${formatBytes(summary.unsentBytes)} our endpoints had no room to send`)
  const { total, lost } = summary.niovs
  lines.push(`${total} buffers, ${lost} lost`)
  return lines
}

/** An error as a program sees it. */
export function errorObject(
  error: PcapError | null,
): { code: string; message: string; offset: number } | null {
  return error === null ? null : { code: error.code, message: error.message, offset: error.offset }
}
