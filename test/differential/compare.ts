import type { Difference } from './differences.ts'
import { before, type KernelVersion } from './scenario.ts'

/** Lines where two accounts part, and what each has there. */
export interface Hunk {
  readonly ours: readonly string[]
  readonly linux: readonly string[]
}

export type Verdict = 'equal' | 'as listed' | 'DIFFERS'

export interface Comparison {
  readonly verdict: Verdict
  /** Where they part and nothing says so. */
  readonly unlisted: readonly Hunk[]
  /** What is listed, and is not so. */
  readonly stale: readonly Difference[]
}

/** The places where two lists of lines part: what is not in their longest common subsequence. */
export function hunksOf(ours: readonly string[], linux: readonly string[]): Hunk[] {
  const common = lengths(ours, linux)
  const hunks: Hunk[] = []
  let hunk: { ours: string[]; linux: string[] } | null = null
  for (let i = 0, j = 0; i < ours.length || j < linux.length; ) {
    if (i < ours.length && j < linux.length && ours[i] === linux[j]) {
      hunk = null
      i++
      j++
      continue
    }
    if (hunk === null) {
      hunk = { ours: [], linux: [] }
      hunks.push(hunk)
    }
    const dropOurs = j === linux.length || (i < ours.length && common[i + 1]![j]! >= common[i]![j + 1]!)
    if (dropOurs) hunk.ours.push(ours[i++]!)
    else hunk.linux.push(linux[j++]!)
  }
  return hunks
}

/** Of each pair of rests of the lists, the length of the longest common subsequence. */
function lengths(ours: readonly string[], linux: readonly string[]): number[][] {
  const rows = Array.from({ length: ours.length + 1 }, () => new Array<number>(linux.length + 1).fill(0))
  for (let i = ours.length - 1; i >= 0; i--)
    for (let j = linux.length - 1; j >= 0; j--)
      rows[i]![j] =
        ours[i] === linux[j] ? rows[i + 1]![j + 1]! + 1 : Math.max(rows[i + 1]![j]!, rows[i]![j + 1]!)
  return rows
}

/** Compares two accounts of a scenario, with what is listed for it on this kernel. */
export function compare(
  ours: readonly string[],
  linux: readonly string[],
  listed: readonly Difference[],
  kernel: KernelVersion,
): Comparison {
  const hunks = hunksOf(ours, linux)
  const due = listed.filter((difference) => holds(difference, kernel))
  const unlisted = hunks.filter((hunk) => !due.some((difference) => same(hunk, difference)))
  const stale = due.filter((difference) => !hunks.some((hunk) => same(hunk, difference)))
  if (unlisted.length > 0 || stale.length > 0) return { verdict: 'DIFFERS', unlisted, stale }
  return { verdict: hunks.length > 0 ? 'as listed' : 'equal', unlisted, stale }
}

/** The difference is one of this kernel's. */
export function holds({ until, since }: Difference, kernel: KernelVersion): boolean {
  return (until === undefined || before(kernel, until)) && (since === undefined || !before(kernel, since))
}

function same(one: Hunk, other: Hunk): boolean {
  return one.ours.join('\n') === other.ours.join('\n') && one.linux.join('\n') === other.linux.join('\n')
}
