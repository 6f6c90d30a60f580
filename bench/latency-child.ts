import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createNetServer } from 'node:net'
import { fileURLToPath } from 'node:url'

export type LatencyServer = 'linux' | 'linux polling' | 'node:net'

/** What answers, as JSON in the only argument of the process. */
export interface LatencyCase {
  readonly server: LatencyServer
  readonly connections: number
  /** Of a message. */
  readonly bytes: number
}

/** How many echoes, of all connections together. */
export interface LatencyOrder {
  readonly echoes: number
}

/** What the peer says of them: times there and back, microseconds. */
export interface PeerFigures {
  readonly median: number
  readonly p99: number
  readonly echoesPerSecond: number
}

export interface LatencyFigures extends PeerFigures {
  /** CPU time of the server's process, microseconds an echo. */
  readonly cpuUs: number
}

const { server, connections, bytes } = JSON.parse(process.argv[2] ?? '{}') as LatencyCase

/** A server that sends back what it gets. Returns its port. What is not measured is not loaded. */
async function serve(): Promise<number> {
  if (server === 'node:net') {
    const net = createNetServer({ noDelay: true }, (socket) =>
      socket.on('data', (data) => socket.write(data)),
    )
    net.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
    await once(net, 'listening')
    return (net.address() as { port: number }).port
  }
  const { createServer } = await import('../net/server.ts')
  const opened = await createServer({
    device: 'linux:',
    port: 0,
    listenOn: '127.0.0.1',
    backlog: 4096,
    noDelay: true,
    busyPoll: server === 'linux polling',
    areaBytes: 16 << 20,
    bufferBytes: 4096,
    handler: {
      onData(connection, offset, length) {
        connection.send(opened.area.slice(offset, offset + length))
        return true
      },
      onEnd: (connection) => connection.close(),
    },
  })
  return opened.port
}

const script = fileURLToPath(new URL('./latency-peer.js', import.meta.url))
const port = await serve()
const peer: ChildProcess = fork(script, [String(port), String(connections), String(bytes)])
process.once('exit', () => peer.kill())
await once(peer, 'message')

process.on('message', (order: LatencyOrder) => {
  const before = process.cpuUsage()
  peer.once('message', (figures: PeerFigures) => {
    const { user, system } = process.cpuUsage(before)
    process.send?.({ ...figures, cpuUs: (user + system) / order.echoes } satisfies LatencyFigures)
  })
  peer.send(order)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
