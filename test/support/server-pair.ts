import { expect } from 'vitest'
import { MemoryLink, type MemoryLinkOptions } from '../../driver/memory/index.ts'
import type { ConnectionHandler, Server, ServerOptions } from '../../net/server.ts'
import { RST } from '../../stack/wire/tcp.ts'
import type { Client } from './client.ts'
import { buildFrame } from './raw-peer.ts'
import { connect, createServer } from './system.ts'

/** A server and a client over a memory link. */
export interface Both {
  server: Server
  open(flows?: number): Promise<Client>
  close(): Promise<void>
  /** Ports of the client that were sent a FIN or a RST. */
  farewells: Set<number>
  /** A RST that the client's stack might have sent, in sequence. */
  reset(): void
}

export async function both(
  options: Partial<ServerOptions> = {},
  link: MemoryLinkOptions = {},
): Promise<Both> {
  const wire = new MemoryLink({ seed: 1, ...link })
  let last = new Uint8Array(0)
  const deliver = wire.aToB.send.bind(wire.aToB)
  wire.aToB.send = (memory, offset, length) => {
    last = memory.slice(offset, offset + length)
    deliver(memory, offset, length)
  }
  const farewells = new Set<number>()
  const answer = wire.bToA.send.bind(wire.bToA)
  wire.bToA.send = (memory, offset, length) => {
    if (memory[offset + 23] === 6 && (memory[offset + 47]! & 5) !== 0) {
      farewells.add((memory[offset + 36]! << 8) | memory[offset + 37]!)
    }
    answer(memory, offset, length)
  }
  const server = await createServer({
    device: wire.b,
    address: '192.0.2.2',
    ownAddress: true,
    port: 9000,
    areaBytes: 1 << 20,
    ...options,
  })
  const clients: Client[] = []
  return {
    server,
    farewells,
    reset: () => {
      const view = new DataView(last.buffer)
      const headers = 34 + (last[46]! >>> 4) * 4
      const rst = buildFrame({
        source: view.getInt32(26),
        destination: view.getInt32(30),
        sourcePort: view.getUint16(34),
        destinationPort: view.getUint16(36),
        seq: (view.getInt32(38) + view.getUint16(16) + 14 - headers) | 0,
        flags: RST,
      })
      wire.a.inject(rst)
    },
    open: async (flows = 1) => {
      const client = await connect({
        device: wire.a,
        address: '192.0.2.1',
        ownAddress: true,
        remoteAddress: '192.0.2.2',
        remotePort: server.port,
        flows,
      })
      clients.push(client)
      return client
    },
    close: async () => {
      await server.close()
      for (const client of clients) client.close()
    },
  }
}

/** A handler that collects bytes per connection and tells when `ends` streams are over. */
export function collector(ends: number, keep: (offset: number, length: number) => boolean = () => false) {
  const bytes = new Map<number, Uint8Array[]>()
  const errnos: number[] = []
  let server: Server
  let resolve: () => void
  const done = new Promise<void>((r) => {
    resolve = r
  })
  const handler: ConnectionHandler = {
    onData: (connection, offset, length) => {
      const parts = bytes.get(connection.id) ?? []
      parts.push(server.area.slice(offset, offset + length))
      bytes.set(connection.id, parts)
      return !keep(offset, length)
    },
    onEnd: (connection, errno) => {
      errnos.push(errno)
      connection.close()
      if (errnos.length === ends) resolve()
    },
  }
  return {
    handler,
    bytes: (id: number) => Buffer.concat(bytes.get(id) ?? []),
    errnos,
    done,
    use: (used: Server) => {
      server = used
    },
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 20_000 && !done(); i++) await turn()
  expect(done()).toBe(true)
}
