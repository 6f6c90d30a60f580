/** A server and connections without a network, for tests of what sits on top of them. */
import type { Census, Connection, ConnectionHandler, Server, ServerStats } from '../../daemon/api.ts'

export class FakeConnection implements Connection {
  readonly id: number
  readonly remoteAddress = '198.18.0.1'
  readonly remotePort: number
  /** Offsets given back, in order. */
  readonly released: number[] = []
  closed = 0
  /** Times it was reset. */
  wasReset = 0

  constructor(id: number, remotePort = 40_000 + id) {
    this.id = id
    this.remotePort = remotePort
  }

  release(offset: number): void {
    this.released.push(offset)
  }

  close(): void {
    this.closed += 1
  }

  reset(): void {
    this.wasReset += 1
  }

  send(): Promise<void> {
    return Promise.resolve()
  }
}

const NIOVS: Census = { total: 4, free: 4, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }

export class FakeServer implements Server {
  readonly area = Uint8Array.from({ length: 16 * 1024 }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
  readonly addresses = ['198.18.0.2']
  readonly port = 9000
  readonly ports = [9000]
  listening = ['198.18.0.2:9000']
  readonly notes: string[] = []
  readonly openConnections = 0
  readonly nic = {
    info: { driver: 'fake', mode: 'fake mode', name: 'fake0', queue: 1, mtu: 1500 },
  } as unknown as Server['nic']
  readonly handler: ConnectionHandler
  closed = 0
  /** Called by `close`, to see what state it finds. */
  onClose: () => void = () => {}

  constructor(handler: ConnectionHandler) {
    this.handler = handler
  }

  stats(): ServerStats {
    return {
      connections: 1,
      zeroCopiedBytes: 10,
      copiedBytes: 2,
      completions: 3,
      frames: 4,
      drops: { noMemory: 5, duplicate: 0 },
      tcp: {},
    }
  }

  /** What was asked to be told of buffers that are kept. */
  held: { afterMs: number; report: Parameters<Server['onHeld']>[1] } | null = null
  onHeld(afterMs: number, report: Parameters<Server['onHeld']>[1]): void {
    this.held = { afterMs, report }
  }

  /** What was asked to be told when addresses change. */
  addressesChanged: Parameters<Server['onAddresses']>[0] = null
  onAddresses(report: Parameters<Server['onAddresses']>[0]): void {
    this.addressesChanged = report
  }

  /** What was asked to be told when the device goes away. */
  gone: Parameters<Server['onGone']>[0] = null
  onGone(report: Parameters<Server['onGone']>[0]): void {
    this.gone = report
  }

  /** What was asked to be told when one of several queues goes away. */
  queueGone: Parameters<Server['onQueueGone']>[0] = null
  onQueueGone(report: Parameters<Server['onQueueGone']>[0]): void {
    this.queueGone = report
  }

  readonly queues: number = 1
  queueStats(): ServerStats[] {
    return Array.from({ length: this.queues }, () => this.stats())
  }
  queueCensus(): Census[] {
    return Array.from({ length: this.queues }, () => this.census())
  }

  census(): Census {
    return NIOVS
  }

  async close(): Promise<void> {
    this.closed += 1
    this.onClose()
  }
}
