import { availableParallelism, cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { parseInteger, parseSize } from '../daemon/cli/parse.ts'
import { describeFailure } from '../daemon/cli/report.ts'
import { renderTable } from '../daemon/cli/table.ts'
import { runDemo } from '../daemon/demo/demo.ts'
import type { DemoReport, StackReport } from '../daemon/demo/report.ts'
import { type Spread, spread } from './spread.ts'

const MTUS = [1500, 9000, 65535]

export interface BenchRow {
  readonly mtu: number
  readonly receiver: 'zcrx' | 'node:net'
  readonly mode: string
  readonly gbps: Spread
  readonly cpuSecondsPerGB: Spread
  readonly retransmittedSegments: Spread
  /** The runs' ratios to node:net; pairs are neighbours in time. Absent for node:net. */
  readonly gbpsRatio?: Spread
  readonly cpuRatio?: Spread
}

/** The two rows of one MTU. */
export function benchRows(mtu: number, reports: readonly DemoReport[]): BenchRow[] {
  const row = (receiver: BenchRow['receiver'], stacks: readonly StackReport[]): BenchRow => ({
    mtu,
    receiver,
    mode: stacks[0]!.mode,
    gbps: spread(stacks.map((stack) => stack.gbps)),
    cpuSecondsPerGB: spread(stacks.map((stack) => stack.cpuSecondsPerGB)),
    retransmittedSegments: spread(stacks.map((stack) => stack.retransmittedSegments ?? 0)),
  })
  return [
    {
      ...row('zcrx', reports),
      gbpsRatio: spread(reports.map((report) => report.gbps / report.peer.gbps)),
      cpuRatio: spread(reports.map((report) => report.cpuSecondsPerGB / report.peer.cpuSecondsPerGB)),
    },
    row(
      'node:net',
      reports.map((report) => report.peer),
    ),
  ]
}

export function renderBench(rows: readonly BenchRow[]): string[] {
  const range = ({ min, median, max }: Spread, digits: number): string =>
    `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`
  return renderTable(
    [
      'MTU',
      'receiver',
      'Gbit/s median (min-max)',
      'x',
      'CPU s/GB median (min-max)',
      'x',
      'segments sent again',
    ],
    rows.map((row) => [
      String(row.mtu),
      row.receiver,
      range(row.gbps, 2),
      row.gbpsRatio === undefined ? '' : range(row.gbpsRatio, 2),
      range(row.cpuSecondsPerGB, 3),
      row.cpuRatio === undefined ? '' : range(row.cpuRatio, 2),
      range(row.retransmittedSegments, 0),
    ]),
  )
}

/**
 * The demo's comparison over three MTUs, in interleaved runs: every round visits every MTU, and in each zcrx and node:net
 * follow each other. Table on stderr, one JSON object as the last line on stdout.
 */
export async function main(args: string[]): Promise<void> {
  const abort = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => abort.abort(new Error(`interrupted by ${name}`)))
  try {
    await bench(args, abort.signal)
  } catch (error) {
    const failure = describeFailure(error)
    process.stderr.write(`${failure.text}\n`)
    process.exitCode = failure.status
  }
}

async function bench(args: string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      bytes: { type: 'string', default: '2G' },
      runs: { type: 'string', default: '5' },
      flows: { type: 'string', default: '1' },
      mode: { type: 'string', default: 'auto' },
      mtu: { type: 'string', multiple: true },
    },
  })
  const bytes = parseSize(values.bytes)
  const runs = parseInteger(values.runs, 'number of runs', 1, 1000)
  const flows = parseInteger(values.flows, 'number of flows', 1, 1024)
  const mtus = values.mtu?.map((text) => parseInteger(text, 'MTU', 576, 65535)) ?? MTUS
  const reports = new Map<number, DemoReport[]>(mtus.map((mtu) => [mtu, []]))
  for (let run = 1; run <= runs; run += 1) {
    for (const mtu of mtus) {
      const report = await runDemo({ bytes, mtu, flows, driver: 'xdp', mode: values.mode }, {}, signal)
      const problems = [...report.problems, ...report.peer.problems]
      if (!report.ok) throw new Error(`run ${run} at MTU ${mtu} is not a good one: ${problems.join('; ')}`)
      reports.get(mtu)!.push(report)
      process.stderr.write(
        `run ${run} of ${runs}, MTU ${mtu}: zcrx ${report.gbps.toFixed(2)}, node:net ${report.peer.gbps.toFixed(2)} Gbit/s\n`,
      )
    }
  }
  const rows = mtus.flatMap((mtu) => benchRows(mtu, reports.get(mtu)!))
  process.stderr.write(`\n${renderBench(rows).join('\n')}\n`)
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
  }
  const first = reports.get(mtus[0]!)![0]!
  process.stdout.write(
    `${JSON.stringify({ bench: 'e2e', machine, bytes, runs, flows, congestionControl: first.congestionControl, rows })}\n`,
  )
}
