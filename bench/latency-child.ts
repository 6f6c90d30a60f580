import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createNetServer } from 'node:net'
import { fileURLToPath } from 'node:url'

/** What the server runs on. */
export type LatencyServer = 'linux' | 'xdp' | 'node:net'

/** Where the server is reached, and how the peer is run. */
export interface LatencyPlace {
  readonly address: string
  /** What xdp takes; null over loopback. */
  readonly device: string | null
  /** Command line in front of the peer's. */
  readonly peer: readonly string[]
  /** The peer never sleeps: what it takes to wake it is no part of the times. */
  readonly peerPolls: boolean
}

/** What answers, as JSON in the only argument of the process. */
export interface LatencyCase {
  readonly server: LatencyServer
  /** `busyPoll`: microseconds; -1 = it never sleeps. */
  readonly pollUs: number
  readonly connections: number
  /** Of a message. */
  readonly bytes: number
  readonly place: LatencyPlace
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

const { server, pollUs, connections, bytes, place } = JSON.parse(process.argv[2] ?? '{}') as LatencyCase

/** A server that sends back what it gets. Returns its port. What is not measured is not loaded. */
async function serve(): Promise<number> {
  if (server === 'node:net') {
    const net = createNetServer({ noDelay: true }, (socket) =>
      socket.on('data', (data) => socket.write(data)),
    )
    net.listen({ port: 0, host: place.address, backlog: 4096 })
    await once(net, 'listening')
    return (net.address() as { port: number }).port
  }
  const { createServer } = await import('../net/open.ts')
  const opened = await createServer({
    ...(server === 'linux'
      ? { device: 'linux:', listenOn: place.address, bufferBytes: 4096 }
      : { device: `xdp:${place.device}`, address: place.address }),
    port: 0,
    backlog: 4096,
    noDelay: true,
    busyPoll: pollUs < 0 || pollUs,
    areaBytes: 16 << 20,
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
const [command, ...args] = [...place.peer, process.execPath, script, place.address]
const peer: ChildProcess = spawn(
  command!,
  [...args, ...[port, connections, bytes, Number(place.peerPolls)].map(String)],
  {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  },
)
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
