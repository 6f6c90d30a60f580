import { type Comparison, compare } from './compare.ts'
import { DIFFERENCES } from './differences.ts'
import type { Account } from './run.ts'
import { account, BROKEN, before, type KernelVersion, type Scenario } from './scenario.ts'
import type { World } from './world.ts'

/** The two kernels that a program runs on. */
export interface Worlds {
  ours(): World
  other(): World
  /** The other's version. */
  readonly kernel: KernelVersion
}

/** What came of a scenario. */
export type Outcome =
  | ({ readonly scenario: Scenario; readonly ours: Account; readonly linux: Account } & Comparison)
  | { readonly scenario: Scenario; readonly verdict: 'skipped'; readonly why: string }

/** Runs a scenario on both; the other is waited for as long as it takes to have had what ours had. */
export function play(scenario: Scenario, worlds: Worlds): Outcome {
  const { since } = scenario
  if (since !== undefined && before(worlds.kernel, since))
    return { scenario, verdict: 'skipped', why: `${scenario.why ?? 'it'} came with ${since.join('.')}` }
  const ours = account(scenario.run, worlds.ours())
  const linux = account(scenario.run, worlds.other(), ours.waits)
  const broken = ours.lines.find((line) => line.startsWith(BROKEN))
  if (broken !== undefined) throw new Error(`${scenario.name} ${broken}`)
  const listed = DIFFERENCES.filter((difference) => difference.scenario === scenario.name)
  return { scenario, ours, linux, ...compare(ours.lines, linux.lines, listed, worlds.kernel) }
}
