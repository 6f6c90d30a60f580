import { release } from 'node:os'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { linuxHost } from '../differential/linux-host.ts'
import { before, type KernelVersion, kernelVersion } from '../differential/scenario.ts'
import { LinuxMachine } from './linux-machine.ts'
import { FormatError, loadRecord, ownRecord, type Scenario } from './record.ts'
import { closingLine, details, notCompared, table } from './report.ts'
import { type Report, runScenario } from './run.ts'

export const USAGE = `usage: npm run conformance [-- [--verbose] [--linux] [--most-skipped N] [--only NAME]... [FILE.json]...]

  FILE.json    records to play; default test/conformance/kernel-zcrx.json
  --only NAME  only scenarios whose name begins so, such as refill. or data.oob_byte
  --linux      on the kernel of this machine: what a process of Node's can do to it
  --most-skipped N  fails when more are passed over
  --verbose    also those that pass
`

/** The kernel that the record was taken from. */
const RECORDED: KernelVersion = [7, 3]
/** Of a scenario on Linux, and what lies between, in which earlier ones' memory is let go. */
const TRIES = 3
const PAUSE_MS = 1000

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
  let mostSkipped = Number.POSITIVE_INFINITY
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--help') {
      output.out(USAGE)
      return 0
    }
    if (arg === '--verbose') verbose = true
    else if (arg === '--linux') linux = true
    else if (arg === '--only' && args[i + 1] !== undefined) only.push(args[++i]!)
    else if (arg === '--most-skipped' && Number.isInteger(Number(args[i + 1] ?? 'none')))
      mostSkipped = Number(args[++i])
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
  if (linux && before(kernelVersion(release()), RECORDED))
    output.err(
      `conformance: the record is that of Linux ${RECORDED.join('.')}, and this is ${release()}: what came later fails\n`,
    )
  const reports: Report[] = []
  for (const scenario of wanted) {
    const report = host === null ? runScenario(scenario) : onLinux(scenario, host, output)
    reports.push(report)
    if (report.outcome !== 'pass') output.out(`${details(report)}\n`)
    else if (verbose) output.out(`pass ${report.name}\n`)
  }
  output.out([table(reports), ...notCompared(reports), closingLine(reports), ''].join('\n'))
  const counts = (wanted: Report['outcome']): number =>
    reports.filter(({ outcome }) => outcome === wanted).length
  return counts('fail') > 0 || counts('skip') > mostSkipped ? 1 : 0
}

/**
 * Once more, and once again, where it is told otherwise: a busy machine's TCP sends again what is long in being answered, and cuts what is
 * sent by what of earlier sends is still about. What is different each time is different.
 */
function onLinux(scenario: Scenario, host: RingHost, output: Output): Report {
  for (let tries = 1; ; tries++) {
    const report = runScenario(scenario, new LinuxMachine(host, scenario.name))
    if (report.outcome !== 'fail' || tries === TRIES) return report
    output.out(`once more ${scenario.name}: ${report.differences[0]}\n`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
  }
}
