import { linuxHost } from '../differential/linux-host.ts'
import { LinuxMachine } from './linux-machine.ts'
import { FormatError, loadRecord, ownRecord, type Scenario } from './record.ts'
import { closingLine, details, notCompared, table } from './report.ts'
import { type Report, runScenario } from './run.ts'

export const USAGE = `usage: npm run conformance [-- [--verbose] [--linux] [--only NAME]... [FILE.json]...]

  FILE.json    records to play; default test/conformance/kernel-zcrx.json
  --only NAME  only scenarios whose name begins so, such as refill. or data.oob_byte
  --linux      on the kernel of this machine: what needs no other kernel, device or protection of memory
  --verbose    also those that pass
`

export interface Output {
  out(text: string): void
  err(text: string): void
}

/** Plays records; returns the exit status: 0, 1 when something failed, 2 when it was called wrongly. */
export function main(args: readonly string[], output: Output): number {
  const files: string[] = []
  const only: string[] = []
  let verbose = false
  let linux = false
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--help') {
      output.out(USAGE)
      return 0
    }
    if (arg === '--verbose') verbose = true
    else if (arg === '--linux') linux = true
    else if (arg === '--only' && args[i + 1] !== undefined) only.push(args[++i]!)
    else if (arg.startsWith('-')) {
      output.err(`conformance: ${arg} is not known\n${USAGE}`)
      return 2
    } else files.push(arg)
  }
  const scenarios: Scenario[] = []
  try {
    for (const file of files.length === 0 ? [ownRecord()] : files) scenarios.push(...loadRecord(file))
  } catch (error) {
    const known = error instanceof FormatError || (error as NodeJS.ErrnoException).code !== undefined
    if (!known) throw error
    output.err(`conformance: ${(error as Error).message}\n`)
    return 2
  }
  const wanted = scenarios.filter(
    ({ name }) => only.length === 0 || only.some((front) => name.startsWith(front)),
  )
  const host = linux ? linuxHost() : null
  if (host !== null && 'why' in host) {
    output.err(`conformance: the record can't be played on this machine's kernel: ${host.why}\n`)
    return 2
  }
  const reports: Report[] = []
  for (const scenario of wanted) {
    const report = runScenario(scenario, host === null ? undefined : new LinuxMachine(host, scenario.name))
    reports.push(report)
    if (report.outcome !== 'pass') output.out(`${details(report)}\n`)
    else if (verbose) output.out(`pass ${report.name}\n`)
  }
  output.out([table(reports), ...notCompared(reports), closingLine(reports), ''].join('\n'))
  return reports.some(({ outcome }) => outcome === 'fail') ? 1 : 0
}
