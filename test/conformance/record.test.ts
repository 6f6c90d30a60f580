import { describe, expect, it } from 'vitest'
import { loadRecord, ownRecord, type Scenario } from './record.ts'
import { details } from './report.ts'
import { runScenario } from './run.ts'

const groups = new Map<string, Scenario[]>()
for (const scenario of loadRecord(ownRecord())) {
  const group = scenario.name.split('.')[0]!
  const list = groups.get(group) ?? []
  list.push(scenario)
  groups.set(group, list)
}

describe("the kernel's record", () => {
  it.each([...groups])(
    '%s',
    (_group, scenarios) => {
      const reports = scenarios.map((scenario) => runScenario(scenario))
      for (const report of reports) if (report.outcome === 'skip') console.log(details(report))
      const failed = reports.filter(({ outcome }) => outcome === 'fail').map(details)
      expect(failed.join('\n')).toBe('')
      expect(
        reports.some(({ outcome, reason }) => outcome === 'skip' && reason.startsWith('no translation')),
      ).toBe(false)
    },
    120_000,
  )
})
