import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseInteger } from '../daemon/cli/parse.ts'
import { freshSeed } from '../driver/memory/index.ts'
import { cell, machine } from './harness.ts'
import type { PathCounts } from './impaired-path.ts'
import type { Order, Received } from './loss-child.ts'
import { LossNetwork } from './loss-network.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'

/** How long a run may last beyond its seconds. */
const PATIENCE_MS = 30_000

export type Receiver = 'zcrx' | 'node'

/** One receiver's run over one path. */
export interface LossRun {
  mbps: number
  received: Received
  counts: [PathCounts, PathCounts]
}

export interface LossRow {
  /** Percent of the frames, in each direction. */
  readonly loss: number
  /** Milliseconds there and back. */
  readonly delay: number
  readonly zcrx: Spread
  readonly node: Spread
  /** Of neighbouring runs with the same seed. */
  readonly ratio: Spread
}

/** The rows of the table, from the pairs of runs of each cell. */
export function lossRow(loss: number, delay: number, pairs: readonly Record<Receiver, LossRun>[]): LossRow {
  return {
    loss,
    delay,
    zcrx: spread(pairs.map(({ zcrx }) => zcrx.mbps)),
    node: spread(pairs.map(({ node }) => node.mbps)),
    ratio: spread(pairs.map(({ zcrx, node }) => zcrx.mbps / node.mbps)),
  }
}

export function lossTable(rows: readonly LossRow[]): Table {
  return table(
    ['loss %', 'round trip ms', 'zcrx Mbit/s median (min-max)', 'node:net Mbit/s', 'x'],
    rows.map((row) => [
      String(row.loss),
      String(row.delay),
      cell(row.zcrx, 1),
      cell(row.node, 1),
      cell(row.ratio, 2),
    ]),
  )
}

/** A process of the bench in a namespace. */
class Child {
  readonly #child: ChildProcess
  readonly #messages: Record<string, unknown>[] = []
  #waiting: { key: string; resolve: (value: never) => void; reject: (error: Error) => void } | null = null
  #gone = false

  constructor(namespace: string) {
    this.#child = fork(fileURLToPath(new URL('./loss-child.js', import.meta.url)), [], {
      execPath: 'ip',
      execArgv: ['netns', 'exec', namespace, process.execPath],
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    this.#child.on('message', (message) => {
      this.#messages.push(message as Record<string, unknown>)
      this.#deliver()
    })
    this.#child.once('exit', () => {
      this.#gone = true
      this.#deliver()
    })
  }

  order(order: Order): void {
    this.#child.send(order)
  }

  /** The next message with that key. */
  async expect<T>(key: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const answer = new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`a process of the bench did not say "${key}"`)), PATIENCE_MS)
      this.#waiting = { key, resolve: resolve as (value: never) => void, reject }
      this.#deliver()
    })
    return answer.finally(() => clearTimeout(timer))
  }

  stop(): void {
    this.#child.removeAllListeners('exit')
    this.#child.kill('SIGTERM')
  }

  #deliver(): void {
    const waiting = this.#waiting
    if (waiting === null) return
    const failed = this.#messages.find((message) => 'failure' in message)
    const at = this.#messages.findIndex((message) => waiting.key in message)
    if (failed !== undefined) waiting.reject(new Error(String(failed.failure)))
    else if (at >= 0) waiting.resolve(this.#messages.splice(at, 1)[0]![waiting.key] as never)
    else if (this.#gone) waiting.reject(new Error('a process of the bench has ended'))
    else return
    this.#waiting = null
  }
}

interface Rig {
  network: LossNetwork
  path: Child
  receivers: Record<Receiver, Child>
  sender: Child
}

let port = 9000

async function run(rig: Rig, receiver: Receiver, loss: number, delay: number, seconds: number, seed: number) {
  const { path, sender, network } = rig
  // A port of its own: nothing that is left of the run before can get into this one.
  port = port === 60_000 ? 9001 : port + 1
  path.order({ what: 'configure', conditions: { delayUs: delay * 500, loss: loss / 100, seed } })
  await path.expect('ready')
  const end = rig.receivers[receiver]
  const address = network.receiverAddress
  end.order({ what: receiver, address, port, seconds })
  await end.expect('ready')
  sender.order({ what: 'send', address, port })
  const received = await end.expect<Received>('received')
  path.order({ what: 'counts' })
  const counts = await path.expect<[PathCounts, PathCounts]>('counts')
  // The reset must not be lost: the sender would go on for minutes.
  path.order({ what: 'configure', conditions: { delayUs: 0, loss: 0, seed } })
  await path.expect('ready')
  await sender.expect('sent')
  return { mbps: (received.bytes * 8) / received.seconds / 1e6, received, counts }
}

function numbers(given: string[] | undefined, fallback: number[], what: string, most: number): number[] {
  if (given === undefined) return fallback
  return given
    .flatMap((text) => text.split(','))
    .map((text) => {
      const value = Number(text)
      if (!(value >= 0 && value <= most)) throw new Error(`${what} ${text} is not a number from 0 to ${most}`)
      return value
    })
}

/**
 * `npm run bench -- loss [--runs N] [--loss PERCENT,...] [--delay MS,...] [--seconds N] [--json]`: a sender on Linux with
 * cubic, a path that loses and delays frames, and at its end zcrx and `node:net` in turn. Table on stderr, one JSON object
 * as the last line on stdout.
 */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      loss: { type: 'string', multiple: true },
      delay: { type: 'string', multiple: true },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const runs = parseInteger(values.runs, 'number of runs', 1, 1000)
  const seconds = parseInteger(values.seconds, 'number of seconds', 1, 600)
  const losses = numbers(values.loss, [0, 0.1, 1, 5], 'loss', 100)
  const delays = numbers(values.delay, [0, 10, 50], 'delay', 10_000)
  const seed = values.seed === undefined ? freshSeed() : parseInteger(values.seed, 'seed', 0, 2 ** 32 - 1)
  const network = new LossNetwork()
  const removeAtExit = (): void => network.remove()
  process.once('exit', removeAtExit)
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  const rig: Rig = {
    network,
    path: new Child(network.middle),
    receivers: { zcrx: new Child(network.receiver), node: new Child(network.receiver) },
    sender: new Child(network.sender),
  }
  try {
    rig.path.order({ what: 'path', addresses: [network.receiverAddress, network.senderAddress] })
    await rig.path.expect('ready')
    const cells = losses.flatMap((loss) => delays.map((delay) => ({ loss, delay })))
    const pairs = cells.map((): Record<Receiver, LossRun>[] => [])
    for (let round = 0; round < runs; round++) {
      for (const [i, { loss, delay }] of cells.entries()) {
        // Who goes first changes from round to round.
        const order: Receiver[] = round % 2 === 0 ? ['zcrx', 'node'] : ['node', 'zcrx']
        const pair: Partial<Record<Receiver, LossRun>> = {}
        for (const receiver of order) {
          pair[receiver] = await run(rig, receiver, loss, delay, seconds, seed + 2 * round)
        }
        const { zcrx, node } = pair as Record<Receiver, LossRun>
        pairs[i]!.push({ zcrx, node })
        process.stderr.write(
          `run ${round + 1} of ${runs}, loss ${loss} %, ${delay} ms: zcrx ${zcrx.mbps.toFixed(1)}, node:net ${node.mbps.toFixed(1)} Mbit/s\n`,
        )
      }
    }
    const rows = cells.map(({ loss, delay }, i) => lossRow(loss, delay, pairs[i]!))
    if (!values.json) process.stderr.write(`\n${printed(lossTable(rows)).join('\n')}\n`)
    // Every run, with what was counted, for those who look for a cause.
    const detail = values.json ? { pairs } : {}
    process.stdout.write(
      `${JSON.stringify({ bench: 'loss', machine: machine(), seed, runs, seconds, rows, ...detail })}\n`,
    )
  } finally {
    for (const child of [rig.path, rig.sender, ...Object.values(rig.receivers)]) child.stop()
    network.remove()
    process.off('exit', removeAtExit)
  }
}
