/** Where a figure lies: the median of what was measured, and bounds that hold it with the given confidence. */
export interface Interval {
  readonly median: number
  readonly low: number
  readonly high: number
}

export type Verdict = 'slower' | 'faster' | 'same'

const RESAMPLES = 10_000
const CONFIDENCE = 0.95

/** Numbers in [0, 1) that a seed decides (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function medianOf(sorted: ArrayLike<number>): number {
  const middle = sorted.length >>> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * Percentile bootstrap of the median: as many values are drawn again and again from those that were measured. The same seed gives the
 * same interval. @throws RangeError for no values
 */
export function bootstrap(values: readonly number[], seed: number): Interval {
  if (values.length === 0) throw new RangeError('no values')
  const random = randomFrom(seed)
  const medians = new Float64Array(RESAMPLES)
  const drawn = new Float64Array(values.length)
  for (let i = 0; i < RESAMPLES; i++) {
    for (let k = 0; k < drawn.length; k++) drawn[k] = values[Math.floor(random() * values.length)]!
    medians[i] = medianOf(drawn.sort())
  }
  medians.sort()
  const outside = (1 - CONFIDENCE) / 2
  return {
    median: medianOf(Float64Array.from(values).sort()),
    low: medians[Math.floor(RESAMPLES * outside)]!,
    high: medians[Math.ceil(RESAMPLES * (1 - outside)) - 1]!,
  }
}

/** Of a ratio of times, new over old: the whole interval lies beyond 1 and what is taken for nothing. */
export function verdictOf({ low, high }: Interval, threshold: number): Verdict {
  if (low > 1 + threshold) return 'slower'
  return high < 1 / (1 + threshold) ? 'faster' : 'same'
}
