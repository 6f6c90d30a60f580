import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { RECEIVERS, type ReceiverName, type RunResult, runOnce } from './e2e-run.ts'
import { cell, guarded, machine, parseList } from './harness.ts'
import { Peers } from './peers.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'

const MTUS = [1500, 9000, 65535]

/** So many streams at once, of frames of a size. */
export interface Streams {
  readonly mtu: number
  readonly flows: number
}

/** One receiver of such streams. */
export interface BenchRow extends Streams {
  readonly receiver: ReceiverName
  /** 0: it receives on the application's thread. */
  readonly workers: number
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

/** The rows of such streams. @param rounds every receiver's run, by round */
export function benchRows(streams: Streams, rounds: readonly (readonly RunResult[])[]): BenchRow[] {
  const of = (receiver: ReceiverName, workers: number): RunResult[] =>
    rounds.flatMap((round) => round.filter((run) => run.receiver === receiver && run.workers === workers))
  const ratio = (
    runs: readonly RunResult[],
    peer: ReceiverName,
    figure: (run: RunResult) => number,
  ): Spread | undefined => {
    const peers = of(peer, 0)
    return peers.length === 0 || runs[0]!.receiver === peer
      ? undefined
      : spread(runs.map((run, i) => figure(run) / figure(peers[i]!)))
  }
  const rate = (run: RunResult): number => run.gbps
  return (rounds[0] ?? []).map(({ receiver, workers, mode }) => {
    const runs = of(receiver, workers)
    const toNode = ratio(runs, 'node:net', rate)
    const toRecv = ratio(runs, 'c-recv', rate)
    const machineCpuToRecv = ratio(runs, 'c-recv', (run) => run.machineCpuSecondsPerGB)
    return {
      ...streams,
      receiver,
      workers,
      mode,
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

/** What a row is called. */
export function nameOf({ receiver, workers }: Pick<BenchRow, 'receiver' | 'workers'>): string {
  if (workers === 0) return receiver
  return `${receiver}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`
}

export function benchTable(rows: readonly BenchRow[]): Table {
  return table(
    [
      'MTU',
      'flows',
      'receiver',
      'mode',
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
      String(row.flows),
      nameOf(row),
      row.mode,
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

/** Receivers in the order they are run in: those with workers beside the one without. */
function subjectsOf(
  receivers: readonly ReceiverName[],
  workers: readonly number[],
): Pick<BenchRow, 'receiver' | 'workers'>[] {
  return RECEIVERS.filter((receiver) => receivers.includes(receiver)).flatMap((receiver) =>
    (receiver === 'xdp' ? workers : [0]).map((count) => ({ receiver, workers: count })),
  )
}

/**
 * Linux sends streams to each receiver, over AF_XDP, TAP, packet and raw sockets and Linux's own rings, and to node:net, recv() and
 * io_uring in C, in interleaved runs, each after a stream that warms the receiver up: every round visits every MTU and number of
 * flows, and in each all receivers follow each other. Table on stderr, one JSON object as the last line on stdout.
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
      flows: { type: 'string', multiple: true },
      workers: { type: 'string', multiple: true },
      receiver: { type: 'string', multiple: true },
    },
  })
  const seconds = parseInteger(values.seconds, 'number of seconds', 1, 3600)
  const warmUpSeconds = parseInteger(values['warm-up'], 'number of seconds', 1, 3600)
  const runs = parseInteger(values.runs, 'number of runs', 1, 1000)
  const mtus = parseList(values.mtu, MTUS, 'MTU', 576, 65535)
  const flows = parseList(values.flows, [1], 'number of flows', 1, 1000)
  const workers = parseList(values.workers, [0], 'number of workers', 0, 64)
  const receivers = values.receiver?.map((text) => parseChoice(text, 'receiver', RECEIVERS)) ?? RECEIVERS
  const subjects = subjectsOf(receivers, workers)
  const { congestion: congestionControl } = values
  const cases = mtus.flatMap((mtu) => flows.map((count): Streams => ({ mtu, flows: count })))
  const rounds = new Map<Streams, RunResult[][]>(cases.map((one) => [one, []]))
  const peers = new Peers()
  for (let run = 1; run <= runs; run += 1) {
    for (const one of cases) {
      const round: RunResult[] = []
      for (const subject of subjects) {
        const options = { ...one, ...subject, warmUpSeconds, seconds, congestionControl }
        round.push(await runOnce(subject.receiver, peers, options))
      }
      rounds.get(one)!.push(round)
      const told = round.map((result) => `${nameOf(result)} ${result.gbps.toFixed(1)}`).join('; ')
      process.stderr.write(`run ${run} of ${runs}, MTU ${one.mtu}, flows ${one.flows}, Gbit/s: ${told}\n`)
    }
  }
  const rows = cases.flatMap((one) => benchRows(one, rounds.get(one)!))
  process.stderr.write(`\n${printed(benchTable(rows)).join('\n')}\n`)
  process.stdout.write(
    `${JSON.stringify({ bench: 'e2e', machine: machine(), warmUpSeconds, seconds, runs, congestionControl, rows })}\n`,
  )
}
