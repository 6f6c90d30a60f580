import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseChoice, parseInteger } from '../daemon/cli/parse.ts'
import { type LinkEnd, NetworkPair } from '../daemon/netns.ts'
import type { StreamCase } from './e2e-child.ts'
import { cell, guarded, machine } from './harness.ts'
import type { Said } from './line-child.ts'
import { withLink } from './link.ts'
import { Peers } from './peers.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'

const PORT = 9000
const MODES = ['native', 'generic'] as const
const RECEIVERS = ['zcrx', 'xdp-drop'] as const
type Mode = (typeof MODES)[number]
type Receiver = (typeof RECEIVERS)[number]

/** The first warms up. */
const STREAMS = 2
const WARM_UP_SECONDS = 1
/** What an `xdp-drop` takes for the end of a stream, and some more. */
const PAUSE_MS = 400

/** One receiver's measured stream. */
export interface PpsRun {
  readonly packetsPerSecond: number
  /** CPU time of the receiving process, nanoseconds a packet. */
  readonly cpuNs: number
  /** Segments the sender has sent again, or frames that found no buffer. */
  readonly lost: number
}

export interface PpsRow {
  readonly mode: Mode
  readonly receiver: Receiver
  readonly packetsPerSecond: Spread
  readonly cpuNs: Spread
  readonly lost: Spread
  /** Rate over the drop loop's of the same round; absent of the loop itself. */
  readonly toDrop?: Spread
}

export function ppsRows(mode: Mode, rounds: readonly Record<Receiver, PpsRun>[]): PpsRow[] {
  return RECEIVERS.map((receiver) => {
    const of = (figure: (run: PpsRun) => number): Spread =>
      spread(rounds.map((round) => figure(round[receiver])))
    const ratios = rounds.map((round) => round.zcrx.packetsPerSecond / round['xdp-drop'].packetsPerSecond)
    return {
      mode,
      receiver,
      packetsPerSecond: of((run) => run.packetsPerSecond),
      cpuNs: of((run) => run.cpuNs),
      lost: of((run) => run.lost),
      ...(receiver === 'zcrx' ? { toDrop: spread(ratios) } : {}),
    }
  })
}

export function ppsTable(rows: readonly PpsRow[]): Table {
  return table(
    ['mode', 'receiver', 'M packets/s median (min-max)', 'x drop loop', 'CPU ns/packet', 'lost'],
    rows.map((row) => [
      row.mode,
      row.receiver,
      cell(row.packetsPerSecond, 2, 1e-6),
      cell(row.toDrop, 2),
      cell(row.cpuNs, 0),
      cell(row.lost, 0),
    ]),
  )
}

interface PpsOptions {
  readonly seconds: number
  readonly payload: number
  /** Segments that may be under way. */
  readonly room: number
}

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })

const macOf = ({ namespace, device }: LinkEnd): string =>
  (JSON.parse(ip('-n', namespace, '-j', 'link', 'show', device)) as { address: string }[])[0]!.address

/** A link whose sender has no TCP of its own at its address, and puts frames of no more than the MTU on the wire. */
async function rawLink(): Promise<NetworkPair> {
  const pair = await NetworkPair.create(1500)
  try {
    const { sender, receiver } = pair
    ip('-n', sender.namespace, 'address', 'flush', 'dev', sender.device)
    const { command, args } = NetworkPair.enter(sender)
    execFileSync(command, [...args, 'ethtool', '-K', sender.device, 'tso', 'off', 'gso', 'off'], {
      stdio: 'pipe',
    })
    const mac = macOf(sender)
    ip('-n', receiver.namespace, 'neigh', 'replace', sender.address, 'lladdr', mac, 'dev', receiver.device)
    return pair
  } catch (error) {
    pair.remove()
    throw error
  }
}

async function runOnce(receiver: Receiver, mode: Mode, peers: Peers, options: PpsOptions): Promise<PpsRun> {
  const pair = await rawLink()
  const { sender, receiver: end } = pair
  return withLink(pair, async (start) => {
    const drops = receiver === 'xdp-drop'
    const device = `xdp:${end.device}?mode=${mode}`
    const given = { device, address: end.address, port: PORT, streams: STREAMS, flows: 1, workers: 0 }
    const script = fileURLToPath(new URL('./e2e-child.js', import.meta.url))
    const opened = drops
      ? start(end, peers.path('xdp-drop'), end.device, mode, `${STREAMS}`)
      : start(end, process.execPath, script, JSON.stringify(given satisfies StreamCase))
    await opened.ready
    const addresses = [sender.device, sender.address, end.address, macOf(end), `${PORT}`]
    const { payload, room } = options
    const send = (seconds: number): Promise<Said> =>
      start(
        sender,
        ...[peers.path('segments'), ...addresses, `${seconds}`, `${payload}`, `${room}`],
        drops ? 'blast' : 'tcp',
      ).result()
    await send(WARM_UP_SECONDS)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    const [sent, received] = await Promise.all([send(options.seconds), opened.result()])
    const packets = drops ? Number(received.packets) : Number(received.bytes) / payload
    if (!drops && received.bytes !== sent.bytes)
      throw new Error(`zcrx: ${received.bytes} of ${sent.bytes} bytes arrived`)
    return {
      packetsPerSecond: packets / Number(received.seconds),
      cpuNs: (Number(received.cpuSeconds) * 1e9) / packets,
      lost: drops ? Number(sent.segments) - packets : Number(sent.again),
    }
  })
}

/**
 * Segments of a few bytes over a veth pair, as many as a sender of frames of its own can send: to a connection of zcrx's over AF_XDP,
 * in order and within its window, and to a loop in C over AF_XDP that throws every frame away. Table on stderr, one JSON object as the
 * last line on stdout.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '7' },
      payload: { type: 'string', default: '64' },
      room: { type: 'string', default: '1024' },
      mode: { type: 'string', multiple: true },
    },
  })
  const options: PpsOptions = {
    seconds: parseInteger(values.seconds, 'number of seconds', 1, 3600),
    payload: parseInteger(values.payload, 'payload', 2, 1460),
    room: parseInteger(values.room, 'number of segments under way', 64, 1e6),
  }
  const rounds = parseInteger(values.rounds, 'number of rounds', 1, 1000)
  const modes = values.mode?.map((text) => parseChoice(text, 'mode', MODES)) ?? MODES
  const results = new Map<Mode, Record<Receiver, PpsRun>[]>(modes.map((mode) => [mode, []]))
  const peers = new Peers()
  for (let round = 1; round <= rounds; round++) {
    for (const mode of modes) {
      const zcrx = await runOnce('zcrx', mode, peers, options)
      const drop = await runOnce('xdp-drop', mode, peers, options)
      results.get(mode)!.push({ zcrx, 'xdp-drop': drop })
      const told = [zcrx, drop].map((run) => (run.packetsPerSecond / 1e6).toFixed(2)).join(', drop loop ')
      process.stderr.write(`round ${round} of ${rounds}, ${mode}, M packets/s: zcrx ${told}\n`)
    }
  }
  const rows = modes.flatMap((mode) => ppsRows(mode, results.get(mode)!))
  process.stderr.write(`\n${printed(ppsTable(rows)).join('\n')}\n`)
  process.stdout.write(`${JSON.stringify({ bench: 'pps', machine: machine(), ...options, rounds, rows })}\n`)
}
