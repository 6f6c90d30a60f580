import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer as netServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import * as zcrx from '../../index.ts'
import { linuxRingsObstacle } from '../support/linux-rings.ts'

const KIB = 1024
const MIB = KIB * KIB

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Stream {
  readonly connection: zcrx.Connection
  readonly hash: ReturnType<typeof createHash>
  bytes: number
  errno: number | null
}

/** A server that keeps account of each connection. */
class Account implements zcrx.ConnectionHandler {
  readonly streams = new Map<zcrx.Connection, Stream>()
  readonly ended: Stream[] = []
  server!: zcrx.Server
  #waiting: (() => void)[] = []
  /** Pieces are kept instead of given back. */
  keeps = false
  readonly kept: [zcrx.Connection, number][] = []
  closes = true

  onConnection(connection: zcrx.Connection): void {
    this.streams.set(connection, { connection, hash: createHash('sha256'), bytes: 0, errno: null })
    this.#tell()
  }
  onData(connection: zcrx.Connection, offset: number, length: number): boolean {
    const stream = this.streams.get(connection)!
    stream.hash.update(this.server.area.subarray(offset, offset + length))
    stream.bytes += length
    if (this.keeps) this.kept.push([connection, offset])
    this.#tell()
    return !this.keeps
  }
  onEnd(connection: zcrx.Connection, errno: number): void {
    const stream = this.streams.get(connection)!
    stream.errno = errno
    this.ended.push(stream)
    if (this.closes) connection.close()
    this.#tell()
  }
  #tell(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
  async until(reached: () => boolean): Promise<void> {
    while (!reached()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

async function serve(options: Partial<zcrx.ServerOptions> = {}): Promise<Account> {
  const account = new Account()
  account.server = await zcrx.createServer({
    device: 'linux:',
    port: 0,
    listenOn: '127.0.0.1',
    areaBytes: 4 * MIB,
    handler: account,
    ...options,
  })
  ends.push(() => account.server.close())
  return account
}

async function client(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true })
  ends.push(() => socket.destroy())
  await once(socket, 'connect')
  // Whoever looks for a reset listens himself.
  socket.on('error', () => {})
  return socket
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** All is back: no buffer is out, no connection open. */
async function settled({ server }: Account): Promise<void> {
  while (server.openConnections > 0) await new Promise((resolve) => setImmediate(resolve))
  const { total, fill, user, lost } = server.census()
  expect([user, lost, fill]).toEqual([0, 0, total])
}

describe.skipIf(linuxRingsObstacle !== '')('a server on the machine’s own stack', () => {
  it('receives what was sent, of several at once, and says what it has done', async () => {
    const account = await serve()
    const all = Array.from({ length: 8 }, (_, i) => randomBytes(3 * MIB + 7 * i))
    for (const bytes of all) (await client(account.server.port)).end(bytes)
    await account.until(() => account.ended.length === 8)
    const digests = account.ended.map(({ hash, errno }) => `${errno} ${hash.digest('hex')}`)
    expect(digests.sort()).toEqual(all.map((bytes) => `0 ${digest(bytes)}`).sort())
    const { connections, copiedBytes, zeroCopiedBytes, completions, frames } = account.server.stats()
    const sum = all.reduce((total, { length }) => total + length, 0)
    expect([connections, copiedBytes, zeroCopiedBytes, frames]).toEqual([8, sum, 0, 0])
    expect(completions).toBeGreaterThan(sum / 65_536)
    await settled(account)
    expect(account.server.connectionCensus()).toMatchObject({ accepted: 8, closed: 8, lost: 0 })
    expect(account.server.nic.info).toMatchObject({ driver: 'linux', mode: 'sockets', ifIndex: 0 })
  })

  it('answers, half-closes and hears what comes behind that', async () => {
    const account = await serve({ sendBufferBytes: 16 * MIB })
    const peer = await client(account.server.port)
    await account.until(() => account.streams.size === 1)
    const [{ connection }] = [...account.streams.values()] as [Stream]
    expect([connection.remoteAddress, connection.remotePort]).toEqual(['127.0.0.1', peer.localPort])
    const answer = randomBytes(9 * MIB)
    const got: Buffer[] = []
    peer.on('data', (chunk) => got.push(chunk))
    for (let i = 0; i < answer.length; i += MIB) connection.send(answer.subarray(i, i + MIB))
    connection.end()
    await once(peer, 'end')
    expect(digest(Buffer.concat(got))).toBe(digest(answer))
    const question = randomBytes(100_000)
    peer.end(question)
    await account.until(() => account.ended.length === 1)
    expect([account.ended[0]!.errno, account.ended[0]!.hash.digest('hex')]).toEqual([0, digest(question)])
    await settled(account)
  })

  it('is iterated, chunk by chunk', async () => {
    const server = await zcrx.createServer({ device: 'linux:', port: 0, listenOn: '127.0.0.1' })
    ends.push(() => server.close())
    const bytes = randomBytes(2 * MIB)
    void client(server.port).then((socket) => socket.end(bytes))
    for await (const connection of server) {
      const hash = createHash('sha256')
      for await (const chunk of connection) hash.update(chunk.bytes)
      expect(hash.digest('hex')).toBe(digest(bytes))
      break
    }
    expect(server.census().user).toBe(0)
  })

  it('holds its peers up while buffers are kept, goes on when they are back, and tells who keeps them', async () => {
    const account = await serve({ areaBytes: 256 * KIB, bufferBytes: 4096 })
    account.keeps = true
    const held = new Promise<zcrx.HeldBuffers>((resolve) =>
      // It may come by when only the first of them are there.
      account.server.onHeld(20, (report) => report.buffers === 64 && resolve(report)),
    )
    const bytes = randomBytes(8 * MIB)
    const peer = await client(account.server.port)
    peer.end(bytes)
    await account.until(() => account.kept.length === 64)
    const report = await held
    const [stream] = [...account.streams.values()] as [Stream]
    expect(report.buffers).toBe(64)
    expect(report.holders).toMatchObject([{ connection: stream.connection, buffers: 64 }])
    expect(report.oldestMs).toBeGreaterThanOrEqual(20)
    account.server.onHeld(0, null)
    expect(account.server.census()).toMatchObject({ total: 64, user: 64, fill: 0 })
    // None is free: nothing may go round and round meanwhile.
    const before = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(80)
    account.keeps = false
    for (const [connection, offset] of account.kept.splice(0)) {
      connection.release(offset)
      // Given back twice is given back once.
      connection.release(offset)
    }
    await account.until(() => account.ended.length === 1)
    expect([stream.bytes, stream.hash.digest('hex')]).toEqual([bytes.length, digest(bytes)])
    await settled(account)
  })

  it('resets, is reset, and takes unread data for a reset', async () => {
    const account = await serve()
    const { port } = account.server
    const reset = async (socket: Socket): Promise<unknown> => {
      const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
      return error.code
    }
    const one = await client(port)
    await account.until(() => account.streams.size === 1)
    const [first] = [...account.streams.values()] as [Stream]
    const told = reset(one)
    first.connection.reset()
    expect(await told).toBe('ECONNRESET')
    const two = await client(port)
    await account.until(() => account.streams.size === 2)
    two.resetAndDestroy()
    await account.until(() => account.ended.some(({ errno }) => errno === 104))
    account.keeps = true
    const three = await client(port)
    three.write('unread')
    await account.until(() => account.kept.length === 1)
    const unread = reset(three)
    three.write(Buffer.alloc(MIB))
    await account.server.close()
    expect(await unread).toBe('ECONNRESET')
    expect(account.server.openConnections).toBe(0)
  })

  it('leaves its port at once, to whoever comes next', async () => {
    const account = await serve()
    const { port } = account.server
    await client(port)
    await account.until(() => account.streams.size === 1)
    await expect(serve({ port })).rejects.toThrow(`listen on 127.0.0.1:${port}: EADDRINUSE`)
    for (let i = 0; i < 5; i++) {
      await account.server.close()
      account.server = await zcrx.createServer({
        device: 'linux:',
        port,
        listenOn: '127.0.0.1',
        handler: account,
      })
    }
    await account.server.close()
    await expect(client(port)).rejects.toThrow('ECONNREFUSED')
  })

  it('serves a thousand connections', async () => {
    const account = await serve({ areaBytes: 16 * MIB })
    const script = fileURLToPath(new URL('../support/crowd.mjs', import.meta.url))
    const child = spawn(process.execPath, [script, String(account.server.port), '1000', '20000'])
    ends.push(() => child.kill())
    await account.until(() => account.ended.length === 1000)
    const expected = digest(Buffer.alloc(20_000, 'crowd'))
    const digests = new Set(account.ended.map(({ hash, errno }) => `${errno} ${hash.digest('hex')}`))
    expect([...digests]).toEqual([`0 ${expected}`])
    await settled(account)
  })

  it('listens at IPv6, at several places, and with options of sockets', async () => {
    const account = await serve({
      listen: [
        { address: '::1', port: 0 },
        { address: '127.0.0.1', port: 0 },
        { address: '::', port: 0 },
        { port: 0 },
      ],
      noDelay: true,
      keepAlive: 5000,
      userTimeoutMs: 10_000,
      backlog: 5,
    })
    const { ports, listening } = account.server
    expect(new Set(ports).size).toBe(4)
    expect(listening).toContain(`[::1]:${ports[2]}`)
    expect(listening).not.toContain(`127.0.0.1:${ports[2]}`)
    expect(listening).toContain(`127.0.0.1:${ports[3]}`)
    for (const [i, host] of [
      [0, '::1'],
      [1, '127.0.0.1'],
      [2, '::1'],
      [3, '127.0.0.1'],
    ] as const) {
      const socket = await client(ports[i]!, host)
      socket.end('x')
    }
    await account.until(() => account.ended.length === 4)
    const from = account.ended.map(({ connection }) => connection.remoteAddress).sort()
    expect(from).toEqual(['127.0.0.1', '127.0.0.1', '::1', '::1'])
  })

  it('is one of several of a host, with clients beside', async () => {
    const host = await zcrx.openHost({ device: 'linux:' })
    ends.push(() => host.close())
    const [one, two] = [new Account(), new Account()]
    for (const account of [one, two]) {
      account.server = await zcrx.createServer({ host, port: 0, handler: account })
      ends.push(() => account.server.close())
    }
    const bytes = randomBytes(MIB)
    for (const account of [one, two]) {
      for (const _ of [0, 1]) {
        const sender = await host.connect({ host: '127.0.0.1', port: account.server.port })
        expect(sender.localPort).toBeGreaterThan(0)
        await sender.send(bytes)
        sender.close()
      }
      await account.until(() => account.ended.length === 2)
      expect(account.ended.map(({ hash }) => hash.digest('hex'))).toEqual([digest(bytes), digest(bytes)])
    }
  })

  it('ends with its thread, and nothing of it is left', async () => {
    const worker = new Worker(fileURLToPath(new URL('../support/child.mjs', import.meta.url)), {
      argv: [fileURLToPath(new URL('../support/linux-server-thread.ts', import.meta.url))],
    })
    const [port] = (await once(worker, 'message')) as [number]
    const peer = await client(port)
    peer.write('hello')
    await once(worker, 'message')
    const over = once(peer, 'close')
    peer.on('error', () => {})
    peer.resume()
    await worker.terminate()
    peer.end()
    await over
    await expect(client(port)).rejects.toThrow('ECONNREFUSED')
  })

  it('refuses what is about a stack of ours', async () => {
    const handler = new Account()
    const refused = (options: Partial<zcrx.ServerOptions>) =>
      expect(zcrx.createServer({ device: 'linux:', port: 0, handler, ...options })).rejects
    await refused({ workers: 2 }).toThrow('need no workers')
    await refused({ address: '192.0.2.1/24', ownAddress: true }).toThrow('address is about a stack of ours')
    await refused({ tcp: {} }).toThrow('tcp is about a stack of ours')
    await refused({ backend: 'zcrx' }).toThrow('no other back end than Linux')
    await refused({ device: 'memory:a', backend: 'linux' }).toThrow(
      /not one of Linux’s own rings.*linux:eth0\/5/,
    )
    await refused({ device: 'linux:lo' }).toThrow('names no queue')
    await refused({ device: 'linux:lo/0-3' }).toThrow('names 4 queues')
    await refused({ device: 'linux:lo/0' }).toThrow(/EOPNOTSUPP|EPERM|EINVAL/)
    await refused({ device: 'linux:?netns=x' }).toThrow('ip netns exec')
    await refused({ listenOn: '192.0.2.77' }).toThrow('none of the addresses')
    await refused({ bufferBytes: 5000 }).toThrow('power of two')
  })

  it('connects to where somebody listens, and says where nobody does', async () => {
    const there = netServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await once(there, 'listening')
    const { port } = there.address() as { port: number }
    const sender = await zcrx.connect({ device: 'linux:', host: '127.0.0.1', port })
    await sender.send(randomBytes(100))
    sender.close()
    there.close()
    await once(there, 'close')
    await expect(zcrx.connect({ device: 'linux:', host: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: '127.0.0.1',
      port,
    })
  })
})

if (linuxRingsObstacle !== '') it.skip(`servers on rings of Linux: ${linuxRingsObstacle}`, () => {})
