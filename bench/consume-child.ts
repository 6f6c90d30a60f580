import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer as createNetServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import type { Connection, ConnectionHandler } from '../net/connection.ts'
import { type ConsumerName, consumer } from './consumers.ts'
import { cpuSeconds } from './cpu-seconds.ts'
import { WasmLines } from './wasm-lines.ts'

/** How a program may receive. */
export type Way = 'handler' | 'for await' | 'batches()' | 'pipeline()'

/** What a child of the `consume` bench receives, as JSON in its only argument. */
export interface ConsumeCase {
  /** `node` is node:net. */
  readonly device: string
  readonly address: string
  /** The stack's alone. */
  readonly ownAddress?: boolean
  readonly port: number
  /** One after the other. */
  readonly streams: number
  readonly what: ConsumerName
  /** How it is received; of `node:net` always the last. */
  readonly way: Way
  /** Of the file that is written. */
  readonly path: string
}

/*
 * Receives, and does something with what comes. Prints `ready`, then a JSON object for each stream. As in e2e-child.ts what zcrx needs is
 * loaded only where it receives.
 */
const given = JSON.parse(process.argv[2] ?? '{}') as ConsumeCase
const { device, address, port, what, path } = given
const AREA_BYTES = 64 << 20

let left = given.streams

/** Of one stream, from its first byte until all is consumed. */
class Meter {
  #bytes = 0
  #begun = 0
  #usedAt = 0

  begin(): void {
    this.#begun = performance.now()
    this.#usedAt = cpuSeconds()
  }

  count(bytes: number): void {
    if (this.#bytes === 0 && this.#begun === 0) this.begin()
    this.#bytes += bytes
  }

  /** Returns whether there is more to come. */
  report(): boolean {
    const seconds = (performance.now() - this.#begun) / 1000
    const result = { bytes: this.#bytes, seconds, cpuSeconds: cpuSeconds() - this.#usedAt }
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return --left > 0
  }
}

const wasm = new WasmLines(2 * AREA_BYTES)

/** Through a loop over the connection: piece by piece, or all that has arrived at a time. */
async function loop(connection: Connection, how: Way, meter: Meter): Promise<void> {
  const one = consumer(what, path, wasm)
  if (how === 'for await') {
    const file = what === 'file' ? await open(path, 'w') : null
    for await (const { bytes } of connection) {
      meter.count(bytes.length)
      if (file !== null) await file.write(bytes)
      else one.take(bytes, () => {})
    }
    await file?.close()
    return
  }
  const file = what === 'file' ? await open(path, 'w') : null
  for await (const views of connection.batches()) {
    for (const view of views) meter.count(view.length)
    if (file !== null) await file.writev(views)
    else for (const view of views) one.take(view, () => {})
  }
  await file?.close()
}

/** Through a stream, as `node:net` has it. */
async function stream(socket: Duplex & { readonly bytesRead: number }, meter: Meter): Promise<void> {
  if (what === 'file') {
    meter.begin()
    await pipeline(socket, createWriteStream(path))
    meter.count(socket.bytesRead)
    return
  }
  socket.on('data', (chunk: Buffer) => meter.count(chunk.length))
  const one = consumer(what, path, wasm)
  socket.on('data', (chunk: Buffer) => one.take(chunk, () => {}))
  await finished(socket)
  await one.end()
}

if (device === 'node') {
  const server = createNetServer((socket) => {
    const meter = new Meter()
    void stream(socket, meter).then(() => {
      if (!meter.report()) server.close()
    })
  })
  server.listen(port, address, () => process.stdout.write('ready\n'))
} else {
  const { createServer } = await import('../net/open.ts')
  let one = consumer('discard', path, wasm)
  let meter = new Meter()
  const handler: ConnectionHandler = {
    onConnection() {
      one = consumer(what, path, wasm)
      meter = new Meter()
    },
    onData(connection, offset, length) {
      meter.count(length)
      return one.take(server.area.subarray(offset, offset + length), () => connection.release(offset))
    },
    onEnd(connection) {
      void one.end().then(() => ended(connection))
    },
  }
  const ended = (connection: Connection): void => {
    const more = meter.report()
    connection.close()
    // The peer still has to hear of it.
    if (!more) setTimeout(() => void server.close(), 100)
  }
  const server = await createServer({
    device,
    address,
    ownAddress: given.ownAddress === true,
    port,
    areaBytes: AREA_BYTES,
    ...(what === 'lines' ? { area: wasm.memory } : {}),
    ...(given.way === 'handler' ? { handler } : {}),
  })
  if (given.way !== 'handler')
    server.on('connection', (connection) => {
      meter = new Meter()
      const done = (): void => ended(connection)
      if (given.way === 'pipeline()') void stream(connection.toNode(), meter).then(done)
      else void loop(connection, given.way, meter).then(done)
    })
  process.stdout.write('ready\n')
}
