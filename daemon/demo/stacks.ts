/**
 * What the demo lets receive: zcrx (`zcrx-stack.ts`) and, as the peer, `node:net`. Both lead their flows into the same meter. Nothing of
 * this package is loaded for the peer: what it costs grows with the heap, as each chunk becomes garbage.
 */
import { readFileSync } from 'node:fs'
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net'
import { constants } from 'node:os'
import type { Census } from '../api.ts'
import type { WorkerReport } from '../run/totals.ts'
import type { FlowMeter, PassMeter } from './meter.ts'
import { NO_NIOVS } from './protocol.ts'

/** Cumulative. */
export interface StackCounters {
  zeroCopiedBytes: number
  copiedBytes: number
  completions: number
  frames: number
  drops: Record<string, number>
}

/** Receives flows into whichever meter is current. */
export interface ReceivingStack {
  readonly driver: string
  readonly mode: string
  readonly mtu: number
  readonly port: number
  /** Flows that come from now on belong to `meter`; null: to nobody, and are closed. */
  measure(meter: PassMeter | null): void
  counters(): StackCounters
  census(): Census
  /** Of each worker, cumulative; empty without any. */
  workers?(): WorkerReport[]
  close(): Promise<void>
}

/** The peer: an ordinary Node server with `data` events. @param device interface whose drops are counted, or empty */
export async function openNode(address: string, device: string, mtu: number): Promise<ReceivingStack> {
  const counters = { bytes: 0, events: 0 }
  let current: PassMeter | null = null
  const server: NetServer = createNetServer((socket) => {
    if (current === null) socket.destroy()
    else receiveFlow(socket, current.open(socket.remotePort!), counters)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, resolve)
  })
  return {
    driver: 'linux tcp',
    mode: 'node:net',
    mtu,
    port: (server.address() as { port: number }).port,
    measure(meter) {
      current = meter
    },
    counters: () => ({
      zeroCopiedBytes: 0,
      copiedBytes: counters.bytes,
      completions: counters.events,
      frames: device === '' ? 0 : interfaceCounter(device, 'rx_packets'),
      drops: kernelDrops(device),
    }),
    census: () => NO_NIOVS,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

function receiveFlow(socket: Socket, flow: FlowMeter, counters: { bytes: number; events: number }): void {
  let errno = 0
  socket.on('data', (chunk) => {
    counters.bytes += chunk.length
    counters.events += 1
    flow.data(chunk, 0, chunk.length)
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    errno = constants.errno[error.code as keyof typeof constants.errno] ?? constants.errno.EIO
    flow.end(errno)
  })
  socket.on('end', () => flow.end(0))
  // A socket destroyed without either.
  socket.on('close', () => flow.end(constants.errno.ECONNABORTED))
}

/** What Linux's receive path dropped in this namespace, by the kernel's own names. */
function kernelDrops(device: string): Record<string, number> {
  if (device === '') return {}
  const drops: Record<string, number> = { rx_dropped: interfaceCounter(device, 'rx_dropped') }
  const [names, values] = readFileSync('/proc/net/netstat', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '))
  for (const name of ['TCPRcvQDrop', 'TCPBacklogDrop', 'RcvPruned', 'OfoPruned', 'ListenDrops']) {
    const at = names?.indexOf(name) ?? -1
    if (at > 0) drops[name] = Number(values?.[at] ?? 0)
  }
  return drops
}

function interfaceCounter(device: string, name: string): number {
  return Number(readFileSync(`/sys/class/net/${device}/statistics/${name}`, 'latin1'))
}
