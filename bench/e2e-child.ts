import { createServer as createNetServer } from 'node:net'
import { createServer } from '../uapi/server.ts'

/**
 * Child process of the `e2e` bench: receives one stream and throws it away.
 * `e2e-child DEVICE ADDRESS PORT OWN AREA_BYTES`; DEVICE `node` is node:net. Prints `ready`, then one JSON object.
 */
const [device = '', address = '', port = '', own = '', areaBytes = ''] = process.argv.slice(2)

let bytes = 0
let begun = 0
let usedAt = 0

function cpu(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage()
  return (userCPUTime + systemCPUTime) / 1e6
}

function take(count: number): void {
  if (begun === 0) {
    begun = performance.now()
    usedAt = cpu()
  }
  bytes += count
}

function report(more: object): void {
  const seconds = (performance.now() - begun) / 1000
  process.stdout.write(`${JSON.stringify({ bytes, seconds, cpuSeconds: cpu() - usedAt, ...more })}\n`)
}

if (device === 'node') {
  const server = createNetServer((socket) => {
    socket.on('data', (chunk) => take(chunk.length))
    socket.on('end', () => {
      report({ mode: 'data events' })
      socket.end()
      server.close()
    })
  })
  server.listen(Number(port), address, () => process.stdout.write('ready\n'))
} else {
  const server = await createServer({
    device,
    address,
    port: Number(port),
    ownAddress: own === 'own',
    areaBytes: Number(areaBytes),
    handler: {
      onData(_connection, _offset, length) {
        take(length)
        return true
      },
      onEnd(connection, errno) {
        const { copiedBytes, zeroCopiedBytes, frames, drops, completions } = server.stats()
        const { mode } = server.nic.info
        report({ errno, mode, copiedBytes, zeroCopiedBytes, frames, drops, completions })
        connection.close()
        setTimeout(() => void server.close(), 100)
      },
    },
  })
  process.stdout.write('ready\n')
}
