import { createHash, randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { CHANNELS } from '../../net/channels.ts'
import { connect, createServer, openHost } from '../../net/open.ts'
import type { ServerOptions } from '../../net/server.ts'
import { type Connected, connected, NEAR, THERE } from '../support/connected.ts'
import { turn, until } from '../support/server-pair.ts'

let pair: Connected
afterEach(() => pair?.close())

describe('connect', () => {
  it('gives a connection that receives and sends, and closes what it has opened behind it', async () => {
    const link = new MemoryLink({ seed: 1 })
    const server = await createServer({ device: link.b, address: THERE, ownAddress: true, port: 7 })
    const sink = new PassThrough()
    server.on('connection', (connection) => connection.toNode().pipe(sink))
    const device = { device: link.a, address: NEAR, ownAddress: true }
    const connection = await connect({ ...device, host: THERE, port: 7 })
    await connection.send(randomBytes(1000))
    await until(() => sink.readableLength === 1000)
    connection.close()
    await connection.closed
    // The device can be opened again.
    await vi.waitFor(async () => (await openHost(device)).close())
    await server.close()
  })

  it('says as Node does why it could not', async () => {
    pair = await connected()
    const { far, server } = pair
    await expect(far.connect({ host: THERE, port: server.port + 1 })).rejects.toMatchObject({
      name: 'ConnectionError',
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: THERE,
      port: server.port + 1,
      remedy: 'nobody listens there',
    })
    await expect(far.connect({ host: '192.0.2.9', port: 1, timeout: 30 })).rejects.toMatchObject({
      code: 'ETIMEDOUT',
      syscall: 'connect',
    })
    const taken = await far.connect({ host: THERE, port: server.port })
    await expect(
      far.connect({ host: THERE, port: server.port, localPort: taken.localPort }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/EADDRINUSE|EADDRNOTAVAIL/) })
    await expect(far.connect({ host: 'zcrx.invalid', port: 1 })).rejects.toMatchObject({
      syscall: 'getaddrinfo',
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    })
    // Nothing of it is left.
    await until(() => far.census().user === 0)
  })

  it('is given up by its signal, before and meanwhile', async () => {
    pair = await connected()
    const aborted = { name: 'AbortError', code: 'ABORT_ERR', cause: 'why' }
    const to = { host: '192.0.2.9', port: 1 }
    await expect(pair.far.connect({ ...to, signal: AbortSignal.abort('why') })).rejects.toMatchObject(aborted)
    const abort = new AbortController()
    const connecting = pair.far.connect({ ...to, signal: abort.signal })
    await turn()
    abort.abort('why')
    await expect(connecting).rejects.toMatchObject(aborted)
  })

  it('takes a handler, as servers do', async () => {
    pair = await connected()
    const hash = createHash('sha256')
    let ended = -1
    const data = randomBytes(500_000)
    const handler = {
      onData: (connection: { area: Uint8Array }, offset: number, length: number) => {
        hash.update(connection.area.subarray(offset, offset + length))
        return true
      },
      onEnd: (_: unknown, errno: number) => {
        ended = errno
      },
    }
    const { near, there } = await pair.open({ handler })
    expect(() => near.batches()).toThrow('has a handler')
    void there.send(data)
    there.close()
    await until(() => ended === 0)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'))
    near.close()
    await near.closed
  })

  it('waits for what was sent last, also when the program closes the host at once', async () => {
    pair = await connected({}, { impairments: { loss: 0.05 } })
    const { near, there } = await pair.open()
    const data = randomBytes(300_000)
    let got = 0
    const reading = (async () => {
      for await (const views of there.batches()) for (const view of views) got += view.length
    })()
    await near.send(data)
    near.close()
    await pair.far.close()
    await reading
    expect(got).toBe(data.length)
  })
})

describe('a host', () => {
  it('has many servers and connections on one area, and whoever names its device joins', async () => {
    const link = new MemoryLink({ seed: 2 })
    const host = await openHost({ device: link.b, address: THERE, ownAddress: true, areaBytes: 2 << 20 })
    const one = await host.listen({ port: 1 })
    const two = await createServer({ device: link.b, port: 2 })
    const three = await createServer({
      device: link.b,
      areaBytes: 2 << 20,
      listen: [{ port: 3 }, { port: 4 }],
    })
    for (const server of [one, two, three]) {
      expect(server.area).toBe(host.area)
      server.on('connection', (connection) => connection.toNode().resume())
    }
    await expect(createServer({ device: link.b, areaBytes: 1 << 20, port: 5 })).rejects.toThrow(
      'open in this process already, with another areaBytes',
    )
    await expect(openHost({ device: link.b, address: THERE, ownAddress: true })).rejects.toThrow('already')
    await expect(createServer({ device: link.b, port: 2 })).rejects.toThrow('EADDRINUSE')
    const far = await openHost({ device: link.a, address: NEAR, ownAddress: true })
    for (const port of [1, 2, 3, 4]) {
      const connection = await far.connect({ host: THERE, port })
      await connection.send(randomBytes(200_000))
      connection.close()
      await connection.closed
    }
    expect([one, two, three].map((server) => server.stats().connections)).toEqual([1, 1, 2])
    await two.close()
    await three.close()
    const back = await host.connect({ host: NEAR, port: 9 }).catch((error: Error) => error.message)
    expect(back).toContain('ECONNREFUSED')
    await until(() => host.census().user + host.census().queued === 0)
    expect(host.census().lost).toBe(0)
    let closed = 0
    one.on('close', () => closed++)
    await host.close()
    expect(closed).toBe(1)
    await expect(host.listen({ port: 1 })).rejects.toThrow('closed')
    await far.close()
  })

  it('is there as long as somebody uses it, where nobody has opened it', async () => {
    const link = new MemoryLink({ seed: 3 })
    const options: ServerOptions = { device: link.b, address: THERE, ownAddress: true, port: 1 }
    const one = await createServer(options)
    const two = await createServer({ ...options, port: 2 })
    expect(two.area).toBe(one.area)
    await one.close()
    const far = await openHost({ device: link.a, address: NEAR, ownAddress: true })
    const ended: number[] = []
    two.on(
      'connection',
      (connection) => void connection.closed.then(() => ended.push(connection.bytesReceived)),
    )
    two.on('connection', (connection) => connection.toNode().resume())
    const connection = await far.connect({ host: THERE, port: 2 })
    await connection.send(randomBytes(50_000))
    connection.close()
    await until(() => ended.length > 0)
    expect(ended).toEqual([50_000])
    await two.close()
    await far.close()
  })
})

describe('options', () => {
  it('that are unknown, or out of range, are named with what to do', async () => {
    const link = new MemoryLink({ seed: 1 })
    const place = { device: link.b, address: THERE, ownAddress: true, port: 1 }
    const refused = (options: object): Promise<unknown> =>
      createServer({ ...place, ...options } as ServerOptions)
    const wrong: [object, string | RegExp][] = [
      [{ prot: 1 }, /no option prot: did you mean port\?/],
      [{ port: 70_000 }, 'port 70000 is not an integer from 0 to 65535'],
      [{ noDelay: 'yes' }, 'noDelay "yes" is not true or false'],
      [{ handler: { onEnd: () => {} } }, 'the handler has no onData'],
      [{ signal: 'soon' }, 'is not an AbortSignal'],
      [{ idleTimeoutMs: -1 }, 'idleTimeoutMs -1'],
      [{ listen: [{ prt: 1 }] }, 'did you mean port?'],
    ]
    for (const [options, message] of wrong) {
      await expect(refused(options)).rejects.toThrow(message)
      await expect(refused(options)).rejects.toMatchObject({ code: 'ZCRX_ARGUMENT' })
    }
    await expect(openHost({ device: link.b, handler: {} } as never)).rejects.toThrow('no option handler')
    await expect(
      connect({ device: link.b, host: '', port: 1, address: THERE, ownAddress: true }),
    ).rejects.toThrow('no peer to connect to')
  })
})

describe('diagnostics_channel', () => {
  it('is told of servers and connections', async () => {
    const told: string[] = []
    const listener = (_: unknown, name: string | symbol): void => void told.push(String(name))
    for (const name of CHANNELS) subscribe(name, listener)
    pair = await connected()
    const { near, there } = await pair.open()
    near.close()
    there.close()
    await Promise.all([near.closed, there.closed])
    await pair.far.connect({ host: THERE, port: 1 }).catch(() => {})
    await pair.server.close()
    for (const name of CHANNELS) unsubscribe(name, listener)
    expect(told.slice(0, 2)).toEqual(['zcrx:server:listening', 'zcrx:connect:start'])
    expect(told.filter((name) => name === 'zcrx:connection:open')).toHaveLength(2)
    expect(told.filter((name) => name === 'zcrx:connection:close')).toHaveLength(2)
    expect(told).toContain('zcrx:connect:error')
    expect(told).toContain('zcrx:server:close')
  })
})
