/**
 * What the daemon uses of the library, by name. Everything in `daemon/` reaches the stack through here and so through
 * the same door as any other program.
 */
import type { Nic } from '../driver/nic.ts'

export { ZcrxError } from '../driver/errors.ts'
export type { Nic }

export interface Connection {
  readonly id: number
  readonly remoteAddress: string
  readonly remotePort: number
  release(offset: number): void
  close(): void
  send(bytes: Uint8Array): void
}

export interface ConnectionHandler {
  onConnection?(connection: Connection): void
  onData(connection: Connection, offset: number, length: number): boolean
  onEnd(connection: Connection, errno: number): void
}

export interface ServerOptions {
  device: string | Nic
  address?: string
  port: number
  ownAddress?: boolean
  areaBytes?: number
  cqEntries?: number
  rqEntries?: number
  handler?: ConnectionHandler
}

export interface Census {
  total: number
  free: number
  fill: number
  rx: number
  queued: number
  user: number
  lost: number
}

export interface ServerStats {
  connections: number
  zeroCopiedBytes: number
  copiedBytes: number
  completions: number
  frames: number
  drops: Record<string, number>
  tcp: Record<string, number>
}

export interface Server {
  readonly area: Uint8Array
  readonly address: string
  readonly port: number
  readonly nic: Nic
  stats(): ServerStats
  census(): Census
  close(): Promise<void>
}

/** Opens the device and listens. @throws ZcrxError */
export async function createServer(options: ServerOptions): Promise<Server> {
  const library = (await import(new URL('../index.js', import.meta.url).href)) as {
    createServer(options: ServerOptions): Promise<Server>
  }
  return library.createServer(options)
}
