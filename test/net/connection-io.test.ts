import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Connection } from '../../net/connection.ts'
import { type Connected, connected, THERE } from '../support/connected.ts'
import { until } from '../support/server-pair.ts'

let pair: Connected
afterEach(() => pair.close())

/** All that comes, copied. */
async function read(connection: Connection): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const views of connection.batches()) for (const view of views) parts.push(view.slice())
  return Buffer.concat(parts)
}

describe('send', () => {
  it('resolves when the bytes may be changed, and those of small pieces at once', async () => {
    pair = await connected({}, { mtu: 9000 })
    const { near, there } = await pair.open()
    const expected: Buffer[] = []
    const reading = read(there)
    // One block, changed as soon as that may be.
    const block = Buffer.alloc(200_000)
    for (let i = 0; i < 10; i++) {
      block.fill(i)
      expected.push(Buffer.from(block))
      await near.send(block, { zeroCopy: i % 2 === 1 })
    }
    const small = Buffer.alloc(100)
    for (let i = 0; i < 300; i++) {
      small.fill(i)
      expected.push(Buffer.from(small))
      void near.send(small)
      small.fill(0xee)
    }
    near.close()
    expect(Buffer.compare(await reading, Buffer.concat(expected))).toBe(0)
    expect(near.bytesSent).toBe(2_000_000 + 30_000)
    expect(near.bytesWaiting).toBe(0)
  })

  it('keeps no more waiting than was said: a peer that does not read costs no more', async () => {
    pair = await connected({ sendBufferBytes: 300_000 })
    const { near, there } = await pair.open()
    near.pause()
    const block = randomBytes(100_000)
    const sends: Promise<void>[] = []
    let refused: unknown
    let taken = 0
    for (let i = 0; i < 500 && refused === undefined; i++) {
      try {
        sends.push(there.send(block).then(() => void taken++))
      } catch (error) {
        refused = error
      }
    }
    expect(refused).toMatchObject({ code: 'ZCRX_SEND_BUFFER' })
    expect(there.bytesWaiting).toBeLessThanOrEqual(400_000)
    // The connection goes on, and nothing is missing.
    const all = (async () => {
      near.resume()
      return read(near)
    })()
    await Promise.all(sends)
    expect(taken).toBe(sends.length)
    there.close()
    expect((await all).length).toBe(sends.length * block.length)
  })

  it('rejects when the connection ends before, and nobody has to look at that', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    near.pause()
    const lost = there.send(randomBytes(20 << 20))
    await until(() => there.bytesSent > 0)
    near.reset()
    await expect(lost).rejects.toMatchObject({
      name: 'ConnectionError',
      syscall: 'write',
      code: /ECONNRESET|EPIPE/,
    })
    await expect(there.send(randomBytes(1))).rejects.toMatchObject({ code: 'EPIPE' })
    expect(() => there.send('text' as never)).toThrow('only bytes can be sent')
  })
})

describe('batches', () => {
  it('have all that has arrived, in views that are joined where pieces lie side by side', async () => {
    pair = await connected({}, { placement: 'split', split: { size: 512 } } as object)
    const { near, there } = await pair.open()
    const data = randomBytes(500_000)
    void near.send(data).then(() => near.close())
    const got: Uint8Array[] = []
    let batches = 0
    for await (const views of there.batches()) {
      batches++
      for (const view of views) got.push(view.slice())
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(Buffer.compare(Buffer.concat(got), data)).toBe(0)
    expect(batches).toBeLessThan(200)
    await until(() => pair.server.census().user === 0)
    expect(pair.server.census().lost).toBe(0)
    expect(pair.server.stats().copiedBytes).toBe(0)
  })

  it('end with their signal, and close the connection; buffers go back', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const abort = new AbortController()
    const reading = (async () => {
      for await (const _ of there.batches({ signal: abort.signal }));
    })()
    await near.send(randomBytes(10_000))
    await until(() => there.bytesReceived === 10_000)
    abort.abort()
    await expect(reading).rejects.toMatchObject({ code: 'ABORT_ERR' })
    await there.closed
    expect(pair.server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
    expect(() => there.batches()).toThrow('reads this connection already')
  })

  it('give their buffers back when the consumer throws', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    void near.send(randomBytes(300_000))
    const reading = (async () => {
      for await (const _ of there.batches()) throw new Error('no more')
    })()
    await expect(reading).rejects.toThrow('no more')
    await there.closed
    expect(pair.server.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
  })
})

describe('a connection that nobody reads', () => {
  it('does not take the area from the others', async () => {
    pair = await connected({ areaBytes: 2 << 20, receiveBufferBytes: 64 << 10 })
    const idle = await Promise.all([pair.open(), pair.open(), pair.open()])
    for (const { near } of idle) void near.send(randomBytes(900_000))
    const { near, there } = await pair.open()
    const data = randomBytes(1_000_000)
    void near.send(data).then(() => near.close())
    expect(Buffer.compare(await read(there), data)).toBe(0)
    for (const { there: one } of idle) expect((await one.batches().next()).done).toBe(false)
  })
})

describe('a handler', () => {
  it('that forgets to say whether it is done ends its connection, the first time, and no other', async () => {
    const errors: unknown[] = []
    let bytes = 0
    pair = await connected({
      handler: {
        onData: (connection, _offset, length) => {
          if (connection.id === 1) return undefined as never
          bytes += length
          return true
        },
        onEnd: (connection) => connection.close(),
        onError: (_, error) => errors.push(error),
      },
    })
    const [one, two] = [
      await pair.far.connect({ host: THERE, port: pair.server.port }),
      await pair.far.connect({ host: THERE, port: pair.server.port }),
    ]
    await one.send(randomBytes(100))
    await two.send(randomBytes(100))
    await until(() => bytes === 100 && errors.length === 1)
    expect(errors[0]).toMatchObject({
      code: 'ZCRX_ARGUMENT',
      message: expect.stringContaining('onData returned undefined'),
    })
    await expect(read(one)).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(pair.server.census()).toMatchObject({ user: 0, lost: 0 })
    two.close()
  })
})

describe('a server', () => {
  it('ends connections that have been idle for long enough, and no others', async () => {
    pair = await connected({ idleTimeoutMs: 60 })
    const [quiet, busy] = [await pair.open(), await pair.open()]
    void quiet.there.toNode().on('error', () => {})
    const ended = expect(read(quiet.near)).rejects.toMatchObject({ code: 'ECONNRESET' })
    busy.there
      .toNode()
      .resume()
      .on('error', () => {})
    const timer = setInterval(() => void busy.near.send(Buffer.from('x')), 10)
    await ended
    expect(busy.there.closing).toBe(false)
    clearInterval(timer)
    await busy.there.closed
  })

  it('is closed by its signal, and by leaving its scope', async () => {
    const abort = new AbortController()
    pair = await connected({ signal: abort.signal })
    const closed = new Promise<void>((resolve) => pair.server.once('close', resolve))
    expect(pair.server.address()).toMatchObject({ address: THERE, family: 'IPv4' })
    abort.abort()
    await closed
    expect(pair.server.address()).toBeNull()
    await pair.server[Symbol.asyncDispose]()
    await expect(connected({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORT_ERR' })
  })

  it('emits what happens to it, and an error of a listener ends that connection alone', async () => {
    pair = await connected({ handler: undefined as never })
    const events: string[] = []
    pair.server.on('listening', () => events.push('listening'))
    pair.server.on('connection', (connection) => {
      events.push(`connection ${connection.id}`)
      if (connection.id === 1) throw new Error('not this one')
    })
    const error = vi.fn()
    pair.server.on('error', error)
    const to = { host: THERE, port: pair.server.port }
    const [one] = [await pair.far.connect(to), await pair.far.connect(to)]
    await expect(read(one)).rejects.toMatchObject({ code: 'ECONNRESET' })
    await until(() => events.length === 3)
    expect(events).toEqual(['listening', 'connection 1', 'connection 2'])
    expect(error.mock.calls[0]).toMatchObject([{ message: 'not this one' }, { id: 1 }])
  })
})

describe('web streams', () => {
  it('carry bytes both ways, into memory of the reader’s too', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const echo = there.toWeb()
    const echoed = echo.readable.pipeTo(echo.writable)
    const { readable, writable } = near.toWeb()
    const data = randomBytes(400_000)
    const writer = writable.getWriter()
    const sent = writer.write(data).then(() => writer.close())
    const reader = readable.getReader({ mode: 'byob' })
    const parts: Uint8Array[] = []
    for (;;) {
      const { value, done } = await reader.read(new Uint8Array(30_000))
      if (done) break
      parts.push(value)
    }
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    await Promise.all([sent, echoed, near.closed, there.closed])
  })

  it('tell of a reset, and make one when they are aborted', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    const [a, b] = [near.toWeb(), there.toWeb()]
    const reading = b.readable.getReader().read()
    await a.writable.abort('enough')
    await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(b.writable.getWriter().write(randomBytes(1))).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})
