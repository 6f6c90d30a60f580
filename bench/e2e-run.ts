import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LinkEnd, NetworkPair, systemEnvironment } from '../daemon/netns.ts'

/** What receives in a run of the `e2e` bench. */
export const RECEIVERS = ['xdp', 'tap', 'packet', 'raw', 'linux', 'node:net', 'c-recv'] as const
export type ReceiverName = (typeof RECEIVERS)[number]

export interface RunResult {
  readonly receiver: ReceiverName
  readonly mode: string
  readonly bytes: number
  readonly gbps: number
  /** Of the receiving process, for 10^9 bytes. */
  readonly cpuSecondsPerGB: number
  /** Of the whole machine over the run, sender and kernel threads included, for 10^9 bytes. */
  readonly machineCpuSecondsPerGB: number
  /** By the sender. */
  readonly retransmittedSegments: number
  /** By the stack's own code; 0 for others, which copy everything. */
  readonly copiedBytes: number
  readonly drops: Readonly<Record<string, number>>
}

export interface RunOptions {
  readonly mtu: number
  /** Of the stream in front of the measured one. */
  readonly warmUpSeconds: number
  readonly seconds: number
  readonly congestionControl: string
}

const PORT = 9000
const AREA_BYTES = 64 << 20
const TAP_MTU = 65_521
/** USER_HZ. */
const TICKS = 100

/** Sender and peer in C, compiled for this machine. Whoever made them removes them. */
export class Peers {
  readonly #directory = mkdtempSync(join(tmpdir(), 'zcrx-bench-'))
  readonly send: string
  readonly recv: string

  constructor() {
    this.send = this.#compile('send')
    this.recv = this.#compile('recv')
  }

  #compile(name: string): string {
    const output = join(this.#directory, name)
    execFileSync('cc', ['-O2', '-o', output, join(packageRoot(), 'bench', 'peers', `${name}.c`)])
    return output
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Streams to a receiver: what is compiled and touched for the first time is so in the first, only the second is measured. */
const STREAMS = 2

/** A stream to one receiver over a fresh link, after one that warms it up. @throws Error when it does not come to its end */
export async function runOnce(receiver: ReceiverName, peers: Peers, options: RunOptions): Promise<RunResult> {
  const pair = await NetworkPair.create(options.mtu)
  const children: ChildProcess[] = []
  try {
    const start = (end: LinkEnd, command: string, ...args: string[]): Child => {
      const child = new Child(end, command, args)
      children.push(child.process)
      return child
    }
    const child = fileURLToPath(new URL('./e2e-child.js', import.meta.url))
    const zcrx = (device: string, address: string, own: boolean): Child =>
      start(
        pair.receiver,
        process.execPath,
        ...[child, device, address, `${PORT}`, `${STREAMS}`, own ? 'own' : '', `${AREA_BYTES}`],
      )
    const { address, device } = pair.receiver
    const tap = `tap:${pair.tap.device}?mtu=${Math.min(options.mtu, TAP_MTU)}&netns=${pair.sender.namespace}`
    const opened = {
      xdp: () => zcrx(`xdp:${device}`, address, false),
      tap: () => zcrx(tap, pair.tap.peerAddress, true),
      packet: () => zcrx(`packet:${device}`, address, false),
      raw: () => zcrx(`raw:${address}`, address, false),
      linux: () => zcrx('linux:', address, false),
      'node:net': () => zcrx('node', address, false),
      'c-recv': () => start(pair.receiver, peers.recv, `${PORT}`, `${STREAMS}`),
    }[receiver]()
    await opened.ready
    if (receiver === 'tap') await pair.addTapAddress()
    const to = receiver === 'tap' ? pair.tap.peerAddress : address
    const send = (seconds: number): Promise<Record<string, unknown>> =>
      start(pair.sender, peers.send, to, `${PORT}`, `${seconds}`, options.congestionControl).result()
    await send(options.warmUpSeconds)
    const before = machineTicks()
    const [sent, received] = await Promise.all([send(options.seconds), opened.result()])
    const machine = (machineTicks() - before) / TICKS
    const bytes = Number(received.bytes)
    if (bytes !== sent.bytes) throw new Error(`${receiver}: ${bytes} of ${sent.bytes} bytes arrived`)
    const gigabytes = bytes / 1e9
    return {
      receiver,
      mode: String(received.mode ?? 'recv()'),
      bytes,
      gbps: (bytes * 8) / Number(received.seconds) / 1e9,
      cpuSecondsPerGB: Number(received.cpuSeconds) / gigabytes,
      machineCpuSecondsPerGB: machine / gigabytes,
      retransmittedSegments: Number(sent.retransmitted),
      copiedBytes: Number(received.copiedBytes ?? 0),
      drops: (received.drops ?? {}) as Record<string, number>,
    }
  } finally {
    for (const process of children) process.kill('SIGKILL')
    pair.remove()
  }
}

/** A process in a namespace that prints lines, the last of them a JSON object. */
class Child {
  readonly process: ChildProcess
  /** Resolves when it has printed `ready`. */
  readonly ready: Promise<void>
  readonly #name: string
  #text = ''
  #errors = ''
  readonly #closed: Promise<unknown>

  constructor(end: LinkEnd, command: string, args: readonly string[]) {
    const enter = NetworkPair.enter(end)
    this.#name = command
    this.process = spawn(enter.command, [...enter.args, command, ...args], {
      env: systemEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#closed = once(this.process, 'close')
    this.ready = new Promise((resolve, reject) => {
      this.process.stdout!.setEncoding('utf8').on('data', (part: string) => {
        this.#text += part
        if (this.#text.startsWith('ready\n')) resolve()
      })
      this.process.stderr!.setEncoding('utf8').on('data', (part: string) => {
        this.#errors += part
      })
      void this.#closed.then(() => reject(new Error(`${this.#name}: ${this.#errors}`)))
    })
    this.ready.catch(() => {})
  }

  async result(): Promise<Record<string, unknown>> {
    await this.#closed
    const line = this.#text.trim().split('\n').at(-1) ?? ''
    try {
      return JSON.parse(line) as Record<string, unknown>
    } catch {
      throw new Error(`${this.#name} said no result: ${this.#errors || this.#text}`)
    }
  }
}

/** user, nice, system, irq and softirq of all cores (proc(5)). */
function machineTicks(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user! + nice! + system! + irq! + softirq!
}

/** The code runs from `dist/bench/`; the peers' sources lie in `bench/`. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!directory.endsWith('/dist') && directory !== '/') directory = dirname(directory)
  return directory === '/' ? process.cwd() : dirname(directory)
}
