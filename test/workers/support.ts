import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SharedLink, SharedNic, sharedDevice } from '../../driver/memory/index.ts'
import type { Connection } from '../../net/connection.ts'
import type { OpenedHost } from '../../net/host.ts'
import { openHost } from '../../net/open.ts'
import type { ConnectionHandler, Server } from '../../net/server.ts'
import { type Client, connect } from '../support/client.ts'
import { bytesOf } from '../support/ring-pair.ts'

const dist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url))

/** Workers run what was compiled. */
export const obstacle = existsSync(dist('uapi/backend/worker/thread.js'))
  ? ''
  : 'nothing is compiled: npm run build'
if (obstacle !== '') console.warn(`tests of workers are skipped: ${obstacle}`)

/** A script of these tests, for a thread. */
export const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

export const ADDRESS = '192.0.2.2'

/** A wire for each queue of one interface, and clients at the far ends. */
export class Wires {
  readonly links: readonly SharedLink[]
  readonly #clients: Client[] = []
  readonly #hosts: OpenedHost[] = []

  constructor(queues = 1) {
    this.links = Array.from({ length: queues }, (_, queue) => new SharedLink({ queue }))
  }

  /** What workers are told to open. */
  get device(): ReturnType<typeof sharedDevice> {
    return sharedDevice(this.links.map(({ b }) => b))
  }

  async connect(queue: number, port = 9000, flows = 1): Promise<Client> {
    const client = await connect({
      device: SharedNic.open(this.links[queue]!.a),
      address: `192.0.2.${10 + queue}`,
      ownAddress: true,
      remoteAddress: ADDRESS,
      remotePort: port,
      flows,
    })
    this.#clients.push(client)
    return client
  }

  /** Opens clients at the far end of a wire, one after the other, to whichever port. */
  async clients(queue: number): Promise<(port: number) => Promise<Client>> {
    const device = SharedNic.open(this.links[queue]!.a)
    const host = await openHost({
      device,
      address: `192.0.2.${10 + queue}`,
      ownAddress: true,
      areaBytes: 1 << 20,
    })
    this.#hosts.push(host)
    return async (port) => {
      const client = await connect({ host, remoteAddress: ADDRESS, remotePort: port })
      this.#clients.push(client)
      return client
    }
  }

  close(): void {
    for (const client of this.#clients) client.close()
    for (const host of this.#hosts) void host.close()
  }
}

/** What became of a connection. */
export interface Ended {
  readonly connection: Connection
  readonly errno: number
  readonly bytes: number
  readonly sha256: string
}

/** Hashes what arrives, and tells of ends. */
export class Collector implements ConnectionHandler {
  readonly ended: Ended[] = []
  readonly opened: Connection[] = []
  server: Server | null = null
  bytes = 0
  readonly #hashes = new Map<Connection, { hash: ReturnType<typeof createHash>; bytes: number }>()
  #wake: (() => void)[] = []

  onConnection(connection: Connection): void {
    this.opened.push(connection)
    this.#hashes.set(connection, { hash: createHash('sha256'), bytes: 0 })
    this.#changed()
  }

  onData(connection: Connection, offset: number, length: number): boolean {
    const entry = this.#hashes.get(connection)!
    entry.hash.update(this.server!.area.subarray(offset, offset + length))
    entry.bytes += length
    this.bytes += length
    this.#changed()
    return true
  }

  onEnd(connection: Connection, errno: number): void {
    const { hash, bytes } = this.#hashes.get(connection)!
    this.ended.push({ connection, errno, bytes, sha256: hash.digest('hex') })
    connection.close()
    this.#changed()
  }

  /** Resolves when it is so. */
  async until(so: () => boolean): Promise<void> {
    while (!so()) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Waits for what no event tells of. */
export async function eventually(so: () => boolean, ms = 10_000): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (so()) return true
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return so()
}

/** Bytes that no shift of some lines leaves as they are, quickly made. */
export function repeated(bytes: number): Uint8Array {
  const block = bytesOf(65_521)
  const all = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += block.length) all.set(block.subarray(0, bytes - at), at)
  return all
}
