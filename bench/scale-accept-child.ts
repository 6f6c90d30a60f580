import { createServer as createNetServer } from 'node:net'
import { cpuSeconds } from './cpu-seconds.ts'
import { type MemoryUse, memoryUse } from './memory-use.ts'

/** What a child of the `scale` bench accepts, as JSON in its only argument. */
export interface AcceptCase {
  /** `node` is node:net. */
  readonly device: string
  readonly address: string
  /** The stack's alone. */
  readonly ownAddress: boolean
  readonly port: number
  /** Connections that are accepted before anything is counted, and those that are. */
  readonly before: number
  readonly connections: number
}

/** What it prints at the end. */
export interface AcceptFigures {
  readonly seconds: number
  readonly cpuSeconds: number
  /** Bytes for each connection: heap and what V8 knows of outside it, and what the process has grown by. */
  readonly heapBytes: number
  readonly residentBytes: number
}

/** What was sent to connections that are idle has been, and what was owed to them. */
const SETTLE_MS = 1000
const BACKLOG = 4096

/* Prints `ready`, accepts, keeps what comes, prints a JSON object. What zcrx needs is loaded only where it accepts. */
const given = JSON.parse(process.argv[2] ?? '{}') as AcceptCase
const { device, address, port, before, connections } = given
const kept: unknown[] = []
/** What tells the client that it was accepted. */
const HELLO = Uint8Array.of(1)
let start = 0
let cpuAt = 0
let memoryAt: MemoryUse = memoryUse()

function accepted(connection: unknown): void {
  kept.push(connection)
  if (kept.length === before) {
    memoryAt = memoryUse()
    cpuAt = cpuSeconds()
    start = performance.now()
  } else if (kept.length === before + connections) {
    const seconds = (performance.now() - start) / 1000
    const used = cpuSeconds() - cpuAt
    setTimeout(() => tell(seconds, used), SETTLE_MS)
  }
}

function tell(seconds: number, cpuSeconds: number): void {
  const { heap, external, resident } = memoryUse()
  const figures: AcceptFigures = {
    seconds,
    cpuSeconds,
    heapBytes: (heap + external - memoryAt.heap - memoryAt.external) / connections,
    residentBytes: (resident - memoryAt.resident) / connections,
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit())
}

if (device === 'node') {
  const server = createNetServer((socket) => {
    socket.on('error', () => {})
    socket.write(HELLO)
    accepted(socket)
  })
  server.listen({ host: address, port, backlog: BACKLOG }, () => process.stdout.write('ready\n'))
} else {
  const { createServer } = await import('../net/open.ts')
  await createServer({
    device,
    ...(device === 'linux:'
      ? { listenOn: address }
      : {
          address,
          ownAddress: given.ownAddress,
          tcp: { maxConnections: before + connections + 1 },
        }),
    port,
    backlog: BACKLOG,
    handler: {
      onConnection: (connection) => {
        connection.send(HELLO)
        accepted(connection)
      },
      onData: () => true,
      onEnd: (connection) => connection.close(),
    },
  })
  process.stdout.write('ready\n')
}
