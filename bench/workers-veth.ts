import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { cell } from './harness.ts'
import { Peers } from './peers.ts'
import { type Spread, spread } from './spread.ts'
import { type Table, table } from './table.ts'
import { WorkersNetwork } from './workers-network.ts'
import { Subject } from './workers-process.ts'
import type { VethCase, VethFigures, VethOrder } from './workers-veth-child.ts'

const run = promisify(execFile)
const PORT = 9000
/** Streams at a time: enough for each queue to have some. */
const STREAMS = 8
const WARM_UP_SECONDS = 2

/** What receives: over how many veth pairs of how many queues, with how many workers for each; 0: inline. */
const CASES = [
  { name: 'inline', pairs: 1, queues: 1, workers: 0 },
  { name: '1 worker', pairs: 1, queues: 1, workers: 1 },
  { name: 'inline, two pairs', pairs: 2, queues: 1, workers: 0 },
  { name: '2 workers, two pairs', pairs: 2, queues: 1, workers: 1 },
  { name: '2 workers, two queues', pairs: 1, queues: 2, workers: 2 },
]
type Case = (typeof CASES)[number]

/** One case over veth. */
export interface VethRow {
  readonly name: string
  readonly mode: string
  readonly gbps: Spread
  readonly cpuSecondsPerGB: Spread
  /** Over the inline case's of the same round. */
  readonly rateToInline: Spread
  readonly cpuToInline: Spread
}

/**
 * Linux sends over veth pairs in native mode, to one process at a time: inline, on a worker, on two.
 * @param skipped told of each case that can't be run, and why
 */
export async function measureVeth(
  seconds: number,
  rounds: number,
  skipped: (name: string, why: string) => void,
): Promise<VethRow[]> {
  const peers = new Peers()
  const figures = new Map<Case, VethFigures[]>()
  const refused = new Set<Case>()
  try {
    for (let round = 0; round < rounds; round++)
      for (const one of CASES) {
        if (refused.has(one)) continue
        const result = await measureOnce(one, peers, seconds)
        if (typeof result === 'string') {
          refused.add(one)
          skipped(one.name, result)
        } else figures.set(one, [...(figures.get(one) ?? []), result])
      }
  } finally {
    peers.remove()
  }
  const inline = figures.get(CASES[0]!) ?? []
  return [...figures].map(([{ name }, runs]) => ({
    name,
    mode: runs[0]!.mode,
    gbps: spread(runs.map(rate)),
    cpuSecondsPerGB: spread(runs.map(cpuPerGB)),
    rateToInline: spread(runs.map((one, i) => rate(one) / rate(inline[i]!))),
    cpuToInline: spread(runs.map((one, i) => cpuPerGB(one) / cpuPerGB(inline[i]!))),
  }))
}

function rate({ bytes, seconds }: VethFigures): number {
  return (bytes * 8) / seconds / 1e9
}

function cpuPerGB({ bytes, cpuSeconds }: VethFigures): number {
  return (cpuSeconds / bytes) * 1e9
}

/** Returns why it can't be measured, if it can't. */
async function measureOnce(one: Case, peers: Peers, seconds: number): Promise<VethFigures | string> {
  const network = new WorkersNetwork(one.pairs, one.queues)
  const remove = (): void => network.remove()
  process.once('exit', remove)
  const range = one.queues > 1 ? `/0-${one.queues - 1}` : ''
  const given: VethCase = {
    servers: network.links.map(({ device, address }) => ({
      device: `xdp:${device}${range}?mode=native`,
      address,
    })),
    workers: one.workers,
    port: PORT,
  }
  const subject = new Subject<VethOrder, unknown>('./workers-veth-child.js', given, network.atReceiver)
  try {
    const ready = (await subject.ready) as 'ready' | { refused: string }
    if (ready !== 'ready') return ready.refused
    const streams = async (duration: number): Promise<VethFigures> => {
      await subject.run({ streams: STREAMS })
      const received = subject.next()
      const [command, ...args] = network.atSender
      const senders = Array.from({ length: STREAMS }, (_, i) => {
        const { address } = network.links[i % network.links.length]!
        return run(command!, [...args, peers.path('send'), address, `${PORT}`, `${duration}`, 'cubic', '1'])
      })
      const [result] = await Promise.all([received, ...senders])
      return result as VethFigures
    }
    await streams(WARM_UP_SECONDS)
    return await streams(seconds)
  } finally {
    subject.end()
    network.remove()
    process.off('exit', remove)
  }
}

export function vethTable(rows: readonly VethRow[]): Table {
  return table(
    ['', 'mode', 'Gbit/s', 'CPU s/GB', 'rate x inline', 'CPU x inline'],
    rows.map((row) => [
      row.name,
      row.mode,
      cell(row.gbps, 2),
      cell(row.cpuSecondsPerGB, 3),
      cell(row.rateToInline, 2),
      cell(row.cpuToInline, 2),
    ]),
  )
}
