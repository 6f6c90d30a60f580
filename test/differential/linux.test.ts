import { describe, expect, it } from 'vitest'
import { runs } from '../support/long.ts'
import { linuxHost } from './linux-host.ts'
import { play } from './play.ts'
import { trySeed, zeroCopyProgramOf } from './random.ts'
import { details, foundText, summary } from './report.ts'
import { THEMES } from './scenarios/index.ts'
import { worldsOn } from './worlds.ts'

const host = linuxHost()
if ('why' in host) console.log(`Linux's rings are not compared with: ${host.why}`)

const worlds = 'why' in host ? null : worldsOn(host)
/** A new one each time would make a suite that fails now and then: `npm run differential` has those. */
const FIRST_SEED = 1

describe.skipIf(worlds === null)("one program on the stack and on Linux's own rings", () => {
  it.each([...THEMES])('%s', (theme, scenarios) => {
    const outcomes = scenarios.map((scenario) => play(scenario, worlds!))
    for (const why of new Set(outcomes.map((outcome) => (outcome.verdict === 'skipped' ? outcome.why : ''))))
      if (why !== '') console.log(`${theme}: ${why}`)
    for (const outcome of outcomes)
      if (outcome.verdict === 'DIFFERS') expect.soft(details(outcome), outcome.scenario.name).toBe('')
    console.log(`${theme}: ${summary(outcomes)}`)
  })

  it('at random', () => {
    const count = runs(400, 40)
    for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
      const found = trySeed(seed, worlds!)
      expect(found === null ? '' : foundText(found)).toBe('')
    }
  }, 300_000)

  if (worlds?.lacks('zcrx') === null)
    it('at random, with zero-copy receive', () => {
      const count = runs(400, 40)
      for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
        const found = trySeed(seed, worlds, zeroCopyProgramOf)
        expect(found === null ? '' : foundText(found)).toBe('')
      }
    }, 300_000)
})
