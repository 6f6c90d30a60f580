/**
 * Two threads of a program on one queue and one area: each listens on a port of its own, receives in place, and gives its buffers back
 * to the one refill queue. The stack runs on a third thread, the queue's worker.
 *
 *     node dist/examples/07-two-threads.js                   over a wire in memory, with a sender of its own: no privileges
 *     node dist/examples/07-two-threads.js xdp:eth0 9000     until interrupted, on ports 9000 and 9001
 */
import { createHash } from 'node:crypto'
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads'
import * as zcrx from 'zcrx'

/** Serves a port on this thread, and tells of each connection that has ended. */
function serve(host: zcrx.OpenedHost, port: number, tell: (line: string) => void): Promise<zcrx.Server> {
  const hashes = new Map<zcrx.Connection, { hash: ReturnType<typeof createHash>; bytes: number }>()
  return zcrx.createServer({
    host,
    port,
    handler: {
      onConnection: (connection) => {
        hashes.set(connection, { hash: createHash('sha256'), bytes: 0 })
      },
      onData: (connection, offset, length) => {
        const entry = hashes.get(connection)!
        entry.hash.update(host.area.subarray(offset, offset + length))
        entry.bytes += length
        return true // done with the buffer: it goes back to the refill queue that both threads share
      },
      onEnd: (connection) => {
        const { hash, bytes } = hashes.get(connection)!
        hashes.delete(connection)
        connection.close()
        tell(`port ${port}: ${bytes} bytes, sha256 ${hash.digest('hex').slice(0, 16)}`)
      },
    },
  })
}

/** What a line on standard output, or a message to the main thread, resolves. */
interface Told {
  readonly ready?: true
  readonly line?: string
}

async function main(device: string | undefined, port: number): Promise<void> {
  const wire = new zcrx.SharedLink()
  const host = await zcrx.openHost({
    workers: 1,
    areaBytes: 16 << 20,
    ...(device === undefined
      ? { device: zcrx.sharedDevice([wire.b]), address: '192.0.2.1', ownAddress: true }
      : { device }),
  })
  const lines: string[] = []
  let ended = (): void => {}
  const tell = (line: string): void => {
    lines.push(line)
    ended()
  }

  // The other thread gets a ticket: a way to the host, whose ports are transferred.
  const { value, transferList } = host.ticket()
  const other = new Worker(new URL(import.meta.url), {
    workerData: { ticket: value, port: port + 1 },
    transferList,
  })
  await new Promise<void>((resolve) => {
    other.on('message', ({ ready, line }: Told) => {
      if (ready === true) resolve()
      if (line !== undefined) tell(line)
    })
  })
  const server = await serve(host, port, tell)
  if (device !== undefined) {
    console.log(
      `listening on ${server.listening.join(', ')} here, and on port ${port + 1} on a thread of its own`,
    )
    ended = () => console.log(lines.shift())
    return
  }

  // A sender of our own, at the far end of the wire.
  const far = await zcrx.openHost({
    device: zcrx.SharedNic.open(wire.a),
    address: '192.0.2.2',
    ownAddress: true,
    areaBytes: 1 << 20,
  })
  const data = new Uint8Array(4_000_000).map((_, i) => i % 251)
  for (const to of [port, port + 1]) {
    const client = await far.connect({ host: '192.0.2.1', port: to })
    await client.send(data)
    client.close()
  }
  while (lines.length < 2) {
    await new Promise<void>((resolve) => {
      ended = resolve
    })
  }
  console.log(
    `sent: ${data.length} bytes each, sha256 ${createHash('sha256').update(data).digest('hex').slice(0, 16)}`,
  )
  for (const line of lines.sort()) console.log(line)
  const { copiedBytes } = server.stats()
  console.log(`copied ${copiedBytes} bytes, lost buffers ${server.census().lost}`)
  await far.close()
  await other.terminate() // what it has there is given back
  await server.close()
  await host.close()
}

async function otherThread(): Promise<void> {
  const { ticket, port } = workerData as { ticket: zcrx.HostTicket['value']; port: number }
  const host = zcrx.attachHost(ticket)
  await serve(host, port, (line) => parentPort!.postMessage({ line } satisfies Told))
  parentPort!.postMessage({ ready: true } satisfies Told)
}

if (isMainThread || threadId === 0) await main(process.argv[2], Number(process.argv[3] ?? 9000))
else await otherThread()
