import type { Logger } from 'pino'
import type { Census, Nic, NicModule, Server, ServerOptions } from '../api.ts'
import type { Sink } from '../sinks/index.ts'
import { type ConnectionRecord, Receiver, type ReceiverTotals } from './receiver.ts'

/** A queue that receives: its server, and the account of what came. */
export interface Queue {
  readonly server: Server
  readonly receiver: Receiver
}

/** The queues of a run: mostly one; of a range each has a stack and a server of its own, and they share the sink. */
export class Queues {
  readonly all: readonly Queue[]

  private constructor(all: readonly Queue[]) {
    this.all = all
  }

  /** Starts a server on every device. What is open already is closed when one can't be. @throws ZcrxError */
  static async open(
    devices: readonly (Nic | NicModule | string)[],
    sink: Sink,
    log: Logger,
    options: Omit<ServerOptions, 'device' | 'handler'>,
    createServer: (options: ServerOptions) => Promise<Server>,
  ): Promise<Queues> {
    const opened: Queue[] = []
    try {
      for (const [i, device] of devices.entries()) {
        const receiver = new Receiver(sink, log, i, devices.length)
        const ports = opened[0]?.server.ports
        const where = ports === undefined ? options : { ...options, ...onPorts(options, ports) }
        const server = await createServer({ ...where, device, handler: receiver })
        receiver.attach(server)
        opened.push({ server, receiver })
      }
    } catch (error) {
      for (const { server } of opened) await server.close()
      for (const device of devices.slice(opened.length + 1))
        if (typeof device !== 'string' && 'close' in device) device.close()
      throw error
    }
    return new Queues(opened)
  }

  /** The first, which says what holds of all. */
  get server(): Server {
    return this.all[0]!.server
  }

  /** How many there are; a server with workers has several. */
  get count(): number {
    return this.all.reduce((sum, { server }) => sum + server.queues, 0)
  }

  get receivedBytes(): number {
    return this.all.reduce((sum, { receiver }) => sum + receiver.receivedBytes, 0)
  }

  get openConnections(): number {
    return this.all.reduce((sum, { receiver }) => sum + receiver.openConnections, 0)
  }

  /** Connections that the servers hold, those included whose end is only being told. */
  get heldConnections(): number {
    return this.all.reduce((sum, { server }) => sum + server.openConnections, 0)
  }

  /** The latest connections that have ended. */
  get records(): readonly ConnectionRecord[] {
    return this.all.flatMap(({ receiver }) => receiver.records)
  }

  get totals(): ReceiverTotals {
    return sumOf(this.all.map(({ receiver }) => receiver.totals))
  }

  census(): Census {
    return sumOf(this.all.map(({ server }) => server.census()))
  }

  stats(): Pick<
    ReturnType<Server['stats']>,
    'zeroCopiedBytes' | 'copiedBytes' | 'completions' | 'frames' | 'drops'
  > {
    const each = this.all.map(({ server }) => server.stats())
    const figures = each.map(({ zeroCopiedBytes, copiedBytes, completions, frames }) => ({
      zeroCopiedBytes,
      copiedBytes,
      completions,
      frames,
    }))
    const drops: Record<string, number> = {}
    for (const stats of each)
      for (const [cause, count] of Object.entries(stats.drops)) drops[cause] = (drops[cause] ?? 0) + count
    return { ...sumOf(figures), drops }
  }

  /** Calls back after each connection. */
  onRecord(callback: () => void): void {
    for (const { receiver } of this.all) receiver.onRecord = callback
  }

  /** See `Receiver.stop`. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map(({ receiver }) => receiver.stop()))
  }

  async close(): Promise<void> {
    for (const { server } of this.all) await server.close()
  }
}

/** Ports that the first was given are those of all. */
function onPorts(
  { listen }: Pick<ServerOptions, 'listen'>,
  ports: readonly number[],
): Pick<ServerOptions, 'port' | 'listen'> {
  if (listen === undefined) return { port: ports[0]! }
  return { listen: listen.map((where, i) => ({ ...where, port: ports[i]! })) }
}

/** Field by field. @param parts at least one */
function sumOf<T extends Record<keyof T, number>>(parts: readonly T[]): T {
  const sum = { ...parts[0]! }
  for (const part of parts.slice(1))
    for (const key of Object.keys(sum) as (keyof T)[])
      sum[key] = ((sum[key] as number) + (part[key] as number)) as T[keyof T]
  return sum
}
