import type { Examination, Finding, Way } from '../api.ts'
import { wrap } from '../cli/table.ts'
import type { Trial } from './try.ts'

const WIDTH = 100
const MARKS: Readonly<Record<Finding['status'], string>> = {
  ok: 'ok    ',
  note: 'note  ',
  costs: 'COSTS ',
  blocks: 'BLOCKS',
}

/** What is printed with `--json`. */
export interface DoctorReport extends Examination {
  /** With `--try`, in the order that was tried. */
  readonly tried?: readonly Trial[]
}

/** A report for people, as lines. */
export function renderExamination(report: DoctorReport): string[] {
  const { device, chosen, findings, ways, interfaces, tried } = report
  const lines = [device === null ? 'this machine' : device, '']
  const width = Math.max(...findings.map(({ check }) => check.length))
  for (const finding of findings) lines.push(...renderFinding(finding, width))
  if (ways.length > 0) lines.push('', 'ways in, best first:', ...ways.map((way) => renderWay(way, chosen)))
  if (interfaces !== undefined) {
    const name = Math.max(0, ...interfaces.map((each) => each.name.length))
    lines.push('', 'interfaces:')
    for (const each of interfaces) lines.push(`  ${each.name.padEnd(name)}  ${describeChosen(each.chosen)}`)
  }
  if (tried !== undefined) {
    lines.push('', 'tried over a scratch link:')
    for (const { driver, mode, ok, bytes, ms, error } of tried) {
      const what = ok ? `${bytes} bytes sent and received in ${ms} ms` : `failed: ${error}`
      lines.push(`  ${driver.padEnd(6)}  ${mode}: ${what}`)
    }
  }
  lines.push('', conclusion(report))
  return lines
}

function renderFinding({ check, status, found, cost, fix }: Finding, width: number): string[] {
  const lead = `  ${MARKS[status]}  ${check.padEnd(width)}  `
  const indent = ' '.repeat(lead.length)
  const [first = '', ...more] = wrap(found, WIDTH, indent)
  const lines = [lead + first.trimStart(), ...more]
  if (cost !== undefined) lines.push(...wrap(`costs: ${cost}`, WIDTH, indent))
  // A command is never broken: it is there to be copied.
  if (fix !== undefined) lines.push(`${indent}fix:   ${fix}`)
  return lines
}

function renderWay(way: Way, chosen: Way | null): string {
  const mark = way === chosen ? '->' : way.open ? '  ' : ' x'
  const why = way.reasons.length === 0 ? '' : `: ${way.reasons[0]}`
  return `  ${mark} ${way.device} (${way.mode})${why}`
}

function describeChosen(way: Way | null): string {
  return way === null ? 'no way in' : `${way.device} (${way.mode})`
}

function conclusion({ device, ok, chosen, tried }: DoctorReport): string {
  if (device === null) return ok ? 'zcrxd can run here' : 'zcrxd can run on no interface here'
  if (chosen === null) return `zcrxd would not start on ${device}`
  if (!ok && tried !== undefined) return `${chosen.driver} did not work when it was tried`
  return `zcrxd would start: ${describeChosen(chosen)}`
}
