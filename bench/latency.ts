import { parseArgs } from 'node:util'
import { parseInteger } from '../daemon/cli/parse.ts'
import { cell, guarded, machine } from './harness.ts'
import type { LatencyCase, LatencyFigures, LatencyOrder, LatencyServer } from './latency-child.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'
import { Subject } from './workers-process.ts'

const BYTES = 64
const CONNECTIONS = [1, 1000]
const SERVERS: readonly LatencyServer[] = ['linux', 'linux polling', 'node:net']
/** Echoes of a connection in front of those that are measured. */
const WARM_UP = 3000

/** A server with so many connections, each of which waits for its echo before it asks again. */
export interface LatencyRow {
  readonly server: LatencyServer
  readonly connections: number
  readonly medianUs: Spread
  readonly p99Us: Spread
  readonly echoesPerSecond: Spread
  /** CPU time of the server's process for an echo, microseconds. */
  readonly cpuUs: Spread
  /** Echoes per second and CPU time over those of node:net in the same round. */
  readonly rateToNode: Spread
  readonly cpuToNode: Spread
}

/**
 * How long 64 bytes take there and back over loopback, and how many come back in a second: servers on the machine's own stack by this
 * package beside node:net. The peer is the same for all, a process on rings of its own. Table on stderr, one JSON object as the last
 * line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      echoes: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      connections: { type: 'string', multiple: true },
      json: { type: 'boolean', default: false },
    },
  })
  const echoes = parseInteger(values.echoes, 'number of echoes', 1000, 1e9)
  const rounds = parseInteger(values.rounds, 'number of rounds', 1, 1000)
  const connections =
    values.connections?.map((text) => parseInteger(text, 'number of connections', 1, 20_000)) ?? CONNECTIONS
  const cases = connections.flatMap((count) => SERVERS.map((server) => ({ server, connections: count })))
  const figures = new Map<LatencyCase, LatencyFigures[]>()
  const given = cases.map((one): LatencyCase => ({ ...one, bytes: BYTES }))
  for (let round = 0; round < rounds; round++)
    for (const one of given) figures.set(one, [...(figures.get(one) ?? []), await measure(one, echoes)])
  const rows = given.map((one) => {
    const node = given.find((other) => other.server === 'node:net' && other.connections === one.connections)!
    return rowOf(one, figures.get(one)!, figures.get(node)!)
  })
  if (!values.json)
    process.stderr.write(
      `echo of ${BYTES} bytes over loopback; median (min-max) of ${rounds} rounds\n\n${printed(latencyTable(rows)).join('\n')}\n\n`,
    )
  process.stdout.write(`${JSON.stringify({ bench: 'latency', machine: machine(), echoes, rounds, rows })}\n`)
}

async function measure(one: LatencyCase, echoes: number): Promise<LatencyFigures> {
  const subject = new Subject<LatencyOrder, LatencyFigures>('./latency-child.js', one)
  try {
    await subject.ready
    await subject.run({ echoes: Math.max(WARM_UP, 3 * one.connections) })
    return await subject.run({ echoes })
  } finally {
    subject.end()
  }
}

function rowOf(
  { server, connections }: LatencyCase,
  figures: readonly LatencyFigures[],
  node: readonly LatencyFigures[],
): LatencyRow {
  const of = (figure: (one: LatencyFigures, i: number) => number): Spread => spread(figures.map(figure))
  return {
    server,
    connections,
    medianUs: of(({ median }) => median),
    p99Us: of(({ p99 }) => p99),
    echoesPerSecond: of((one) => one.echoesPerSecond),
    cpuUs: of(({ cpuUs }) => cpuUs),
    rateToNode: of((one, i) => one.echoesPerSecond / node[i]!.echoesPerSecond),
    cpuToNode: of((one, i) => one.cpuUs / node[i]!.cpuUs),
  }
}

export function latencyTable(rows: readonly LatencyRow[]): Table {
  return table(
    [
      'connections',
      'server',
      'median us',
      '99 % us',
      'k echoes/s',
      'CPU us',
      'rate x node:net',
      'CPU x node:net',
    ],
    rows.map((row) => [
      String(row.connections),
      row.server,
      cell(row.medianUs, 0),
      cell(row.p99Us, 0),
      cell(row.echoesPerSecond, 1, 1e-3),
      cell(row.cpuUs, 1),
      cell(row.rateToNode, 2),
      cell(row.cpuToNode, 2),
    ]),
  )
}
