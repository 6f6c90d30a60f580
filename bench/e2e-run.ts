import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { NetworkPair } from '../daemon/netns.ts'
import type { StreamCase } from './e2e-child.ts'
import type { LineChild, Said } from './line-child.ts'
import { tapDevice, withLink } from './link.ts'
import type { Peers } from './peers.ts'

/** What receives in a run of the `e2e` bench. */
export const RECEIVERS = ['xdp', 'tap', 'packet', 'raw', 'linux', 'node:net', 'c-recv', 'c-uring'] as const
export type ReceiverName = (typeof RECEIVERS)[number]

export interface RunResult {
  readonly receiver: ReceiverName
  /** Threads of the receiver's stacks; 0: the application's own. */
  readonly workers: number
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
  /** At once. */
  readonly flows: number
  /** Of receivers that have them (`xdp`): a queue each. */
  readonly workers: number
  /** Of the stream in front of the measured one. */
  readonly warmUpSeconds: number
  readonly seconds: number
  readonly congestionControl: string
}

const PORT = 9000
/** USER_HZ. */
const TICKS = 100

/** Streams to a receiver: what is compiled and touched for the first time is so in the first, only the second is measured. */
const STREAMS = 2

/** A stream to one receiver over a fresh link, after one that warms it up. @throws Error when it does not come to its end */
export async function runOnce(receiver: ReceiverName, peers: Peers, options: RunOptions): Promise<RunResult> {
  const { mtu, flows, workers } = options
  const pair = await NetworkPair.create(mtu, Math.max(1, workers))
  return withLink(pair, async (start) => {
    const script = fileURLToPath(new URL('./e2e-child.js', import.meta.url))
    const { address, device } = pair.receiver
    const zcrx = (given: Pick<StreamCase, 'device'> & Partial<StreamCase>): LineChild => {
      const all = { address, port: PORT, streams: STREAMS, flows, workers: 0, ...given }
      return start(pair.receiver, process.execPath, script, JSON.stringify(all satisfies StreamCase))
    }
    const peer = (name: 'recv' | 'uring'): LineChild =>
      start(pair.receiver, peers.path(name), `${PORT}`, `${STREAMS}`, `${flows}`)
    const tap = tapDevice(pair, mtu)
    const queues = workers > 1 ? `/0-${workers - 1}` : ''
    const opened = {
      xdp: () => zcrx({ device: `xdp:${device}${queues}`, workers }),
      tap: () => zcrx({ device: tap, address: pair.tap.peerAddress, ownAddress: true }),
      packet: () => zcrx({ device: `packet:${device}` }),
      raw: () => zcrx({ device: `raw:${address}` }),
      linux: () => zcrx({ device: 'linux:' }),
      'node:net': () => zcrx({ device: 'node' }),
      'c-recv': () => peer('recv'),
      'c-uring': () => peer('uring'),
    }[receiver]()
    await opened.ready
    if (receiver === 'tap') await pair.addTapAddress()
    const to = receiver === 'tap' ? pair.tap.peerAddress : address
    const send = (seconds: number): Promise<Said> =>
      start(
        pair.sender,
        ...[peers.path('send'), to, `${PORT}`, `${seconds}`, options.congestionControl, `${flows}`],
      ).result()
    await send(options.warmUpSeconds)
    const before = machineTicks()
    const [sent, received] = await Promise.all([send(options.seconds), opened.result()])
    const machine = (machineTicks() - before) / TICKS
    const bytes = Number(received.bytes)
    if (bytes !== sent.bytes) throw new Error(`${receiver}: ${bytes} of ${sent.bytes} bytes arrived`)
    const gigabytes = bytes / 1e9
    return {
      receiver,
      workers,
      mode: String(received.mode),
      bytes,
      gbps: (bytes * 8) / Number(received.seconds) / 1e9,
      cpuSecondsPerGB: Number(received.cpuSeconds) / gigabytes,
      machineCpuSecondsPerGB: machine / gigabytes,
      retransmittedSegments: Number(sent.retransmitted),
      copiedBytes: Number(received.copiedBytes ?? 0),
      drops: (received.drops ?? {}) as Record<string, number>,
    }
  })
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
