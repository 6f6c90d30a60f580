/** Nanoseconds of many short rounds: the tenth part of them was no slower, and half. */
export interface Times {
  readonly p10: number
  readonly median: number
}

export function timesOf(rounds: Float64Array): Times {
  const sorted = rounds.slice().sort()
  return { p10: sorted[Math.floor(sorted.length / 10)]!, median: sorted[sorted.length >>> 1]! }
}

/** As a table has them: p10 (median). */
export function printedTimes({ p10, median }: Times, digits: number): string {
  return `${p10.toFixed(digits)} (${median.toFixed(digits)})`
}

/** Nanoseconds of one of `count` things that are done. */
export function timed(count: number, things: () => void): number {
  const start = performance.now()
  things()
  return ((performance.now() - start) * 1e6) / count
}
