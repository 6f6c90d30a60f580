/** A server on one queue of a device, which sends back what it gets. In a worker thread it tells its parent what it is told to. */

import { createHash, type Hash } from 'node:crypto'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import type { Nic } from '../../driver/nic.ts'
import { openQueue, type QueueRequest, type QueueShare } from '../../host/devices/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server, ServerOptions } from '../../net/server.ts'

/** What came to a queue: SHA-256 of what each connection has brought, by the port of its peer; of those that have ended. */
export type Brought = Record<number, string>

export interface QueueServer {
  readonly server: Server
  /** Ports of the peers that have connected. */
  readonly peers: Set<number>
  readonly ended: Brought
}

export async function serveQueue(nic: Nic, options: Partial<ServerOptions>): Promise<QueueServer> {
  const peers = new Set<number>()
  const ended: Brought = {}
  const hashes = new Map<unknown, Hash>()
  const server: Server = await createServer({
    device: nic,
    port: 9000,
    areaBytes: 4 << 20,
    backlog: 256,
    handler: {
      onConnection: (connection) => {
        peers.add(connection.remotePort)
        hashes.set(connection, createHash('sha256'))
      },
      onData: (connection, offset, length) => {
        const bytes = server.area.slice(offset, offset + length)
        hashes.get(connection)!.update(bytes)
        connection.send(bytes)
        return true
      },
      onEnd: (connection) => {
        ended[connection.remotePort] = hashes.get(connection)!.digest('hex')
        connection.close()
      },
    },
    ...options,
  })
  return { server, peers, ended }
}

/** What a worker is started with. */
export interface WorkerTask {
  readonly request: QueueRequest
  readonly share: QueueShare | null
  readonly options: Partial<ServerOptions>
}

if (!isMainThread && workerData !== null) {
  const { request, share, options } = workerData as WorkerTask
  const { nic } = openQueue(request, share)
  const { server, peers, ended } = await serveQueue(nic, options)
  parentPort!.postMessage({ mode: nic.info.mode })
  parentPort!.on('message', async (what: 'tell' | 'close') => {
    if (what === 'close') {
      await server.close()
      parentPort!.close()
    } else parentPort!.postMessage({ peers: [...peers], ended })
  })
}
