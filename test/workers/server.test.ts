import { describe, expect, it } from 'vitest'
import { createServer, openHost } from '../../net/open.ts'
import { ENODEV } from '../../uapi/abi/errno.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { ADDRESS, Collector, eventually, obstacle, repeated, sha256, Wires } from './support.ts'

const OPTIONS = { address: ADDRESS, ownAddress: true, port: 9000, areaBytes: 4 << 20 }

describe.skipIf(obstacle !== '')('a server on workers', () => {
  it.each([1, 2, 3])('of %i receives every byte, in place, and gives everything back', async (workers) => {
    const wires = new Wires(workers)
    const handler = new Collector()
    const server = await createServer({ ...OPTIONS, device: wires.device, workers, handler })
    handler.server = server
    expect([server.queues, server.port, server.listening]).toEqual([workers, 9000, [`${ADDRESS}:9000`]])
    const data = repeated(3_000_000)
    await Promise.all(
      wires.links.map(async (_, queue) => {
        const client = await wires.connect(queue, 9000, 2)
        await Promise.all([0, 1].map((flow) => client.send(flow, data).then(() => client.end(flow))))
      }),
    )
    await handler.until(() => handler.ended.length === 2 * workers)
    expect(handler.ended.map(({ errno, sha256 }) => [errno, sha256])).toEqual(
      Array(2 * workers).fill([0, sha256(data)]),
    )
    expect(await eventually(() => server.census().user === 0 && server.openConnections === 0)).toBe(true)
    expect(server.census()).toMatchObject({ total: 1024 * workers, queued: 0, lost: 0 })
    expect(server.queueCensus().map(({ total, lost }) => [total, lost])).toEqual(
      Array(workers).fill([1024, 0]),
    )
    expect(
      server.queueStats().map(({ connections, zeroCopiedBytes }) => [connections, zeroCopiedBytes]),
    ).toEqual(Array(workers).fill([2, 2 * data.length]))
    expect(server.stats()).toMatchObject({ connections: 2 * workers, copiedBytes: 0, drops: {} })
    expect(server.connectionCensus()).toMatchObject({ closed: 2 * workers, lost: 0 })
    wires.close()
    await server.close()
  })

  it('answers what it is sent', async () => {
    const wires = new Wires()
    const echoed: number[] = []
    const server = await createServer({ ...OPTIONS, device: wires.device, workers: 1, noDelay: true })
    const client = await wires.connect(0)
    const serve = (async () => {
      for await (const connection of server) {
        for await (const { bytes } of connection) {
          echoed.push(bytes.length)
          connection.send(bytes.slice())
        }
        break
      }
    })()
    await client.send(0, bytesOf(100_000))
    await client.end(0)
    await serve
    expect(echoed.reduce((sum, bytes) => sum + bytes, 0)).toBe(100_000)
    wires.close()
    await server.close()
  })

  it('whose worker is ended in mid-stream ends its connections with an error; the others go on', async () => {
    const wires = new Wires(2)
    const handler = new Collector()
    const { port: _port, ...options } = OPTIONS
    const host = await openHost({ ...options, device: wires.device, workers: 2 })
    const server = await createServer({ host, port: 9000, handler })
    handler.server = server
    const gone: number[] = []
    let all = false
    server.onQueueGone(({ queue, error }) => {
      expect(error.code).toBe('ZCRX_WORKER_GONE')
      gone.push(queue)
    })
    server.onGone(() => {
      all = true
    })
    const [doomed, spared] = [await wires.connect(0), await wires.connect(1)]
    const data = repeated(20_000_000)
    void doomed.send(0, data).catch(() => {})
    const sending = spared.send(0, data).then(() => spared.end(0))
    await handler.until(() => handler.opened.length === 2 && handler.bytes > 4_000_000)
    await host.workers[0]!.terminate()
    await handler.until(() => handler.ended.length > 0)
    expect(handler.ended[0]).toMatchObject({ errno: ENODEV, connection: { remoteAddress: '192.0.2.10' } })
    await sending
    await handler.until(() => handler.ended.length === 2)
    expect(handler.ended[1]).toMatchObject({
      errno: 0,
      connection: { remoteAddress: '192.0.2.11' },
      bytes: data.length,
      sha256: sha256(data),
    })
    expect([gone, all]).toEqual([[0], false])
    await host.workers[1]!.terminate()
    expect(await eventually(() => all)).toBe(true)
    await server.close()
    await host.close()
    wires.close()
  })
})
