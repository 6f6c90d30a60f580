import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import tls from 'node:tls'
import { createGzip, gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import type { Impairments } from '../../driver/memory/index.ts'
import { CERTIFICATE, KEY } from '../support/certificate.ts'
import { type Connected, connected, NEAR, THERE } from '../support/connected.ts'
import { until } from '../support/server-pair.ts'

let pair: Connected
afterEach(() => pair.close())

/** Pieces of what a pseudo-random source sends. */
function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** All that comes until the end: without the loop of an iteration, which destroys a stream that it leaves. */
async function all(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

describe('a connection as a stream', () => {
  it('carries what pipeline puts in, both ways at once, also where frames are lost and come out of order', async () => {
    const bad: Impairments = { loss: 0.01, reorder: 0.02, duplicate: 0.01 }
    for (const impairments of [{}, bad]) {
      pair = await connected({}, { impairments })
      const { near, there } = await pair.open()
      const [up, down] = [randomBytes(2_000_000), randomBytes(2_000_000)]
      const [a, b] = [near.toNode({ allowHalfOpen: true }), there.toNode({ allowHalfOpen: true })]
      const [, , atB, atA] = await Promise.all([
        pipeline(Readable.from(pieces(up, 50_000)), a, { end: true }).catch(() => {}),
        pipeline(Readable.from(pieces(down, 777)), b).catch(() => {}),
        all(b),
        all(a),
      ])
      expect(Buffer.compare(atB, up)).toBe(0)
      expect(Buffer.compare(atA, down)).toBe(0)
      await Promise.all([near.closed, there.closed])
      expect(pair.server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
      expect(pair.server.stats().copiedBytes).toBeGreaterThanOrEqual(up.length)
      if (impairments !== bad) await pair.close()
    }
  })

  it('says what a socket says', async () => {
    pair = await connected()
    const { near, there } = await pair.open({ localPort: 40_123 })
    const [a, b] = [near.toNode({ allowHalfOpen: true }), there.toNode({ allowHalfOpen: true })]
    expect(a).toMatchObject({
      remoteAddress: THERE,
      remotePort: pair.server.port,
      remoteFamily: 'IPv4',
      localAddress: NEAR,
      localPort: 40_123,
      localFamily: 'IPv4',
      connecting: false,
      pending: false,
      readyState: 'open',
    })
    expect(b.address()).toEqual({ address: THERE, family: 'IPv4', port: pair.server.port })
    expect(b).toMatchObject({ remoteAddress: NEAR, remotePort: 40_123, bytesRead: 0, bytesWritten: 0 })
    expect(a.setNoDelay().setKeepAlive(true, 30_000)).toBe(a)
    a.end('hello')
    expect((await all(b)).toString()).toBe('hello')
    expect(b.readyState).toBe('writeOnly')
    expect(b.bytesRead).toBe(5)
    // Half open: the other direction goes on.
    b.end('and back')
    expect((await all(a)).toString()).toBe('and back')
    expect(b.bytesWritten).toBe(8)
    await Promise.all([near.closed, there.closed])
    expect(a.readyState).toBe('closed')
  })

  it('ends its own side with the peer’s, unless it may stay half open', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const b = there.toNode()
    b.resume()
    const a = near.toNode({ allowHalfOpen: true })
    a.end()
    a.resume()
    await Promise.all([near.closed, there.closed])
    expect(a.errored ?? b.errored).toBeNull()
  })

  it('is destroyed with a reset, which the peer is told of by its code', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const [a, b] = [near.toNode(), there.toNode()]
    b.resume()
    const told = once(b, 'error')
    a.on('error', () => {})
    a.destroy(new Error('enough'))
    const [error] = await told
    expect(error).toMatchObject({ code: 'ECONNRESET', errno: -104, syscall: 'read', address: NEAR })
    await until(() => pair.server.openConnections === 0)
  })

  it('is given up by a signal', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const abort = new AbortController()
    const a = near.toNode({ signal: abort.signal })
    const b = there.toNode()
    b.on('error', () => {})
    const ends = Promise.allSettled([finished(a), finished(b)])
    abort.abort()
    const [mine] = await ends
    expect(mine).toMatchObject({ reason: { name: 'AbortError' } })
    await near.closed
  })

  it('holds the peer back when nobody reads, and costs no more than the limits', async () => {
    pair = await connected({ receiveBufferBytes: 100_000 })
    const { near, there } = await pair.open()
    const a = near.toNode()
    const b = there.toNode({ readableHighWaterMark: 10_000, chunkBytes: 10_000 })
    const data = randomBytes(6_000_000)
    const sent = pipeline(Readable.from(pieces(data, 60_000)), a).catch(() => {})
    let last = -1
    await until(() => {
      const same = there.bytesReceived === last && last > 0
      last = there.bytesReceived
      return same && near.bytesWaiting > 0
    })
    expect(there.received.bytes).toBeLessThan(1_000_000)
    // The area has room for others: it is not this connection's alone.
    expect(pair.server.census().user * 4096).toBeLessThan(2_000_000)
    expect(Buffer.compare(await buffer(b), data)).toBe(0)
    a.resume()
    await sent
  })

  it('tells of a time without traffic, and of none while there is some', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const [a, b] = [near.toNode(), there.toNode()]
    let timeouts = 0
    b.resume().setTimeout(80, () => timeouts++)
    for (let i = 0; i < 6; i++) {
      a.write('x')
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    expect(timeouts).toBe(0)
    await once(b, 'timeout')
    expect(timeouts).toBe(1)
    a.destroy()
  })

  it('serves HTTP, upload and download, several requests on one connection', async () => {
    pair = await connected({ port: 80 })
    const body = randomBytes(3_000_000)
    const web = http.createServer((request, response) => {
      if (request.method === 'PUT')
        void buffer(request).then((got) => response.end(`${Buffer.compare(got, body)}`))
      else response.end(body)
    })
    pair.server.on('connection', (connection) =>
      web.emit('connection', connection.toNode({ allowHalfOpen: true })),
    )
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    Object.assign(agent, {
      createConnection: (_: unknown, done: (error: unknown, stream?: object) => void) =>
        void pair.far.connect({ host: THERE, port: 80 }).then((one) => done(null, one.toNode()), done),
    })
    const ask = async (method: string, sent?: Uint8Array): Promise<Buffer> => {
      const request = http.request({ agent, host: THERE, method, path: '/' })
      request.end(sent)
      const [response] = await once(request, 'response')
      return buffer(response as http.IncomingMessage)
    }
    expect((await ask('PUT', body)).toString()).toBe('0')
    expect(Buffer.compare(await ask('GET'), body)).toBe(0)
    expect(pair.server.stats().connections).toBe(1)
    agent.destroy()
    web.close()
  })

  it('carries TLS, from either side', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const server = new tls.TLSSocket(there.toNode(), { isServer: true, key: KEY, cert: CERTIFICATE })
    const client = tls.connect({ socket: near.toNode(), ca: CERTIFICATE, servername: 'zcrx.test' })
    await once(client, 'secureConnect')
    expect(client.authorized).toBe(true)
    const data = randomBytes(1_000_000)
    server.pipe(new PassThrough()).pipe(server)
    client.write(data)
    const echoed: Buffer[] = []
    client.on('data', (chunk: Buffer) => echoed.push(chunk))
    await until(() => echoed.reduce((sum, { length }) => sum + length, 0) === data.length)
    expect(Buffer.compare(Buffer.concat(echoed), data)).toBe(0)
    client.end()
    await once(client, 'close')
  })

  it('goes to a file from where it lies, and as any stream when somebody else listens too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zcrx-pipe-'))
    try {
      for (const listens of [false, true]) {
        pair = await connected()
        const { near, there } = await pair.open()
        const data = randomBytes(3_000_000)
        const path = join(folder, `file-${listens}`)
        const b = there.toNode()
        void near.send(data).then(() => near.close())
        const piped = pipeline(b, createWriteStream(path))
        let seen = 0
        if (listens) {
          await until(() => there.bytesReceived > 200_000)
          b.on('data', (chunk: Buffer) => {
            seen += chunk.length
          })
        }
        await piped
        expect(Buffer.compare(readFileSync(path), data)).toBe(0)
        const { copiedBytes } = pair.server.stats()
        if (listens) expect(copiedBytes).toBe(seen)
        else expect(copiedBytes).toBe(0)
        await until(() => pair.server.census().user === 0)
        expect(pair.server.census().lost).toBe(0)
        if (!listens) await pair.close()
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('gives up a file that can’t be written, and a file stream that is destroyed, with a reset', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zcrx-pipe-'))
    try {
      pair = await connected()
      for (const [path, how] of [
        [join(folder, 'no', 'such'), 'ENOENT'],
        ['/dev/full', 'ENOSPC'],
        [join(folder, 'destroyed'), 'enough'],
      ] as const) {
        const { near, there } = await pair.open()
        void near.send(randomBytes(900_000))
        const file = createWriteStream(path)
        const piped = pipeline(there.toNode(), file)
        if (how === 'enough')
          void until(() => file.bytesWritten > 0).then(() => file.destroy(new Error('enough')))
        await expect(piped).rejects.toThrow(how)
        await there.closed
        near.reset()
        await near.closed
        await until(() => pair.server.census().user + pair.server.census().queued === 0)
      }
      expect(pair.server.census().lost).toBe(0)
      const { near, there } = await pair.open()
      const cut = pipeline(there.toNode(), createWriteStream(join(folder, 'cut')))
      await near.send(randomBytes(100_000))
      await until(() => there.bytesReceived === 100_000)
      near.reset()
      await expect(cut).rejects.toMatchObject({ code: 'ECONNRESET' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('goes through a transform', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const data = Buffer.alloc(500_000, 'zero-copy ')
    const [, zipped] = await Promise.all([
      pipeline(Readable.from(pieces(data, 10_000)), createGzip(), near.toNode()),
      buffer(there.toNode()),
    ])
    expect(Buffer.compare(gunzipSync(zipped), data)).toBe(0)
  })
})
