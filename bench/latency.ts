import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { type LinkEnd, NetworkPair } from '../daemon/netns.ts'
import { cell, guarded, machine } from './harness.ts'
import type { LatencyCase, LatencyFigures, LatencyOrder, LatencyPlace } from './latency-child.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'
import { Subject } from './workers-process.ts'

const BYTES = 64
const CONNECTIONS = [1, 1000]
const LINKS = ['loopback', 'veth'] as const
type Link = (typeof LINKS)[number]
/** The last one is what the others are compared with. */
const SERVERS: Readonly<Record<Link, readonly Pick<LatencyCase, 'server' | 'pollUs'>[]>> = {
  loopback: [
    { server: 'linux', pollUs: 0 },
    { server: 'linux', pollUs: 50 },
    { server: 'linux', pollUs: -1 },
    { server: 'node:net', pollUs: 0 },
  ],
  veth: [
    { server: 'xdp', pollUs: 0 },
    { server: 'xdp', pollUs: 50 },
    { server: 'xdp', pollUs: -1 },
    { server: 'node:net', pollUs: 0 },
  ],
}
const MTU = 1500
/** Echoes of a connection in front of those that are measured. */
const WARM_UP = 3000

/** A server with so many connections, each of which waits for its echo before it asks again. */
export interface LatencyRow {
  readonly link: Link
  /** With how long it polls before it sleeps, where it does. */
  readonly server: string
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
 * How long 64 bytes take there and back, and how many come back in a second: over loopback servers on the machine's own stack by this
 * package, over a veth pair of its own (`--link veth`) a server on AF_XDP, each beside node:net. The peer is the same for all, a process
 * on rings of Linux's. Table on stderr, one JSON object as the last line on stdout.
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
      link: { type: 'string', multiple: true },
      'peer-polls': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const echoes = parseInteger(values.echoes, 'number of echoes', 1000, 1e9)
  const rounds = parseInteger(values.rounds, 'number of rounds', 1, 1000)
  const connections =
    values.connections?.map((text) => parseInteger(text, 'number of connections', 1, 20_000)) ?? CONNECTIONS
  const links = values.link?.map((text) => parseChoice(text, 'link', LINKS)) ?? (['loopback'] as const)
  const rows: LatencyRow[] = []
  for (const link of links) {
    const pair = link === 'veth' ? await NetworkPair.create(MTU) : null
    try {
      rows.push(
        ...(await compare(
          link,
          { ...placeOn(pair), peerPolls: values['peer-polls'] },
          pair,
          connections,
          rounds,
          echoes,
        )),
      )
    } finally {
      pair?.remove()
    }
  }
  if (!values.json)
    process.stderr.write(
      `echo of ${BYTES} bytes; median (min-max) of ${rounds} rounds\n\n${printed(latencyTable(rows)).join('\n')}\n\n`,
    )
  process.stdout.write(`${JSON.stringify({ bench: 'latency', machine: machine(), echoes, rounds, rows })}\n`)
}

/** Every server on a link, with as many connections each. */
async function compare(
  link: Link,
  place: LatencyPlace,
  pair: NetworkPair | null,
  connections: readonly number[],
  rounds: number,
  echoes: number,
): Promise<LatencyRow[]> {
  const given = connections.flatMap((count) =>
    SERVERS[link].map((one): LatencyCase => ({ ...one, connections: count, bytes: BYTES, place })),
  )
  const figures = new Map<LatencyCase, LatencyFigures[]>()
  for (let round = 0; round < rounds; round++)
    for (const one of given) figures.set(one, [...(figures.get(one) ?? []), await measure(one, pair, echoes)])
  return given.map((one) => {
    const node = given.find((other) => other.server === 'node:net' && other.connections === one.connections)!
    return rowOf(link, one, figures.get(one)!, figures.get(node)!)
  })
}

/** The server is at the receiving end, the peer at the other; without a link both are on the loopback interface. */
function placeOn(pair: NetworkPair | null): Omit<LatencyPlace, 'peerPolls'> {
  if (pair === null) return { address: '127.0.0.1', device: null, peer: [] }
  const { receiver, sender } = pair
  return { address: receiver.address, device: receiver.device, peer: entering(sender) }
}

function entering(end: LinkEnd): string[] {
  const { command, args } = NetworkPair.enter(end)
  return [command, ...args]
}

async function measure(one: LatencyCase, pair: NetworkPair | null, echoes: number): Promise<LatencyFigures> {
  const prefix = pair === null ? [] : entering(pair.receiver)
  const subject = new Subject<LatencyOrder, LatencyFigures>('./latency-child.js', one, prefix)
  try {
    await subject.ready
    await subject.run({ echoes: Math.max(WARM_UP, 3 * one.connections) })
    return await subject.run({ echoes })
  } finally {
    subject.end()
  }
}

function nameOf({ server, pollUs }: LatencyCase): string {
  if (pollUs === 0) return server
  return pollUs < 0 ? `${server} polling` : `${server}, polling ${pollUs} us`
}

function rowOf(
  link: Link,
  one: LatencyCase,
  figures: readonly LatencyFigures[],
  node: readonly LatencyFigures[],
): LatencyRow {
  const of = (figure: (one: LatencyFigures, i: number) => number): Spread => spread(figures.map(figure))
  return {
    link,
    server: nameOf(one),
    connections: one.connections,
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
      'link',
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
      row.link,
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
