import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { renderTable } from '../daemon/cli/table.ts'
import { Peers, RECEIVERS, type ReceiverName, type RunResult, runOnce } from './e2e-run.ts'
import { cell, guarded, machine } from './harness.ts'
import { type Spread, spread } from './spread.ts'

const MTUS = [1500, 9000, 65535]

/** One receiver at one MTU. */
export interface BenchRow {
  readonly mtu: number
  readonly receiver: ReceiverName
  readonly mode: string
  readonly gbps: Spread
  readonly cpuSecondsPerGB: Spread
  readonly machineCpuSecondsPerGB: Spread
  readonly retransmittedSegments: Spread
  /** Of the run's rate to those of the peers in the same round; absent where the peer was not asked for. */
  readonly toNode?: Spread
  readonly toRecv?: Spread
  /** The same of the machine's CPU time for a byte. */
  readonly machineCpuToRecv?: Spread
}

/** The rows of one MTU. @param rounds every receiver's run, by round */
export function benchRows(mtu: number, rounds: readonly (readonly RunResult[])[]): BenchRow[] {
  const of = (receiver: ReceiverName): RunResult[] =>
    rounds.flatMap((round) => round.filter((run) => run.receiver === receiver))
  const ratio = (
    receiver: ReceiverName,
    peer: ReceiverName,
    figure: (run: RunResult) => number,
  ): Spread | undefined => {
    const peers = of(peer)
    return peers.length === 0 || receiver === peer
      ? undefined
      : spread(of(receiver).map((run, i) => figure(run) / figure(peers[i]!)))
  }
  const rate = (run: RunResult): number => run.gbps
  return RECEIVERS.filter((receiver) => of(receiver).length > 0).map((receiver) => {
    const runs = of(receiver)
    const toNode = ratio(receiver, 'node:net', rate)
    const toRecv = ratio(receiver, 'c-recv', rate)
    const machineCpuToRecv = ratio(receiver, 'c-recv', (run) => run.machineCpuSecondsPerGB)
    return {
      mtu,
      receiver,
      mode: runs[0]!.mode,
      gbps: spread(runs.map(rate)),
      cpuSecondsPerGB: spread(runs.map((run) => run.cpuSecondsPerGB)),
      machineCpuSecondsPerGB: spread(runs.map((run) => run.machineCpuSecondsPerGB)),
      retransmittedSegments: spread(runs.map((run) => run.retransmittedSegments)),
      ...(toNode === undefined ? {} : { toNode }),
      ...(toRecv === undefined ? {} : { toRecv }),
      ...(machineCpuToRecv === undefined ? {} : { machineCpuToRecv }),
    }
  })
}

export function renderBench(rows: readonly BenchRow[]): string[] {
  return renderTable(
    [
      'MTU',
      'receiver',
      'Gbit/s median (min-max)',
      'x node:net',
      'x recv()',
      'CPU s/GB',
      'machine CPU s/GB',
      'x recv()',
      'sent again',
    ],
    rows.map((row) => [
      String(row.mtu),
      row.receiver,
      cell(row.gbps, 1),
      cell(row.toNode, 2),
      cell(row.toRecv, 2),
      cell(row.cpuSecondsPerGB, 3),
      cell(row.machineCpuSecondsPerGB, 3),
      cell(row.machineCpuToRecv, 2),
      cell(row.retransmittedSegments, 0),
    ]),
  )
}

/**
 * Linux sends one stream to each receiver, over AF_XDP, TAP, packet and raw sockets, and to node:net and recv() in C, in
 * interleaved runs, each after a stream that warms the receiver up: every round visits every MTU, and in each all receivers follow each other. Table on stderr, one JSON object
 * as the last line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '2' },
      'warm-up': { type: 'string', default: '2' },
      runs: { type: 'string', default: '5' },
      congestion: { type: 'string', default: 'cubic' },
      mtu: { type: 'string', multiple: true },
      receiver: { type: 'string', multiple: true },
    },
  })
  const seconds = parseInteger(values.seconds, 'number of seconds', 1, 3600)
  const warmUpSeconds = parseInteger(values['warm-up'], 'number of seconds', 1, 3600)
  const runs = parseInteger(values.runs, 'number of runs', 1, 1000)
  const mtus = values.mtu?.map((text) => parseInteger(text, 'MTU', 576, 65535)) ?? MTUS
  const receivers = values.receiver?.map((text) => parseChoice(text, 'receiver', RECEIVERS)) ?? RECEIVERS
  const rounds = new Map<number, RunResult[][]>(mtus.map((mtu) => [mtu, []]))
  const peers = new Peers()
  process.once('exit', () => peers.remove())
  for (let run = 1; run <= runs; run += 1) {
    for (const mtu of mtus) {
      const round: RunResult[] = []
      for (const receiver of receivers)
        round.push(
          await runOnce(receiver, peers, {
            mtu,
            warmUpSeconds,
            seconds,
            congestionControl: values.congestion,
          }),
        )
      rounds.get(mtu)!.push(round)
      const told = round.map(({ receiver, gbps }) => `${receiver} ${gbps.toFixed(1)}`).join(', ')
      process.stderr.write(`run ${run} of ${runs}, MTU ${mtu}, Gbit/s: ${told}\n`)
    }
  }
  const rows = mtus.flatMap((mtu) => benchRows(mtu, rounds.get(mtu)!))
  process.stderr.write(`\n${renderBench(rows).join('\n')}\n`)
  const { congestion: congestionControl } = values
  process.stdout.write(
    `${JSON.stringify({ bench: 'e2e', machine: machine(), warmUpSeconds, seconds, runs, congestionControl, rows })}\n`,
  )
}
