import type { Report } from './run.ts'

/** Most differences that are shown of one scenario. */
const SHOWN = 12

/** The table: a line per group. */
export function table(reports: readonly Report[]): string {
  const groups = new Map<string, { pass: number; fail: number; skip: number }>()
  for (const { name, outcome } of reports) {
    const group = name.split('.')[0]!
    const counts = groups.get(group) ?? { pass: 0, fail: 0, skip: 0 }
    counts[outcome]++
    groups.set(group, counts)
  }
  const lines = ['group        passed  failed  skipped']
  for (const [group, { pass, fail, skip }] of groups) {
    const cells = [String(pass).padStart(6), String(fail).padStart(6), String(skip).padStart(7)]
    lines.push(`${group.padEnd(11)}  ${cells.join('  ')}`)
  }
  return lines.join('\n')
}

/** A failure or skip, in full. */
export function details({ name, outcome, reason, differences }: Report): string {
  if (outcome === 'skip') return `SKIP ${name}: ${reason}`
  const more = differences.length - SHOWN
  const lines = differences.slice(0, SHOWN).map((line) => `  ${line}`)
  if (more > 0) lines.push(`  and ${more} more`)
  return [`FAIL ${name}`, ...lines].join('\n')
}

/** What was not compared in scenarios that passed: a line per reason. */
export function notCompared(reports: readonly Report[]): string[] {
  const reasons = new Map<string, { scenarios: string[]; results: number }>()
  for (const { name, outcome, notCompared: keys } of reports) {
    if (outcome !== 'pass') continue
    for (const reason of new Set(Object.values(keys))) {
      const one = reasons.get(reason) ?? { scenarios: [], results: 0 }
      one.scenarios.push(name)
      one.results += Object.values(keys).filter((other) => other === reason).length
      reasons.set(reason, one)
    }
  }
  return [...reasons].map(([reason, { scenarios, results }]) => {
    const where = scenarios.length === 1 ? scenarios[0] : `${scenarios.length} scenarios`
    return `not compared: ${results} ${results === 1 ? 'result' : 'results'} of ${where}: ${reason}`
  })
}

export function closingLine(reports: readonly Report[]): string {
  const count = (outcome: Report['outcome']): number =>
    reports.filter((report) => report.outcome === outcome).length
  return `${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped`
}
