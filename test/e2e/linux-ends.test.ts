import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { connect, createServer as netServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it, vi } from 'vitest'
import * as zcrx from '../../index.ts'
import { LinuxSockets } from '../../uapi/backend/linux/sockets.ts'
import { linuxRingsObstacle } from '../support/linux-rings.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

async function serve(options: Partial<zcrx.ServerOptions>): Promise<zcrx.Server> {
  const server = await zcrx.createServer({
    device: 'linux:',
    port: 0,
    listenOn: '127.0.0.1',
    areaBytes: 1 << 20,
    ...options,
  })
  ends.push(() => server.close())
  return server
}

async function client(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  ends.push(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** A port that is taken, and a way to leave it. */
async function takenPort(): Promise<[number, () => Promise<unknown>]> {
  const taken = netServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  return [port, () => once(taken.close(), 'close')]
}

function sockets(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`)
      return link.startsWith('socket:') ? [link] : []
    } catch {
      return []
    }
  })
}

async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await sleep(1)
}

const IGNORING: zcrx.ConnectionHandler = { onData: () => true, onEnd: (connection) => connection.close() }

describe.skipIf(linuxRingsObstacle !== '')('on the machine’s own stack', () => {
  it('a server that can’t listen everywhere listens nowhere', async () => {
    const [port, leave] = await takenPort()
    const before = sockets().length
    const listen = [
      { address: '127.0.0.1', port: 0 },
      { address: '127.0.0.1', port },
    ]
    for (let i = 0; i < 3; i++)
      await expect(serve({ listen, handler: IGNORING })).rejects.toThrow('EADDRINUSE')
    expect(sockets().length).toBe(before)
    await leave()
  })

  it('a client that nobody answers leaves no socket behind', async () => {
    const [port, leave] = await takenPort()
    await leave()
    const before = sockets().length
    for (let i = 0; i < 3; i++)
      await expect(zcrx.connect({ device: 'linux:', host: '127.0.0.1', port })).rejects.toThrow(
        'connect ECONNREFUSED',
      )
    expect(sockets().length).toBe(before)
  })

  it('children have no connections of their parent’s', async () => {
    let connections = 0
    const handler = { ...IGNORING, onConnection: () => void connections++ }
    const server = await serve({ handler })
    const host = await zcrx.openHost({ device: 'linux:' })
    ends.push(() => host.close())
    for (let i = 0; i < 4; i++) await host.connect({ host: '127.0.0.1', port: server.port })
    await until(() => connections === 4)
    const options = { stdio: ['ignore', 'pipe', 'ignore'] as ['ignore', 'pipe', 'ignore'] }
    const list = execFileSync('sh', ['-c', 'ls -l /proc/self/fd'], options)
    // Its output is one, of the runtime's.
    const inherited = String(list).match(/socket:/g) ?? []
    expect(inherited.length).toBeLessThanOrEqual(1)
  })

  it('half-closing and closing at once half-closes nobody who has the descriptor next', async () => {
    const server = await serve({
      handler: {
        onData(connection, offset) {
          if (server.area[offset] === 0x41) {
            connection.end()
            connection.close()
          } else connection.send(new Uint8Array(10))
          return true
        },
        onEnd: (connection) => connection.close(),
      },
    })
    // An entry of the ring would be carried out by a thread of the kernel's, some time: how often that is too late is chance.
    const shutdown = vi.spyOn(LinuxSockets.prototype, 'shutdown')
    ends.push(() => shutdown.mockRestore())
    const end = performance.now() + 1500
    const brief = async (): Promise<void> => {
      while (performance.now() < end) {
        const socket = connect(server.port, '127.0.0.1').resume()
        socket.on('error', () => {})
        socket.write('A')
        await new Promise((resolve) => socket.once('close', resolve))
      }
    }
    let unanswered = 0
    const asking = async (): Promise<void> => {
      while (performance.now() < end) {
        const socket = await client(server.port)
        await sleep(2)
        socket.write('B')
        const [data] = await Promise.race([once(socket, 'data'), once(socket, 'end')])
        if (data === undefined) unanswered++
        socket.destroy()
      }
    }
    await Promise.all([...Array.from({ length: 16 }, brief), ...Array.from({ length: 16 }, asking)])
    expect(unanswered).toBe(0)
    expect(shutdown).toHaveBeenCalled()
  })

  it('each of many who found no buffer comes again', async () => {
    const heard = new Map<number, number>()
    const kept: [zcrx.Connection, number][] = []
    let keeps = true
    let connections = 0
    const server = await serve({
      areaBytes: 4096,
      bufferBytes: 4096,
      cqEntries: 256,
      handler: {
        onConnection: () => void connections++,
        onData(connection, offset) {
          heard.set(connection.remotePort, (heard.get(connection.remotePort) ?? 0) + 1)
          if (keeps) kept.push([connection, offset])
          return !keeps
        },
        onEnd: (connection) => connection.close(),
      },
    })
    const first = await client(server.port)
    first.write('first')
    await until(() => kept.length === 1)
    // The only buffer is out: it is the first to wait for it, and none of the others is received from either.
    first.write('more')
    await sleep(20)
    const others = await Promise.all(Array.from({ length: 600 }, () => client(server.port)))
    await until(() => connections === 601)
    await sleep(20)
    keeps = false
    for (const [connection, offset] of kept.splice(0)) connection.release(offset)
    await until(() => heard.get(first.localPort!) === 2)
    // One by one, the last first: nobody else brings a buffer back. Then all of them at once, more than completions fit.
    for (const socket of others.toReversed()) {
      socket.write('x')
      await until(() => heard.has(socket.localPort!))
    }
    for (const socket of others) socket.write('y')
    await until(() => others.every(({ localPort }) => heard.get(localPort!) === 2))
    expect(server.census()).toMatchObject({ total: 1, user: 0 })
  })

  it('who waits for a buffer can be closed and reset', async () => {
    const kept: [zcrx.Connection, number][] = []
    const all: zcrx.Connection[] = []
    const ended: number[] = []
    const server = await serve({
      areaBytes: 4096,
      bufferBytes: 4096,
      handler: {
        onConnection: (connection) => void all.push(connection),
        onData(connection, offset) {
          kept.push([connection, offset])
          return false
        },
        onEnd: (_connection, errno) => void ended.push(errno),
      },
    })
    const first = await client(server.port)
    first.write('first')
    await until(() => kept.length === 1)
    const others = [await client(server.port), await client(server.port)]
    for (const socket of others) socket.write('other')
    await until(() => all.length === 3)
    await sleep(10)
    all[1]!.close()
    all[2]!.reset()
    await until(() => server.openConnections === 1)
    expect(ended).toEqual([zcrx.ECANCELED, zcrx.ECANCELED])
    for (const [connection, offset] of kept.splice(0)) connection.release(offset)
  })

  it('who is reset while something is sent to him is told so', async () => {
    const ended: number[] = []
    const server = await serve({
      handler: {
        onConnection: (connection) => connection.send(new Uint8Array(32 << 20)),
        onData: () => true,
        onEnd: (_connection, errno) => void ended.push(errno),
      },
    })
    for (let i = 0; i < 20; i++) {
      const socket = await client(server.port)
      await once(socket, 'readable')
      await sleep(5)
      socket.resetAndDestroy()
      await until(() => ended.length > i)
    }
    expect(new Set(ended)).toEqual(new Set([zcrx.ECONNRESET]))
    await until(() => server.openConnections === 0)
  })

  it('has as many buffers as a ring of them takes, and whole ones', async () => {
    const server = await serve({ areaBytes: 64 << 20, bufferBytes: 1024, handler: IGNORING })
    expect(server.census()).toMatchObject({ total: 32_768, fill: 32_768 })
    await expect(serve({ bufferBytes: 0.5, handler: IGNORING })).rejects.toThrow('power of two')
    await expect(serve({ cqEntries: 64, handler: IGNORING })).rejects.toThrow(
      /256 entries and 64 for completions/,
    )
  })

  it('listens at whatever address Linux takes', async () => {
    const server = await serve({ listenOn: '127.0.0.2', handler: IGNORING })
    expect(server.listening).toEqual([`127.0.0.2:${server.port}`])
    await expect(serve({ listenOn: 'fe80::dead:beef:77', handler: IGNORING })).rejects.toThrow(
      /none of the addresses.*ip address add/,
    )
    const own = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.address.startsWith('fe80:'))
    if (own === undefined) return
    const linkLocal = await serve({ listenOn: own.address, handler: IGNORING })
    const scope = Object.entries(networkInterfaces()).find(([, all]) =>
      all?.some((one) => one === own || one.address === own.address),
    )![0]
    const socket = connect({ port: linkLocal.port, host: `${own.address}%${scope}` })
    await once(socket, 'connect')
    socket.destroy()
  })

  it('a thread that sleeps in the kernel can be ended, and others sleep as long as they are told', async () => {
    const worker = new Worker(beside('../support/child.mjs'), {
      argv: [beside('../support/linux-waiting-thread.ts')],
    })
    await once(worker, 'message')
    await sleep(50)
    await worker.terminate()
    const ring = zcrx.Ring.queueInit(8, new zcrx.LinuxHost())
    const start = performance.now()
    expect(ring.submitAndWaitTimeout(1, 450)).toBe(-zcrx.ETIME)
    expect(performance.now() - start).toBeGreaterThanOrEqual(449)
    // What was submitted is told, and its completion waited for.
    const timespec = ring.arena.take(16)
    new DataView(timespec.buffer, timespec.byteOffset).setBigInt64(8, 300_000_000n, true)
    ring.getSqe()!.prepNop().setData(1)
    ring.getSqe()!.prepTimeout(timespec).setData(2)
    expect(ring.submitAndWait(2)).toBe(2)
    expect(ring.cqReady()).toBe(2)
    ring.cqAdvance(2)
    expect(ring.submitAndWaitTimeout(1, 250)).toBe(-zcrx.ETIME)
    ring.queueExit()
    ring.arm(() => expect.fail('a closed ring calls nobody'))
  })

  it('a server has all descriptors that it takes, or is refused', () => {
    const args = [beside('../support/child.mjs'), beside('../support/linux-few-descriptors.ts')]
    const said = execFileSync(process.execPath, args, { encoding: 'utf8' })
    expect(said).toMatch(/^(refused\n){1,5}(opened\n){1,5}$/)
  })
})

if (linuxRingsObstacle !== '') it.skip(`ends on rings of Linux: ${linuxRingsObstacle}`, () => {})
