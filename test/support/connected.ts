import { MemoryLink, type MemoryLinkOptions } from '../../driver/memory/index.ts'
import type { Connection } from '../../net/connection.ts'
import type { DialOptions } from '../../net/dialer.ts'
import type { OpenedHost } from '../../net/host.ts'
import { createServer, openHost } from '../../net/open.ts'
import type { Server, ServerOptions } from '../../net/server.ts'

/** A server and a host that connects to it, over a memory link. */
export interface Connected {
  readonly server: Server
  readonly far: OpenedHost
  readonly link: MemoryLink
  /** One more connection, and what the server has of it. */
  open(options?: Partial<DialOptions>): Promise<{ near: Connection; there: Connection }>
  close(): Promise<void>
}

export const NEAR = '192.0.2.1'
export const THERE = '192.0.2.2'

export async function connected(
  options: Partial<ServerOptions> = {},
  wire: MemoryLinkOptions = {},
): Promise<Connected> {
  const link = new MemoryLink({ seed: 1, ...wire })
  const server = await createServer({
    device: link.b,
    address: THERE,
    ownAddress: true,
    port: 0,
    areaBytes: 4 << 20,
    ...options,
  })
  const far = await openHost({ device: link.a, address: NEAR, ownAddress: true, areaBytes: 4 << 20 })
  const iterator = options.handler === undefined ? server[Symbol.asyncIterator]() : null
  return {
    server,
    far,
    link,
    open: async (given = {}) => {
      if (iterator === null) throw new Error('the server has a handler')
      const next = iterator.next()
      const near = await far.connect({ host: THERE, port: server.port, ...given })
      return { near, there: (await next).value as Connection }
    },
    close: async () => {
      await far.close()
      await server.close()
    },
  }
}
