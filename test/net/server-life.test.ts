import { describe, expect, it } from 'vitest'
import type { Connection } from '../../net/connection.ts'
import type { ConnectionHandler, Server } from '../../net/server.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { both, collector, turn, until } from '../support/server-pair.ts'

const NOBODY = { open: 0, ended: 0, closing: 0, lost: 0 }

/** The next uncaught error of this process, instead of its end. */
function uncaught(): Promise<unknown> {
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  return new Promise((resolve) => {
    process.once('uncaughtException', (error) => {
      for (const listener of others) process.on('uncaughtException', listener)
      resolve(error)
    })
  })
}

describe('buffers that were released', () => {
  it('all go back at once, a refill queue after the other', async () => {
    const kept: number[] = []
    let connection!: Connection
    const { server, open, close } = await both({
      areaBytes: 1 << 20,
      rqEntries: 4,
      handler: {
        onConnection: (one) => {
          connection = one
        },
        onData: (_connection, offset) => {
          kept.push(offset)
          return false
        },
        onEnd: (one) => one.close(),
      },
    })
    const client = await open()
    void client.send(0, bytesOf(150_000))
    await until(() => connection?.bytesReceived === 150_000)
    for (const offset of kept) connection.release(offset)
    expect(kept.length).toBeGreaterThan(50)
    for (let i = 0; i < 3; i++) await turn()
    expect(server.census()).toMatchObject({ user: 0, lost: 0 })
    await close()
  })

  it('do not stall a transfer when the refill queue has four entries', async () => {
    const got = collector(1)
    const { server, open, close } = await both({ areaBytes: 1 << 20, rqEntries: 4, handler: got.handler })
    got.use(server)
    const client = await open()
    const data = bytesOf(3_000_000)
    await client.send(0, data)
    await client.end(0)
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    await until(() => server.census().user === 0)
    await close()
  })
})

describe('a connection', () => {
  it('that is closed without having been iterated gives its buffers back, and resets its peer', async () => {
    const { server, open, close } = await both()
    for (let peer = 0; peer < 20; peer++) {
      const client = await open()
      await client.send(0, bytesOf(40_000))
      const { value } = await server[Symbol.asyncIterator]().next()
      const connection: Connection = value
      await until(() => connection.bytesReceived === 40_000)
      expect(server.census().user).toBeGreaterThan(0)
      connection.close()
      await until(() => server.census().user === 0)
      await expect(
        (async () => {
          for (let i = 0; i < 50; i++) await client.send(0, bytesOf(100_000))
        })(),
      ).rejects.toThrow(/ECONNRESET|EPIPE/)
    }
    await until(() => server.openConnections === 0)
    expect(server.connectionCensus()).toEqual({ ...NOBODY, accepted: 20, closed: 20 })
    await close()
  })

  it('that its peer reset is given back, whether the program closes it or not', async () => {
    const errnos: number[] = []
    const { server, open, close, reset } = await both({
      handler: { onData: () => true, onEnd: (_connection, errno) => void errnos.push(errno) },
    })
    for (let peer = 1; peer <= 5; peer++) {
      const client = await open()
      await client.send(0, bytesOf(1000))
      await until(() => server.stats().zeroCopiedBytes === peer * 1000)
      for (let i = 0; i < 10; i++) await turn()
      reset()
      await until(() => errnos.length === peer)
    }
    expect(errnos).toEqual([104, 104, 104, 104, 104])
    await until(() => server.openConnections === 0)
    expect(server.connectionCensus()).toEqual({ ...NOBODY, accepted: 5, closed: 5 })
    await close()
  })

  it('that is reset by the program sends a reset, also behind a close that waits for a peer which does not read', async () => {
    for (const early of [true, false]) {
      const got = collector(1)
      let connection!: Connection
      const { server, open, close, farewells } = await both({
        handler: {
          ...got.handler,
          onConnection: (one) => {
            connection = one
          },
        },
      })
      got.use(server)
      const client = await open()
      await client.send(0, bytesOf(1000))
      await until(() => connection?.bytesReceived === 1000)
      if (!early) {
        connection.send(bytesOf(20 << 20))
        connection.close()
        for (let i = 0; i < 50; i++) await turn()
        expect(server.connectionCensus()).toMatchObject({ closing: 1, open: 0 })
      }
      expect(farewells.size).toBe(0)
      connection.reset()
      connection.reset()
      await until(() => server.openConnections === 0)
      expect(farewells.size).toBe(1)
      // The reset is on its way.
      const sends = async (): Promise<void> => {
        for (let i = 0; i < 20; i++) await client.send(0, bytesOf(1000))
      }
      await expect(sends()).rejects.toThrow(/ECONNRESET|EPIPE/)
      await close()
    }
  })

  it('may be closed and reset from any callback, itself and others', async () => {
    for (const where of ['onConnection', 'onData', 'onEnd'] as const) {
      for (const how of ['close', 'reset'] as const) {
        const all: Connection[] = []
        const ends = new Set<Connection>()
        const act = (): void => {
          for (const connection of all) connection[how]()
        }
        const handler: ConnectionHandler = {
          onConnection: (connection) => {
            all.push(connection)
            if (where === 'onConnection') act()
          },
          onData: () => {
            if (where === 'onData') act()
            return true
          },
          onEnd: (connection) => {
            expect(ends.has(connection)).toBe(false)
            ends.add(connection)
            if (where === 'onEnd') act()
          },
        }
        const { server, open, close } = await both({ handler })
        const client = await open(3)
        for (const flow of [0, 1, 2]) {
          // Whom the first has closed hears of it here.
          await client.send(flow, bytesOf(5000)).catch(() => {})
          await client.end(flow).catch(() => {})
        }
        await until(() => server.openConnections === 0 && all.length === 3)
        expect(ends.size).toBe(3)
        expect(server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
        await close()
      }
    }
  })
})

describe('a server', () => {
  it('may be closed from outside while a callback closes it too', async () => {
    let used: Server | null = null
    const inner: Promise<void>[] = []
    const onEnd = (): void => void inner.push(used!.close())
    const { server, open, close } = await both({ handler: { onData: () => true, onEnd } })
    used = server
    await open(2)
    await until(() => server.openConnections === 2)
    await expect(server.close()).resolves.toBeUndefined()
    await expect(Promise.all(inner)).resolves.toBeDefined()
    expect([inner.length, server.connectionCensus().lost]).toEqual([2, 0])
    await close()
  })

  it('may be closed from any callback', async () => {
    for (const where of ['onConnection', 'onData', 'onEnd', 'onError'] as const) {
      let server!: Server
      let closing: Promise<void> | undefined
      let dataAfter = 0
      const errnos: number[] = []
      const act = (): void => {
        closing = server.close()
      }
      const handler: ConnectionHandler = {
        onConnection: () => {
          if (where === 'onConnection') act()
        },
        onData: () => {
          if (closing !== undefined) dataAfter++
          if (where === 'onError') throw new Error('of the program')
          if (where === 'onData' && closing === undefined) act()
          return true
        },
        onEnd: (_connection, errno) => {
          errnos.push(errno)
          if (where === 'onEnd') act()
        },
        onError: () => act(),
      }
      const pair = await both({ handler })
      server = pair.server
      const flows = where === 'onConnection' ? 1 : 2
      const client = await pair.open(flows)
      for (let flow = 0; flow < flows; flow++) {
        await client.send(flow, bytesOf(100_000)).catch(() => {})
        await client.end(flow).catch(() => {})
      }
      await until(() => closing !== undefined)
      await closing
      await server.close()
      expect(dataAfter).toBe(0)
      expect(errnos.length).toBe(server.stats().connections)
      expect(server.openConnections).toBe(0)
      await pair.close()
    }
  })

  it('ends the connection whose callback threw, tells the program, and serves the others', async () => {
    for (const where of ['onConnection', 'onData', 'onEnd'] as const) {
      for (const told of [true, false]) {
        const errors: unknown[] = []
        let good = 0
        const trouble = new Error(`thrown in ${where}`)
        const bad = (connection: Connection): void => {
          if (connection.id === 1) throw trouble
        }
        const handler: ConnectionHandler = {
          onConnection: (connection) => {
            if (where === 'onConnection') bad(connection)
          },
          onData: (connection, _offset, length) => {
            if (where === 'onData') bad(connection)
            if (connection.id === 2) good += length
            return true
          },
          onEnd: (connection) => {
            if (where === 'onEnd') bad(connection)
            connection.close()
          },
          ...(told ? { onError: (_connection, error) => void errors.push(error) } : {}),
        }
        const { server, open, close, farewells } = await both({ handler })
        const caught = told ? null : uncaught()
        const client = await open(2)
        await client.send(0, bytesOf(1000)).catch(() => {})
        await client.end(0).catch(() => {})
        if (told) await until(() => errors.length > 0)
        else expect(await caught).toBe(trouble)
        if (told) expect(errors).toEqual([trouble])
        await client.send(1, bytesOf(500_000))
        await client.end(1)
        await until(() => good === 500_000 && server.openConnections === 0)
        expect(farewells.size).toBe(2)
        expect(server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
        await close()
      }
    }
  })

  it('goes on when who is told of kept buffers throws', async () => {
    const got = collector(1)
    const { server, open, close } = await both({ handler: { ...got.handler, onData: () => false } })
    const client = await open()
    await client.send(0, bytesOf(10_000))
    const trouble = new Error('of the program')
    server.onHeld(5, () => {
      server.onHeld(0, null)
      throw trouble
    })
    expect(await uncaught()).toBe(trouble)
    await client.end(0)
    await got.done
    await close()
  })

  it('that is iterated accepts as many as the program takes; the backlog bounds the others', async () => {
    const { server, open, close } = await both({ backlog: 4 })
    let opened = false
    void open(12).then(
      () => {
        opened = true
      },
      // The server ends first.
      () => {},
    )
    for (let i = 0; i < 300; i++) await turn()
    expect(server.stats().connections).toBe(0)
    expect(opened).toBe(false)
    const iterator = server[Symbol.asyncIterator]()
    const first = await Promise.all([iterator.next(), iterator.next(), iterator.next()])
    expect(first.map(({ value }) => (value as Connection).id)).toEqual([1, 2, 3])
    for (let i = 0; i < 50; i++) await turn()
    expect(server.connectionCensus()).toEqual({ ...NOBODY, accepted: 3, open: 3, closed: 0 })
    expect(opened).toBe(false)
    await close()
  })

  it('that its peer resets before anybody iterates it gives its buffers back', async () => {
    const { server, open, close, reset } = await both()
    const client = await open()
    await client.send(0, bytesOf(1000))
    const { value } = await server[Symbol.asyncIterator]().next()
    await until(() => (value as Connection).bytesReceived === 1000)
    for (let i = 0; i < 10; i++) await turn()
    reset()
    await until(() => server.openConnections === 0)
    await until(() => server.census().user === 0)
    const step = (value as Connection)[Symbol.asyncIterator]().next()
    await expect(step).rejects.toMatchObject({ code: 'ECONNRESET' })
    await close()
  })

  it('that is asked for several pieces at once gives all of them back', async () => {
    const { server, open, close } = await both()
    const client = await open()
    const { value } = await server[Symbol.asyncIterator]().next()
    const pieces = (value as Connection)[Symbol.asyncIterator]()
    const asked = [pieces.next(), pieces.next(), pieces.next()]
    await client.send(0, bytesOf(40_000))
    await Promise.all(asked)
    await pieces.return!()
    await until(() => server.census().user === 0)
    await close()
  })

  it('refuses to send what is no bytes, and goes on', async () => {
    const { server, open, close } = await both()
    const client = await open()
    const connection = (await server[Symbol.asyncIterator]().next()).value as Connection
    for (const wrong of ['text', null, undefined, [1], new ArrayBuffer(2)])
      expect(() => connection.send(wrong as unknown as Uint8Array)).toThrow(/only bytes/)
    connection.close()
    await client.end(0)
    await until(() => server.openConnections === 0)
    await close()
  })
})
