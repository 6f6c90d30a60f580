import { createServer as createNetServer } from 'node:net'

/**
 * Child process of the `e2e` bench: receives streams one after the other and throws them away.
 * `e2e-child DEVICE ADDRESS PORT STREAMS OWN AREA_BYTES`; DEVICE `node` is node:net. Prints `ready`, then a JSON
 * object for each stream.
 *
 * What zcrx needs is loaded only where it receives: `node:net` makes garbage of each chunk, and the larger the heap, the more that
 * costs. In a process that had loaded this package it took twice as long.
 */
const [device = '', address = '', port = '', streams = '', own = '', areaBytes = ''] = process.argv.slice(2)

let left = Number(streams)
let bytes = 0
let begun = 0
let usedAt = 0

function cpu(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage()
  return (userCPUTime + systemCPUTime) / 1e6
}

function take(count: number): void {
  if (bytes === 0) {
    begun = performance.now()
    usedAt = cpu()
  }
  bytes += count
}

/** Prints the result of a stream. Returns whether there is another. */
function report(more: object): boolean {
  const seconds = (performance.now() - begun) / 1000
  process.stdout.write(`${JSON.stringify({ bytes, seconds, cpuSeconds: cpu() - usedAt, ...more })}\n`)
  bytes = 0
  return --left > 0
}

if (device === 'node') {
  const server = createNetServer((socket) => {
    socket.on('data', (chunk) => take(chunk.length))
    socket.on('end', () => {
      const more = report({ mode: 'data events' })
      socket.end()
      if (!more) server.close()
    })
  })
  server.listen(Number(port), address, () => process.stdout.write('ready\n'))
} else {
  const { createServer } = await import('../net/server.ts')
  const server = await createServer({
    device,
    ...(device === 'linux:' ? { listenOn: address } : { address, ownAddress: own === 'own' }),
    port: Number(port),
    areaBytes: Number(areaBytes),
    handler: {
      onData(_connection, _offset, length) {
        take(length)
        return true
      },
      onEnd(connection, errno) {
        const { copiedBytes, frames, drops, completions } = server.stats()
        const more = report({ errno, mode: server.nic.info.mode, copiedBytes, frames, drops, completions })
        connection.close()
        // The peer still has to hear of it.
        if (!more) setTimeout(() => void server.close(), 100)
      },
    },
  })
  process.stdout.write('ready\n')
}
