/**
 * The processes of the `loss` bench: the path, the two receivers and the sender. Told what to do over IPC. What only some of them need
 * is loaded only there, so that the peer has the heap of a program of its own.
 */
import { connect, createServer as createNetServer } from 'node:net'
import type { ImpairedPath, PathConditions } from './impaired-path.ts'

export type Order =
  | { what: 'path'; addresses: [string, string] }
  | { what: 'configure'; conditions: PathConditions }
  | { what: 'counts' }
  | { what: 'zcrx' | 'node'; address: string; port: number; seconds: number }
  | { what: 'send'; address: string; port: number }

/** What a receiver saw of one connection. */
export interface Received {
  bytes: number
  seconds: number
  cpuSeconds: number
  stats: Record<string, number>
}

const AREA_BYTES = 32 << 20
const BLOCK = Buffer.alloc(256 << 10, 'zcrx')

let path: ImpairedPath | null = null

function answer(message: object): void {
  process.send!(message)
}

process.on('disconnect', () => process.exit())
process.on('message', (order: Order) => {
  void obey(order).catch((error) => answer({ failure: String(error?.stack ?? error) }))
})

async function obey(order: Order): Promise<void> {
  if (order.what === 'path') {
    const [{ XdpNic }, { IpAddress }, { allocateArea }, { ImpairedPath }] = await Promise.all([
      import('../driver/xdp/index.ts'),
      import('../address.ts'),
      import('../driver/area.ts'),
      import('./impaired-path.ts'),
    ])
    const nics = (['m0', 'm1'] as const).map((device) => XdpNic.open({ device, mode: 'generic' }))
    path = new ImpairedPath(
      [nics[0]!, nics[1]!],
      [allocateArea(AREA_BYTES, nics[0]!.info.tailBytes), allocateArea(AREA_BYTES, nics[1]!.info.tailBytes)],
    )
    nics.forEach((nic, i) => {
      nic.claim(IpAddress.parse(order.addresses[i]!)!.bytes())
    })
    answer({ ready: true })
  } else if (order.what === 'configure') {
    path!.configure(order.conditions)
    answer({ ready: true })
  } else if (order.what === 'counts') answer({ counts: path!.counts })
  else if (order.what === 'zcrx') await receiveHere(order)
  else if (order.what === 'node') await receiveOnLinux(order)
  else send(order)
}

/** Counts bytes from the start of the connection until the time is over. */
class Meter {
  bytes = 0
  readonly #seconds: number
  readonly #done: (received: Omit<Received, 'stats'>) => void

  constructor(seconds: number, done: (received: Omit<Received, 'stats'>) => void) {
    this.#seconds = seconds
    this.#done = done
  }

  start(): void {
    const cpu = process.cpuUsage()
    const from = performance.now()
    setTimeout(() => {
      const { user, system } = process.cpuUsage(cpu)
      this.#done({
        bytes: this.bytes,
        seconds: (performance.now() - from) / 1000,
        cpuSeconds: (user + system) / 1e6,
      })
    }, this.#seconds * 1000)
  }
}

interface ReceiveOrder {
  address: string
  port: number
  seconds: number
}

async function receiveHere({ address, port, seconds }: ReceiveOrder): Promise<void> {
  const [{ createServer }, { XdpNic }] = await Promise.all([
    import('../net/open.ts'),
    import('../driver/xdp/index.ts'),
  ])
  const meter = new Meter(seconds, (received) => {
    const { tcp, drops } = server.stats()
    const counted = Object.entries({ ...tcp, ...drops }).filter(([, value]) => value !== 0)
    const stats = Object.fromEntries(counted)
    void server.close().then(() => answer({ received: { ...received, stats } }))
  })
  const server = await createServer({
    device: XdpNic.open({ device: 'r0' }),
    address,
    port,
    handler: {
      onConnection: () => meter.start(),
      onData: (_connection, _offset, length) => {
        meter.bytes += length
        return true
      },
      onEnd: (connection) => connection.close(),
    },
  })
  answer({ ready: true })
}

async function receiveOnLinux({ address, port, seconds }: ReceiveOrder): Promise<void> {
  const server = createNetServer((socket) => {
    const meter = new Meter(seconds, (received) => {
      socket.destroy()
      server.close(() => answer({ received: { ...received, stats: {} } }))
    })
    meter.start()
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      meter.bytes += chunk.length
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
  answer({ ready: true })
}

/** Sends for as long as the receiver takes it. */
function send({ address, port }: { address: string; port: number }): void {
  const socket = connect({ host: address, port })
  const pump = (): void => {
    while (socket.writable && socket.write(BLOCK)) {}
  }
  socket.on('connect', pump)
  socket.on('drain', pump)
  socket.on('error', () => {})
  socket.on('close', () => answer({ sent: true }))
  socket.resume()
}
