import { formatTime } from './format.ts'
import type { RunResult } from './run.ts'
import type { ScriptEvent } from './script/ast.ts'

/** A run and what it was of. */
export interface Report {
  readonly name: string
  /** '' when the script is for one family, or was not run at all. */
  readonly family: 'ipv4' | 'ipv6' | ''
  readonly result: RunResult
}

const WORDS = { pass: 'PASS', 'pass-lenient': 'PASS-LENIENT', fail: 'FAIL', skip: 'SKIP' } as const

/** One line. */
export function reportLine({ name, family, result }: Report): string {
  const { outcome, position, message, used } = result
  const parts: string[] = [WORDS[outcome], family === '' ? name : `${name} (${family})`]
  if (outcome === 'pass-lenient') parts.push(used.join(','))
  if (outcome === 'fail' && position !== null) parts.push(`${position.line}:${position.column}:`)
  if (outcome === 'skip' && position !== null) parts.push(`${message} (${position.line}:${position.column})`)
  else if (message !== '') parts.push(message)
  return parts.join(' ')
}

/** The totals; in front of them, where some passed leniently, how many. */
export function closingLines(reports: readonly Report[]): string {
  const count = (...outcomes: readonly string[]): number =>
    reports.filter(({ result }) => outcomes.includes(result.outcome)).length
  const lenient = count('pass-lenient')
  const split = lenient === 0 ? '' : `${count('pass')} strictly, ${lenient} leniently:\n`
  return `${split}${count('pass', 'pass-lenient')} passed, ${count('fail')} failed, ${count('skip')} skipped`
}

/** Everything, for programs. */
export function reportJson(reports: readonly Report[]): string {
  const count = (outcome: string): number => reports.filter(({ result }) => result.outcome === outcome).length
  const [strictly, leniently] = [count('pass'), count('pass-lenient')]
  const results = reports.map(({ name, family, result }) => ({
    name,
    family: family === '' ? null : family,
    outcome: result.outcome,
    line: result.position?.line ?? null,
    column: result.position?.column ?? null,
    message: result.message,
    expected: result.expected,
    actual: result.actual,
    switches: result.used,
    notes: result.notes,
  }))
  const totals = {
    passed: strictly + leniently,
    passedStrictly: strictly,
    passedLeniently: leniently,
    failed: count('fail'),
    skipped: count('skip'),
  }
  return JSON.stringify({ results, ...totals }, null, 2)
}

/** An event as `--verbose` shows it. */
export function eventLine(timeUs: number, event: ScriptEvent): string {
  return `  ${formatTime(timeUs)} ${event.at.line}:${event.at.column} ${event.text}`
}
