import type { Census } from '../diagnostics.ts'
import type { ServerStats } from './server-types.ts'

/** Of an area that was given back. */
export const NOTHING: Readonly<Census> = { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }

export function sumOfCensus(parts: readonly Census[]): Census {
  const sum: Census = { ...NOTHING }
  for (const part of parts) for (const key of Object.keys(sum) as (keyof Census)[]) sum[key] += part[key]
  return sum
}

/** @param connections accepted in all */
export function sumOfStats(parts: readonly ServerStats[], connections: number): ServerStats {
  const sum = { zeroCopiedBytes: 0, copiedBytes: 0, completions: 0, frames: 0 }
  for (const part of parts) for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += part[key]
  return {
    connections,
    ...sum,
    drops: sumOfCounts(parts.map(({ drops }) => drops)),
    tcp: sumOfCounts(parts.map(({ tcp }) => tcp)),
  }
}

function sumOfCounts(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const part of parts)
    for (const [name, count] of Object.entries(part)) sum[name] = (sum[name] ?? 0) + count
  return sum
}
