import { release } from 'node:os'
import { describe, expect, it } from 'vitest'
import { runs } from '../support/long.ts'
import { linuxHost } from './linux-host.ts'
import { LinuxWorld } from './linux-world.ts'
import { play, type Worlds } from './play.ts'
import { trySeed } from './random.ts'
import { details, foundText, summary } from './report.ts'
import { kernelVersion } from './scenario.ts'
import { THEMES } from './scenarios/index.ts'
import { StackWorld } from './stack-world.ts'

const host = linuxHost()
if ('why' in host) console.log(`Linux's rings are not compared with: ${host.why}`)

const worlds: Worlds = {
  ours: () => new StackWorld(),
  other: () => {
    if ('why' in host) throw new Error(host.why)
    return new LinuxWorld(host)
  },
  kernel: kernelVersion(release()),
}
/** A new one each time would make a suite that fails now and then: `npm run differential` has those. */
const FIRST_SEED = 1

describe.skipIf('why' in host)("one program on the stack and on Linux's own rings", () => {
  it.each([...THEMES])('%s', (theme, scenarios) => {
    const outcomes = scenarios.map((scenario) => play(scenario, worlds))
    for (const outcome of outcomes) {
      if (outcome.verdict === 'skipped') console.log(`${outcome.scenario.name}: ${outcome.why}`)
      else if (outcome.verdict === 'DIFFERS') expect.soft(details(outcome), outcome.scenario.name).toBe('')
    }
    console.log(`${theme}: ${summary(outcomes)}`)
  })

  it('at random', () => {
    const count = runs(400, 40)
    for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
      const found = trySeed(seed, worlds)
      expect(found === null ? '' : foundText(found)).toBe('')
    }
  }, 300_000)
})
