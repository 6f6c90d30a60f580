import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { NetworkPair } from '../daemon/netns.ts'
import type { ConsumeCase, Way } from './consume-child.ts'
import { CONSUMERS, type ConsumerName } from './consumers.ts'
import { cell, guarded, machine } from './harness.ts'
import type { Said } from './line-child.ts'
import { tapDevice, withLink } from './link.ts'
import { Peers } from './peers.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'

const RECEIVERS = [
  'xdp',
  'xdp batches()',
  'xdp for await',
  'xdp pipeline()',
  'tap',
  'tap batches()',
  'tap pipeline()',
  'node:net',
] as const
type Receiver = (typeof RECEIVERS)[number]
/** Those that are worth a row only where data is kept. */
const OF_FILES: readonly Receiver[] = ['xdp for await', 'xdp pipeline()', 'tap pipeline()']
const PORT = 9000
/** Files lie in memory where they can: a disk is slower than all of them, and differs from run to run. */
const MEMORY = '/dev/shm'
/** The first warms up. */
const STREAMS = 2

export interface ConsumeRow {
  readonly what: ConsumerName
  readonly receiver: Receiver
  readonly gbps: Spread
  readonly cpuSecondsPerGB: Spread
  /** Of the runs' rates to node:net's in the same round; absent for itself. */
  readonly toNode?: Spread
}

interface Run {
  readonly gbps: number
  readonly cpuSecondsPerGB: number
}

/** Every receiver's run. */
type Round = Readonly<Record<Receiver, Run>>

export function receiversOf(what: ConsumerName): readonly Receiver[] {
  return RECEIVERS.filter((receiver) => what === 'file' || !OF_FILES.includes(receiver))
}

/** The rows of one consumer. @param rounds every receiver's run, by round */
export function consumeRows(what: ConsumerName, rounds: readonly Round[]): ConsumeRow[] {
  return receiversOf(what).map((receiver) => {
    const of = (figure: (round: Round) => number): Spread => spread(rounds.map(figure))
    return {
      what,
      receiver,
      gbps: of((round) => round[receiver].gbps),
      cpuSecondsPerGB: of((round) => round[receiver].cpuSecondsPerGB),
      ...(receiver === 'node:net'
        ? {}
        : { toNode: of((round) => round[receiver].gbps / round['node:net'].gbps) }),
    }
  })
}

export function consumeTable(rows: readonly ConsumeRow[]): Table {
  return table(
    ['what', 'receiver', 'Gbit/s median (min-max)', 'x node:net', 'CPU s/GB'],
    rows.map((row) => [
      row.what,
      row.receiver,
      cell(row.gbps, 1),
      cell(row.toNode, 2),
      cell(row.cpuSecondsPerGB, 3),
    ]),
  )
}

async function runOnce(
  receiver: Receiver,
  what: ConsumerName,
  peers: Peers,
  { mtu, seconds, path }: { mtu: number; seconds: number; path: string },
): Promise<Run> {
  const pair = await NetworkPair.create(mtu, 1)
  return withLink(pair, async (start) => {
    const script = fileURLToPath(new URL('./consume-child.js', import.meta.url))
    const { address, device } = pair.receiver
    const tap = {
      device: tapDevice(pair, mtu),
      address: pair.tap.peerAddress,
      ownAddress: true,
    }
    const [driver, ...rest] = receiver.split(' ')
    const place =
      driver === 'xdp'
        ? { device: `xdp:${device}`, address }
        : driver === 'tap'
          ? tap
          : { device: 'node', address }
    const way = (rest.join(' ') || 'handler') as Way
    const given: ConsumeCase = { ...place, port: PORT, streams: STREAMS, what, way, path }
    const opened = start(pair.receiver, process.execPath, script, JSON.stringify(given))
    await opened.ready
    if (driver === 'tap') await pair.addTapAddress()
    const send = (): Promise<Said> =>
      start(pair.sender, peers.path('send'), given.address, `${PORT}`, `${seconds}`, 'cubic', '1').result()
    await send()
    const [sent, received] = await Promise.all([send(), opened.result()])
    const bytes = Number(received.bytes)
    if (bytes !== sent.bytes) throw new Error(`${receiver}: ${bytes} of ${sent.bytes} bytes arrived`)
    return {
      gbps: (bytes * 8) / Number(received.seconds) / 1e9,
      cpuSecondsPerGB: Number(received.cpuSeconds) / (bytes / 1e9),
    }
  })
}

/**
 * `npm run bench -- consume`: Linux sends a stream over a virtual link; each receiver throws it away, hashes it, counts its lines in WebAssembly
 * or writes it to a file; with a handler, and in the ways that streams are read otherwise. Table on stderr, one JSON object as the last line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '2' },
      runs: { type: 'string', default: '5' },
      mtu: { type: 'string', default: '1500' },
      what: { type: 'string', multiple: true },
    },
  })
  const seconds = parseInteger(values.seconds, 'number of seconds', 1, 3600)
  const runs = parseInteger(values.runs, 'number of runs', 1, 1000)
  const mtu = parseInteger(values.mtu, 'MTU', 576, 65535)
  const consumers = values.what?.map((text) => parseChoice(text, 'consumer', CONSUMERS)) ?? CONSUMERS
  const peers = new Peers()
  const directory = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'zcrx-consume-'))
  process.once('exit', () => {
    peers.remove()
    rmSync(directory, { recursive: true, force: true })
  })
  const rounds = new Map(consumers.map((what) => [what, [] as Round[]]))
  for (let run = 1; run <= runs; run++)
    for (const what of consumers) {
      const round = {} as Record<Receiver, Run>
      const receivers = receiversOf(what)
      for (const receiver of receivers)
        round[receiver] = await runOnce(receiver, what, peers, {
          mtu,
          seconds,
          path: join(directory, 'file'),
        })
      rounds.get(what)!.push(round)
      const told = receivers.map((receiver) => `${receiver} ${round[receiver].gbps.toFixed(1)}`).join('; ')
      process.stderr.write(`run ${run} of ${runs}, ${what}, Gbit/s: ${told}\n`)
    }
  const rows = consumers.flatMap((what) => consumeRows(what, rounds.get(what)!))
  process.stderr.write(`\n${printed(consumeTable(rows)).join('\n')}\n`)
  process.stdout.write(
    `${JSON.stringify({ bench: 'consume', machine: machine(), mtu, seconds, runs, rows })}\n`,
  )
}
