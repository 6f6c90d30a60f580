import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { NetworkPair } from '../daemon/netns.ts'
import { cell } from './harness.ts'
import { withLink } from './link.ts'
import { Peers } from './peers.ts'
import type { AcceptCase, AcceptFigures } from './scale-accept-child.ts'
import { type Spread, spread } from './spread.ts'
import { type Table, table } from './table.ts'

const PORT = 9000
export const ACCEPTORS = ['xdp', 'tap', 'linux', 'node:net'] as const
export type Acceptor = (typeof ACCEPTORS)[number]

/** Connections in front of those that are counted, and under way at once. */
const BEFORE = 2000
const CONCURRENT = 64

/** A server that accepts connections over a link. */
export interface AcceptRow {
  readonly server: Acceptor
  readonly acceptsPerSecond: Spread
  /** CPU time of the server's process for each, microseconds. */
  readonly cpuUs: Spread
  /** See `AcceptFigures`. */
  readonly heapBytes: Spread
  readonly residentBytes: Spread
  /** Over node:net's of the same round; absent of itself. */
  readonly rateToNode?: Spread
  readonly residentToNode?: Spread
}

/** @param rounds figures of every server, round by round */
export function acceptRows(
  connections: number,
  rounds: readonly Readonly<Record<Acceptor, AcceptFigures>>[],
): AcceptRow[] {
  const rate = ({ seconds }: AcceptFigures): number => connections / seconds
  return ACCEPTORS.map((server) => {
    const of = (figure: (one: AcceptFigures) => number): Spread =>
      spread(rounds.map((round) => figure(round[server])))
    const over = (figure: (one: AcceptFigures) => number): Spread =>
      spread(rounds.map((round) => figure(round[server]) / figure(round['node:net'])))
    return {
      server,
      acceptsPerSecond: of(rate),
      cpuUs: of(({ cpuSeconds }) => (cpuSeconds * 1e6) / connections),
      heapBytes: of(({ heapBytes }) => heapBytes),
      residentBytes: of(({ residentBytes }) => residentBytes),
      ...(server === 'node:net'
        ? {}
        : { rateToNode: over(rate), residentToNode: over(({ residentBytes }) => residentBytes) }),
    }
  })
}

export function acceptTable(rows: readonly AcceptRow[]): Table {
  return table(
    ['server', 'accepts/s', 'x node:net', 'CPU us', 'idle, heap B', 'idle, resident B', 'x node:net'],
    rows.map((row) => [
      row.server,
      cell(row.acceptsPerSecond, 0),
      cell(row.rateToNode, 2),
      cell(row.cpuUs, 1),
      cell(row.heapBytes, 0),
      cell(row.residentBytes, 0),
      cell(row.residentToNode, 2),
    ]),
  )
}

/** The same client opens connections to each server in turn, over a fresh link; needs root. */
export async function measureAccept(connections: number, rounds: number): Promise<AcceptRow[]> {
  const peers = new Peers()
  const results: Record<Acceptor, AcceptFigures>[] = []
  try {
    for (let round = 0; round < rounds; round++) {
      const figures: Partial<Record<Acceptor, AcceptFigures>> = {}
      for (const server of ACCEPTORS) figures[server] = await acceptOnce(server, peers, connections)
      results.push(figures as Record<Acceptor, AcceptFigures>)
    }
  } finally {
    peers.remove()
  }
  return acceptRows(connections, results)
}

async function acceptOnce(server: Acceptor, peers: Peers, connections: number): Promise<AcceptFigures> {
  const pair = await NetworkPair.create(1500)
  return withLink(pair, async (start) => {
    const { command, args } = NetworkPair.enter(pair.sender)
    // All but the well-known ones: a client has one for each connection.
    const ports = 'echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range'
    execFileSync(command, [...args, 'sh', '-c', ports], { stdio: 'pipe' })
    const overTap = server === 'tap'
    const address = overTap ? pair.tap.peerAddress : pair.receiver.address
    const device = {
      xdp: `xdp:${pair.receiver.device}`,
      tap: `tap:${pair.tap.device}?netns=${pair.sender.namespace}`,
      linux: 'linux:',
      'node:net': 'node',
    }[server]
    const given: AcceptCase = {
      device,
      address,
      ownAddress: overTap,
      port: PORT,
      before: BEFORE,
      connections,
    }
    const script = fileURLToPath(new URL('./scale-accept-child.js', import.meta.url))
    const node = [process.execPath, script, JSON.stringify(given)]
    // One descriptor for each, where connections are the kernel's.
    const limit = BEFORE + connections + 1000
    const opened = start(pair.receiver, 'sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh', ...node)
    await opened.ready
    if (overTap) await pair.addTapAddress()
    const asked = [address, `${PORT}`, `${BEFORE + connections}`, `${CONCURRENT}`]
    const client = start(pair.sender, peers.path('connect'), ...asked)
    // A client that fails would leave the server waiting.
    const result = await Promise.race([opened.result(), client.result().then(() => opened.result())])
    return result as unknown as AcceptFigures
  })
}
