import { type Comparison, compare } from './compare.ts'
import { DIFFERENCES } from './differences.ts'
import type { Account } from './run.ts'
import { account, BROKEN, before, type KernelVersion, type Scenario } from './scenario.ts'
import type { Need, World } from './world.ts'

/** The two kernels that a program runs on. */
export interface Worlds {
  ours(needs?: Need): World
  /** @param patient what comes late is waited for */
  other(patient: boolean, needs?: Need): World
  /** Why the other can't have it; null when it can. */
  lacks(needs: Need): string | null
  /** The other's version. */
  readonly kernel: KernelVersion
}

/** What came of a scenario. */
export type Outcome =
  | ({ readonly scenario: Scenario; readonly ours: Account; readonly linux: Account } & Comparison)
  | { readonly scenario: Scenario; readonly verdict: 'skipped'; readonly why: string }

/** Runs a scenario on both; the other is waited for as long as it takes to have had what ours had. */
export function play(scenario: Scenario, worlds: Worlds): Outcome {
  const { since, needs } = scenario
  if (since !== undefined && before(worlds.kernel, since))
    return { scenario, verdict: 'skipped', why: `${scenario.why ?? 'it'} came with ${since.join('.')}` }
  const lack = needs === undefined ? null : worlds.lacks(needs)
  if (lack !== null) return { scenario, verdict: 'skipped', why: lack }
  const ours = account(scenario.run, worlds.ours(needs))
  const broken = ours.lines.find((line) => line.startsWith(BROKEN))
  if (broken !== undefined) throw new Error(`${scenario.name} ${broken}`)
  const listed = DIFFERENCES.filter((difference) => difference.scenario === scenario.name)
  const attempt = (patient: boolean): Outcome => {
    const linux = account(scenario.run, worlds.other(patient, needs), ours.waits)
    return { scenario, ours, linux, ...compare(ours.lines, linux.lines, listed, worlds.kernel) }
  }
  const first = attempt(false)
  // Ours is under a clock that nothing disturbs; the other's may have been held up.
  return first.verdict === 'DIFFERS' ? attempt(true) : first
}
