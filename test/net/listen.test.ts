/** Several listeners of a server, over memory. */
import { describe, expect, it, vi } from 'vitest'
import { parseIpv4 } from '../../address.ts'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { Server, ServerOptions } from '../../net/server.ts'
import { FIN, RST } from '../../stack/wire/tcp.ts'
import { AF_INET, SO_REUSEADDR, SOCK_STREAM, SockaddrIn, Sqe } from '../../uapi/abi/index.ts'
import { Host } from '../../uapi/backend/host.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { both, both as pairOf, turn } from '../support/server-pair.ts'
import { connect, createServer } from '../support/system.ts'

const handler = { onData: () => true, onEnd: (connection: { close(): void }) => connection.close() }

describe('a listener', () => {
  it('that is closed resets who waits to be accepted: nobody else would tell them', async () => {
    const { server, open, close, farewells } = await pairOf({})
    const client = await open(3)
    await client.send(0, new Uint8Array(1000))
    await client.end(0)
    await client.end(1)
    for (let i = 0; i < 20; i++) await turn()
    expect([server.openConnections, farewells.size]).toEqual([0, 0])
    await server.close()
    expect(farewells.size).toBe(3)
    await close()
  })
})

describe('a server', () => {
  it('that ends in the callback of the first of many tells each of them, those too that it accepts meanwhile', async () => {
    const peers = 40
    const link = new MemoryLink({ seed: 1 })
    const told = new Set<number>()
    const deliver = link.bToA.send.bind(link.bToA)
    link.bToA.send = (memory, offset, length) => {
      // A FIN or a RST: the port it goes to.
      if ((memory[offset + 47]! & (FIN | RST)) !== 0 && memory[offset + 23] === 6)
        told.add((memory[offset + 36]! << 8) | memory[offset + 37]!)
      deliver(memory, offset, length)
    }
    let server: Server | null = null
    server = await createServer({
      ...{ device: link.b, address: '192.0.2.1', ownAddress: true, areaBytes: 2 << 20, port: 9000 },
      handler: { ...handler, onConnection: () => void server?.close() },
    })
    // All at once, so that more wait than there are accepts.
    const host = Host.open({ device: link.a, address: '192.0.2.2', ownAddress: true })
    const ring = Ring.queueInit(64, host)
    for (let i = 0; i < peers; i++) ring.getSqe()!.prepSocket(AF_INET, SOCK_STREAM, 0)
    ring.submit()
    const sockaddr = SockaddrIn.of(parseIpv4('192.0.2.1')!, 9000)
    const fds: number[] = []
    ring.cqAdvance(ring.forEachCqe(({ res }) => fds.push(res)))
    for (const fd of fds) ring.getSqe()!.prepConnect(fd, sockaddr)
    ring.submit()
    for (let i = 0; i < 100 && told.size < peers; i++) {
      ring.getEvents()
      await turn()
    }
    expect(server.connectionCensus().closed).toBeGreaterThan(16)
    expect(told.size).toBe(peers)
    ring.queueExit()
    host.close()
  })
})

describe('a backlog', () => {
  it('of 511 is the default, and servers set SO_REUSEADDR', async () => {
    const listen = vi.spyOn(Sqe.prototype, 'prepListen')
    const set = vi.spyOn(Sqe.prototype, 'prepCmdSock')
    for (const backlog of [undefined, 7]) {
      const device = new MemoryLink({ seed: 1 }).b
      const options = {
        address: '192.0.2.1',
        ownAddress: true,
        areaBytes: 2 << 20,
        port: 9000,
        device,
        handler,
      }
      const server = await createServer({ ...options, ...(backlog === undefined ? {} : { backlog }) })
      await server.close()
    }
    expect(listen.mock.calls.map(([, backlog]) => backlog)).toEqual([511, 7])
    expect(set.mock.calls.filter(([, , , name]) => name === SO_REUSEADDR).length).toBe(2)
    set.mockRestore()
    listen.mockRestore()
  })
})

describe('several listeners', () => {
  const both = { address: ['192.0.2.1', '192.0.2.3', '2001:db8::1'], ownAddress: true, areaBytes: 2 << 20 }

  it('are told apart by address and port', async () => {
    const link = new MemoryLink({ seed: 1 })
    const server = await createServer({
      ...both,
      device: link.b,
      handler,
      listen: [
        { port: 9000 },
        { address: '192.0.2.3', port: 9001 },
        { address: '0.0.0.0', port: 9002 },
        { address: '::', port: 9003 },
        { port: 0 },
      ],
    })
    expect(server.ports).toEqual([9000, 9001, 9002, 9003, expect.any(Number)])
    expect(server.port).toBe(9000)
    expect(server.listening.slice(0, 7)).toEqual([
      '192.0.2.1:9000',
      '192.0.2.3:9000',
      '[2001:db8::1]:9000',
      '192.0.2.3:9001',
      '192.0.2.1:9002',
      '192.0.2.3:9002',
      '[2001:db8::1]:9003',
    ])
    const reached: string[] = []
    for (const remoteAddress of ['192.0.2.1', '192.0.2.3', '2001:db8::1'])
      for (const remotePort of server.ports) {
        const own = remoteAddress.includes(':') ? '2001:db8::2' : '192.0.2.2'
        const to = { device: link.a, address: own, ownAddress: true, remoteAddress, remotePort }
        await connect(to).then(
          (client) => {
            reached.push(`${remoteAddress} ${server.ports.indexOf(remotePort)}`)
            client.close()
          },
          (error: Error) => expect(error.message).toContain('ECONNREFUSED'),
        )
      }
    expect(reached).toEqual([
      '192.0.2.1 0',
      '192.0.2.1 2',
      '192.0.2.1 4',
      '192.0.2.3 0',
      '192.0.2.3 1',
      '192.0.2.3 2',
      '192.0.2.3 4',
      '2001:db8::1 0',
      '2001:db8::1 3',
      '2001:db8::1 4',
    ])
    await server.close()
  })

  it('are iterated together, whichever a connection comes to', async () => {
    const link = new MemoryLink({ seed: 1 })
    const listen = [{ port: 9000 }, { port: 9001 }]
    const server = await createServer({ ...both, device: link.b, listen })
    const seen: number[] = []
    const all = (async () => {
      for await (const connection of server) {
        seen.push(connection.id)
        connection.close()
      }
    })()
    for (const [i, remotePort] of [9001, 9001, 9000, 9001, 9000].entries()) {
      const to = { address: '192.0.2.2', ownAddress: true, remoteAddress: '192.0.2.1', remotePort }
      const client = await connect({ ...to, device: link.a })
      await expect.poll(() => seen.length).toBe(i + 1)
      client.close()
    }
    expect(seen).toEqual([1, 2, 3, 4, 5])
    await server.close()
    await all
  })

  it('say what is wrong with them', async () => {
    const open = (options: Partial<ServerOptions>) =>
      createServer({ ...both, device: new MemoryLink({ seed: 1 }).b, handler, ...options })
    await expect(open({})).rejects.toMatchObject({ code: 'ZCRX_ARGUMENT' })
    await expect(open({ listen: [{ port: 70_000 }] })).rejects.toMatchObject({ code: 'ZCRX_ARGUMENT' })
    await expect(open({ listen: [{ port: 1, address: 'x' }] })).rejects.toMatchObject({
      code: 'ZCRX_ARGUMENT',
    })
    await expect(open({ listen: [{ port: 9000 }, { port: 9000 }] })).rejects.toThrow('EADDRINUSE')
    await expect(open({ listen: [{ port: 1, address: '192.0.2.9' }] })).rejects.toMatchObject({
      code: 'ZCRX_ADDRESS_NOT_AVAILABLE',
      errno: 99,
    })
  })
})

describe('a server that is iterated', () => {
  it('serves all who wait at once, though their connections come to one of several listeners', async () => {
    const { server, open, close } = await both({ listen: [{ port: 9000 }, { port: 9001 }] })
    const iterator = server[Symbol.asyncIterator]()
    const waiting = [iterator.next(), iterator.next(), iterator.next()]
    await open(3)
    const found = await Promise.all(waiting)
    expect(found.map(({ done }) => done)).toEqual([false, false, false])
    await close()
  })
})
