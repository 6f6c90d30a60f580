import { createWriteStream } from 'node:fs'
import { createServer as createNetServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { type ConsumerName, consumer } from './consumers.ts'
import { cpuSeconds } from './cpu-seconds.ts'

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

  count(bytes: number): void {
    if (this.#bytes === 0) {
      this.#begun = performance.now()
      this.#usedAt = cpuSeconds()
    }
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

if (device === 'node') {
  const server = createNetServer((socket) => {
    const meter = new Meter()
    const end = (): void => {
      if (!meter.report()) server.close()
    }
    socket.on('data', (chunk) => meter.count(chunk.length))
    if (what === 'file') void pipeline(socket, createWriteStream(path)).then(end)
    else {
      const one = consumer(what, path)
      socket.on('data', (chunk) => one.take(chunk, () => {}))
      socket.on('end', () => void one.end().then(end))
    }
  })
  server.listen(port, address, () => process.stdout.write('ready\n'))
} else {
  const { createServer } = await import('../net/open.ts')
  let one = consumer('discard', path)
  let meter = new Meter()
  const server = await createServer({
    device,
    address,
    ownAddress: given.ownAddress === true,
    port,
    areaBytes: AREA_BYTES,
    handler: {
      onConnection() {
        one = consumer(what, path)
        meter = new Meter()
      },
      onData(connection, offset, length) {
        meter.count(length)
        return one.take(server.area.subarray(offset, offset + length), () => connection.release(offset))
      },
      onEnd(connection) {
        void one.end().then(() => {
          const more = meter.report()
          connection.close()
          // The peer still has to hear of it.
          if (!more) setTimeout(() => void server.close(), 100)
        })
      },
    },
  })
  process.stdout.write('ready\n')
}
