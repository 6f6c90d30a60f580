import { createServer as createNetServer } from 'node:net'
import { cpuSeconds } from './cpu-seconds.ts'

/** What a child of the `e2e` bench receives, as JSON in its only argument. */
export interface StreamCase {
  /** `node` is node:net. */
  readonly device: string
  readonly address: string
  /** The stack's alone. */
  readonly ownAddress?: boolean
  readonly port: number
  /** One after the other, of so many flows at once each. */
  readonly streams: number
  readonly flows: number
  /** 0: none. */
  readonly workers: number
}

/*
 * Receives and throws away. Prints `ready`, then a JSON object for each stream. What zcrx needs is loaded only where it receives:
 * `node:net` makes garbage of each chunk, and the larger the heap, the more that costs. In a process that had loaded this package it
 * took twice as long.
 */
const given = JSON.parse(process.argv[2] ?? '{}') as StreamCase
const { device, address, port, flows, workers } = given
const AREA_BYTES = 64 << 20

let flowsLeft = flows
let left = given.streams
let bytes = 0
let begun = 0
let usedAt = 0

function take(count: number): void {
  if (bytes === 0) {
    begun = performance.now()
    usedAt = cpuSeconds()
  }
  bytes += count
}

/** A flow has ended: with the last one the result of the stream is printed. Returns whether there is more to come. */
function report(more: () => object): boolean {
  if (--flowsLeft > 0) return true
  flowsLeft = flows
  const seconds = (performance.now() - begun) / 1000
  process.stdout.write(
    `${JSON.stringify({ bytes, seconds, cpuSeconds: cpuSeconds() - usedAt, ...more() })}\n`,
  )
  bytes = 0
  return --left > 0
}

if (device === 'node') {
  const server = createNetServer((socket) => {
    socket.on('data', (chunk) => take(chunk.length))
    socket.on('end', () => {
      const more = report(() => ({ mode: 'data events' }))
      socket.end()
      if (!more) server.close()
    })
  })
  server.listen(port, address, () => process.stdout.write('ready\n'))
} else {
  const { createServer } = await import('../net/open.ts')
  const server = await createServer({
    device,
    ...(device === 'linux:' ? { listenOn: address } : { address, ownAddress: given.ownAddress === true }),
    ...(workers === 0 ? {} : { workers }),
    port,
    areaBytes: AREA_BYTES,
    handler: {
      onData(_connection, _offset, length) {
        take(length)
        return true
      },
      onEnd(connection, errno) {
        const more = report(() => {
          const { copiedBytes, frames, drops, completions } = server.stats()
          return { errno, mode: server.nic.info.mode, copiedBytes, frames, drops, completions }
        })
        connection.close()
        // The peer still has to hear of it.
        if (!more) setTimeout(() => void server.close(), 100)
      },
    },
  })
  process.stdout.write('ready\n')
}
