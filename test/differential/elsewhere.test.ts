import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adaptKernels } from '../conformance/machine.ts'
import { adapt, kernelsOn } from '../support/which-backend.ts'
import { hunksOf } from './compare.ts'
import { scenarioOf } from './programs.ts'
import { programOf, zeroCopyProgramOf } from './random.ts'
import type { Account } from './run.ts'
import { account, BROKEN, type Scenario } from './scenario.ts'
import { THEMES } from './scenarios/index.ts'
import { StackWorld } from './stack-world.ts'

/** What one thread alone says, and what is said across a border between threads. */
function onBoth({ run, needs }: Scenario): [Account, Account] {
  kernelsOn('inline')
  const inline = account(run, new StackWorld(needs))
  kernelsOn('worker')
  return [inline, account(run, new StackWorld(needs), inline.waits)]
}

beforeAll(() => adaptKernels(adapt))
afterAll(() => {
  kernelsOn('inline')
  adaptKernels((kernel) => kernel)
})

// Needs no kernel but ours: what programs are told does not depend on which side of a border they are.
describe('programs on the back end of workers', () => {
  it.each([...THEMES])('%s', (_theme, scenarios) => {
    for (const scenario of scenarios) {
      const [inline, worker] = onBoth(scenario)
      expect(hunksOf(inline.lines, worker.lines), scenario.name).toEqual([])
      expect(
        inline.lines.filter((line) => line.startsWith(BROKEN)),
        scenario.name,
      ).toEqual([])
    }
  })

  it('at random', () => {
    for (let seed = 1; seed <= 20; seed++)
      for (const of of [programOf, zeroCopyProgramOf]) {
        const [inline, worker] = onBoth(scenarioOf(of(seed)))
        expect(hunksOf(inline.lines, worker.lines), `seed ${seed}`).toEqual([])
      }
  })
})
