import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { SharedLink, SharedNic } from '../driver/memory/index.ts'
import { createServer } from '../net/open.ts'
import type { EchoOrder, EchoPeerData } from './workers-echo-peer.ts'

/** What answers, as JSON in the only argument of the process. */
export interface EchoCase {
  readonly workers: number
  /** Nobody ever sleeps. */
  readonly polls: boolean
  /** Of a message. */
  readonly bytes: number
}

/** Times of an echo there and back, microseconds. */
export interface EchoFigures {
  readonly median: number
  readonly p99: number
}

const ADDRESS = '192.0.2.2'
const PORT = 9000

const { workers, polls, bytes } = JSON.parse(process.argv[2] ?? '{}') as EchoCase
const link = new SharedLink()
const module = fileURLToPath(new URL('../driver/memory/shared-link.js', import.meta.url))
const server = await createServer({
  ...(workers === 0
    ? { device: SharedNic.open(link.b) }
    : { device: { module, data: link.b }, workers, ...(polls ? { spinUs: Number.POSITIVE_INFINITY } : {}) }),
  busyPoll: polls,
  address: ADDRESS,
  ownAddress: true,
  port: PORT,
  noDelay: true,
  areaBytes: 4 << 20,
  handler: {
    onData(connection, offset, length) {
      connection.send(server.area.slice(offset, offset + length))
      return true
    },
    onEnd(_connection, errno) {
      throw new Error(`the connection ended: errno ${errno}`)
    },
  },
})
const workerData: EchoPeerData = { end: link.a, address: ADDRESS, port: PORT, bytes }
const peer = new Worker(new URL('./workers-echo-peer.js', import.meta.url), { workerData })
await once(peer, 'message')

process.on('message', (order: EchoOrder) => {
  peer.once('message', (times: Float64Array) => {
    times.sort()
    const at = (part: number): number => times[Math.floor((times.length - 1) * part)]!
    process.send?.({ median: at(0.5), p99: at(0.99) } satisfies EchoFigures)
  })
  peer.postMessage(order)
})
process.send?.('ready')
