import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import type { OpenedHost } from '../../net/host.ts'
import { createServer, openHost } from '../../net/open.ts'
import type { Client } from '../support/client.ts'
import { ADDRESS, Collector, eventually, obstacle, repeated, script, sha256, Wires } from './support.ts'

const OPTIONS = { address: ADDRESS, ownAddress: true, areaBytes: 8 << 20 }
const DATA = repeated(2_000_000)

/** What `application.mjs` says it saw of the bytes. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0
  return sum
}

/** Sends until it is told that nobody is there. */
async function tell(client: Client): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end; ) {
    await client.send(0, Uint8Array.of(1))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** An application on a thread, and what it has said. */
class Application {
  readonly worker: Worker
  readonly said: { type: string; errno?: number; bytes?: number; sum?: number }[] = []

  constructor(host: OpenedHost, options: object = {}) {
    const { value, transferList } = host.ticket()
    this.worker = new Worker(script('application.mjs'), {
      workerData: { ticket: value, port: 9001, ...options },
      transferList,
    })
    this.worker.on('message', (message) => this.said.push(message))
    this.worker.on('error', () => {})
  }

  async heard(type: string): Promise<(typeof this.said)[number]> {
    expect(await eventually(() => this.said.some((message) => message.type === type))).toBe(true)
    return this.said.find((message) => message.type === type)!
  }
}

describe.skipIf(obstacle !== '')('applications on threads of their own', () => {
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  /** A host of one worker, a server here on port 9000, and an application elsewhere on 9001. */
  async function both(options: object = {}) {
    const wires = new Wires()
    const host = await openHost({ ...OPTIONS, device: wires.device, workers: 1 })
    const handler = new Collector()
    const server = await createServer({ host, port: 9000, handler })
    handler.server = server
    const application = new Application(host, options)
    ends.push(
      () => wires.close(),
      () => host.close(),
      () => server.close(),
      () => application.worker.terminate(),
    )
    await application.heard('listening')
    const client = await wires.clients(0)
    return { wires, host, handler, server, application, client }
  }

  it('share one area and one refill queue, and each gets what is its own', async () => {
    const { server, handler, application, client } = await both()
    const ours = await client(9000)
    const theirs = await client(9001)
    await Promise.all([ours.send(0, DATA), theirs.send(0, DATA)])
    void ours.end(0)
    void theirs.end(0)
    await handler.until(() => handler.ended.length === 1)
    expect(handler.ended[0]).toMatchObject({ errno: 0, sha256: sha256(DATA) })
    expect(await application.heard('end')).toEqual({
      type: 'end',
      errno: 0,
      bytes: DATA.length,
      sum: sumOf(DATA),
    })
    expect(await eventually(() => server.census().user === 0)).toBe(true)
    expect(server.census()).toMatchObject({ total: 2048, queued: 0, lost: 0 })
    expect(server.stats()).toMatchObject({ copiedBytes: 0, connections: 1 })
    application.worker.postMessage('close')
    await once(application.worker, 'exit')
  })

  it.each(['terminate', 'exit', 'throw'])(
    'that end (%s) with requests and buffers in hand leave nothing behind, and the others go on',
    async (how) => {
      const { server, handler, application, client } = await both({ keeps: true })
      const ours = await client(9000)
      const theirs = await client(9001)
      await theirs.send(0, DATA)
      const half = DATA.subarray(0, 1_000_000)
      await ours.send(0, half)
      await handler.until(() => handler.bytes === half.length)
      // It keeps all that it is given: its share of the buffers, and no more, so that it does not stop the others.
      await application.heard('kept')
      expect(await eventually(() => server.census().user === 1024)).toBe(true)
      if (how === 'terminate') await application.worker.terminate()
      else {
        const gone = new Promise((resolve) => application.worker.on('exit', resolve))
        application.worker.postMessage(how)
        await gone
      }
      // Its buffers are free, and its peer hears of it.
      expect(await eventually(() => server.census().user === 0)).toBe(true)
      await expect(tell(theirs)).rejects.toThrow(/ECONNRESET|EPIPE/)
      await ours.send(0, DATA.subarray(half.length))
      void ours.end(0)
      await handler.until(() => handler.ended.length === 1)
      expect(handler.ended[0]).toMatchObject({ errno: 0, sha256: sha256(DATA) })
      expect(await eventually(() => server.census().user === 0)).toBe(true)
      expect(server.census()).toMatchObject({ queued: 0, lost: 0 })
      // The port is nobody's any more.
      await expect(client(9001)).rejects.toThrow('ECONNREFUSED')
    },
  )

  it('that block hold up nobody but their own peers', async () => {
    const { server, handler, application, client } = await both()
    const theirs = await client(9001)
    await application.heard('connection')
    application.worker.postMessage('block')
    const stuck = theirs.send(0, repeated(40_000_000)).catch(() => 'reset')
    const ours = await client(9000)
    await ours.send(0, DATA)
    void ours.end(0)
    await handler.until(() => handler.ended.length === 1)
    expect(handler.ended[0]).toMatchObject({ errno: 0, sha256: sha256(DATA) })
    // What waits for it is bounded, and given back with it.
    const { user, queued, total, lost } = server.census()
    expect(user + queued).toBeLessThan(total)
    expect(lost).toBe(0)
    await application.worker.terminate()
    expect(await stuck).toBe('reset')
    expect(await eventually(() => server.census().user + server.census().queued === 0)).toBe(true)
  })

  it('can be told of a host without workers that it is none of theirs', async () => {
    const { MemoryLink } = await import('../../driver/memory/index.ts')
    const host = await openHost({ ...OPTIONS, device: new MemoryLink().b })
    ends.push(() => host.close())
    expect(() => host.ticket()).toThrow('a host without workers')
  })
})
