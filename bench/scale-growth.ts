import { PerformanceObserver } from 'node:perf_hooks'
import { ConnectionsRig } from './scale-rig.ts'
import { type Spread, spread } from './spread.ts'

/** A time between two moments, milliseconds. */
export interface Span {
  readonly began: number
  readonly ended: number
}

/** How long the stack was away while connections came, one after the other; milliseconds. */
export interface GrowthResult {
  readonly connections: number
  /** Of every pass of the stack over one segment: all but a thousandth took no longer. */
  readonly p999: Spread
  readonly longest: Spread
  /** The same with the time taken off in which garbage was collected. */
  readonly p999WithoutGc: Spread
  readonly longestWithoutGc: Spread
  /**
   * The longest pass of which every run had one as long at the same connection: what a table that grows takes, without what others on
   * the machine take.
   */
  readonly longestAlways: { readonly ms: number; readonly connection: number }
}

/** Connections that are opened before V8's observers get a turn. */
const TURN = 1000

/**
 * Takes from each pass what falls into a collection of garbage.
 * @param passes and collections, each in the order of time
 */
export function withoutCollections(passes: readonly Span[], collections: readonly Span[]): Float64Array {
  const left = Float64Array.from(passes, ({ began, ended }) => ended - began)
  let first = 0
  for (const [i, { began, ended }] of passes.entries()) {
    while (first < collections.length && collections[first]!.ended <= began) first++
    for (let at = first; at < collections.length && collections[at]!.began < ended; at++) {
      const overlap = Math.min(ended, collections[at]!.ended) - Math.max(began, collections[at]!.began)
      left[i] = Math.max(0, left[i]! - Math.max(0, overlap))
    }
  }
  return left
}

interface GrowthRun {
  readonly all: Float64Array
  readonly withoutGc: Float64Array
}

async function grow(connections: number): Promise<GrowthRun> {
  const collections: Span[] = []
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push({ began: startTime, ended: startTime + duration })
  })
  observer.observe({ entryTypes: ['gc'] })
  const rig = new ConnectionsRig(connections)
  const passes: Span[] = []
  rig.onPass = (began, ended) => passes.push({ began, ended })
  for (let i = 0; i < connections; i++) {
    rig.open(i)
    if (i % TURN === 0) await new Promise(setImmediate)
  }
  await new Promise(setImmediate)
  observer.disconnect()
  collections.sort((a, b) => a.began - b.began)
  return {
    all: Float64Array.from(passes, ({ began, ended }) => ended - began),
    withoutGc: withoutCollections(passes, collections),
  }
}

function quantile(values: Float64Array, share: number): number {
  const sorted = values.slice().sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** A connection takes two passes: SYN, ACK. */
function longestOf(always: Float64Array): GrowthResult['longestAlways'] {
  const at = always.reduce((best, ms, i) => (ms > always[best]! ? i : best), 0)
  return { ms: always[at]!, connection: at >>> 1 }
}

/** Grows a stack from nothing to so many connections, several times. */
export async function measureGrowth(connections: number, rounds: number): Promise<GrowthResult> {
  const runs: GrowthRun[] = []
  // What is compiled is so in the first, which does not count.
  for (let round = 0; round <= rounds; round++) runs.push(await grow(connections))
  runs.shift()
  const of = (figure: (run: GrowthRun) => number): Spread => spread(runs.map(figure))
  const always = runs[0]!.withoutGc.map((_, i) => Math.min(...runs.map(({ withoutGc }) => withoutGc[i]!)))
  return {
    connections,
    p999: of(({ all }) => quantile(all, 0.999)),
    longest: of(({ all }) => quantile(all, 1)),
    p999WithoutGc: of(({ withoutGc }) => quantile(withoutGc, 0.999)),
    longestWithoutGc: of(({ withoutGc }) => quantile(withoutGc, 1)),
    longestAlways: longestOf(always),
  }
}
