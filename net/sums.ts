import type { ServerStats } from './server-types.ts'

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
