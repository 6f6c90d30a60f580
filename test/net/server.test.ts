import { describe, expect, it, vi } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { Connection } from '../../net/connection.ts'
import type { HeldBuffers } from '../../net/server.ts'
import { Tcp } from '../../stack/tcp/tcp.ts'
import { ACK, FIN, SYN } from '../../stack/wire/tcp.ts'
import { buildFrame } from '../support/raw-peer.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { both, collector, turn, until } from '../support/server-pair.ts'
import { createServer } from '../support/system.ts'

describe('a server', () => {
  it('delivers streams to callbacks, in place, and gives every buffer back', async () => {
    const got = collector(3)
    const { server, open, close } = await both({ handler: got.handler })
    got.use(server)
    const client = await open(3)
    const data = [1, 2, 3].map((seed) => bytesOf(300_000, seed))
    await Promise.all(
      data.map(async (bytes, flow) => {
        await client.send(flow, bytes)
        await client.end(flow)
      }),
    )
    await got.done
    const sorted = [1, 2, 3].map((id) => got.bytes(id))
    for (const bytes of data) expect(sorted.some((other) => Buffer.compare(other, bytes) === 0)).toBe(true)
    expect(got.errnos).toEqual([0, 0, 0])
    await until(() => server.census().user === 0)
    expect(server.census()).toMatchObject({ queued: 0, lost: 0 })
    expect(server.stats()).toMatchObject({ connections: 3, zeroCopiedBytes: 900_000 })
    await close()
  })

  it('delivers all of a long queue that a late segment completes, and the end behind it', async () => {
    const got = collector(1)
    const wire = new MemoryLink({ seed: 1 })
    let theirs = 0
    const answer = wire.bToA.send.bind(wire.bToA)
    wire.bToA.send = (memory, offset, length) => {
      if ((memory[offset + 47]! & SYN) !== 0) theirs = new DataView(memory.buffer).getInt32(offset + 38)
      answer(memory, offset, length)
    }
    const device = wire.b
    const { handler } = got
    const server = await createServer({ device, address: '192.0.2.2', ownAddress: true, port: 9000, handler })
    got.use(server)
    wire.a.inject(buildFrame({ seq: 1000, flags: SYN }))
    await until(() => theirs !== 0)
    const data = bytesOf(900 * 40)
    const send = (i: number): void => {
      const flags = i === 899 ? ACK | FIN : ACK
      const payload = data.subarray(i * 40, i * 40 + 40)
      wire.a.inject(buildFrame({ seq: 1001 + i * 40, ack: theirs + 1, flags, payload }))
    }
    // More pieces than a request delivers at a turn, and nothing comes behind the one that completes them.
    for (let i = 1; i < 900; i++) send(i)
    await until(() => server.census().queued > 800)
    send(0)
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    expect(got.errnos).toEqual([0])
    await server.close()
  })

  it('is iterated: connections, their chunks, and the end of the stream', async () => {
    const { server, open, close } = await both()
    const client = await open()
    const data = bytesOf(500_000)
    const sending = client.send(0, data).then(() => client.end(0))
    const parts: Uint8Array[] = []
    for await (const connection of server) {
      for await (const chunk of connection) parts.push(chunk.bytes.slice())
      break
    }
    await sending
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    await until(() => server.census().user === 0)
    await close()
  })

  it('keeps buffers that onData kept until they are released; the sender stalls meanwhile and nothing is lost', async () => {
    const kept: number[] = []
    const copies: [offset: number, bytes: Uint8Array][] = []
    let connection: Connection | undefined
    let holding = true
    const got = collector(1, (offset, length) => {
      if (holding) kept.push(offset)
      if (holding) copies.push([offset, server.area.slice(offset, offset + length)])
      return holding
    })
    const { server, open, close } = await both({
      handler: { ...got.handler, onConnection: (c) => (connection = c) },
      areaBytes: 64 * 4096,
    })
    got.use(server)
    const client = await open()
    const data = bytesOf(1_000_000)
    const sending = client.send(0, data).then(() => client.end(0))
    await until(() => kept.length >= 20)
    for (let i = 0; i < 200; i++) await turn()
    expect(server.census()).toMatchObject({ lost: 0 })
    const { user, queued } = server.census()
    const buffers = new Set(kept.map((offset) => offset >>> 12)).size
    // Small payloads share a buffer: the last may hold one that is still queued, and counts there.
    expect([0, Math.min(1, queued)]).toContain(buffers - user)
    // A sender that was kept waiting may ask again; nothing else may be dropped.
    expect({ ...server.stats().drops, duplicate: 0 }).toEqual({ duplicate: 0 })
    const held = await new Promise<HeldBuffers>((resolve) => server.onHeld(20, resolve))
    expect(held.holders.map((holder) => holder.connection)).toEqual([connection])
    expect(held.buffers).toBeGreaterThan(10)
    server.onHeld(0, null)
    holding = false
    for (const [offset, bytes] of copies)
      expect(Buffer.compare(bytes, server.area.subarray(offset, offset + bytes.length))).toBe(0)
    for (const offset of kept) connection!.release(offset)
    await sending
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    await until(() => server.census().user === 0)
    await close()
  })

  it('goes on after ENOSPC with a completion queue of a few entries, byte for byte', async () => {
    const got = collector(1)
    const { server, open, close } = await both({ handler: got.handler, cqEntries: 256 })
    got.use(server)
    const client = await open()
    const data = bytesOf(2_000_000)
    await client.send(0, data)
    await client.end(0)
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    await until(() => server.census().user === 0)
    await close()
  })

  it('resets a peer whose stream is left early, and gives the unread buffers back', async () => {
    const { server, open, close } = await both()
    const client = await open()
    await client.send(0, bytesOf(200_000))
    for await (const connection of server) {
      for await (const chunk of connection) {
        expect(chunk.bytes.length).toBeGreaterThan(0)
        break
      }
      break
    }
    await expect(
      (async () => {
        for (let i = 0; i < 200; i++) await client.send(0, bytesOf(100_000))
      })(),
    ).rejects.toThrow(/ECONNRESET|EPIPE/)
    await until(() => server.census().user === 0)
    expect(server.census()).toMatchObject({ queued: 0, lost: 0 })
    await close()
  })

  it('tells of a peer that resets: by callback with the errno, by iteration with an error', async () => {
    for (const style of ['callback', 'iteration']) {
      const got = collector(1)
      const { server, open, close, reset } = await both(style === 'callback' ? { handler: got.handler } : {})
      got.use(server)
      const client = await open()
      await client.send(0, bytesOf(1000))
      const accepted = style === 'callback' ? null : await server[Symbol.asyncIterator]().next()
      await until(() => server.stats().zeroCopiedBytes === 1000)
      reset()
      if (accepted === null) {
        await got.done
        expect(got.errnos).toEqual([104])
        expect(got.bytes(1).length).toBe(1000)
      } else {
        let bytes = 0
        const connection: Connection = accepted.value
        const reading = (async () => {
          for await (const chunk of connection) bytes += chunk.bytes.length
        })()
        await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET', errno: -104 })
        expect(bytes).toBe(1000)
      }
      await until(() => server.census().user === 0)
      await close()
    }
  })

  it('closes with connections open and sends waiting: peers hear of it, iterations end, buffers are counted', async () => {
    const { server, open, close, farewells } = await both()
    const client = await open(2)
    await client.send(0, bytesOf(10_000))
    const ended: string[] = []
    const serving = (async () => {
      for await (const connection of server) {
        connection.send(bytesOf(5 << 20))
        void (async () => {
          try {
            for await (const _chunk of connection) await turn()
            ended.push('end')
          } catch (error) {
            ended.push((error as NodeJS.ErrnoException).code!)
          }
        })()
      }
    })()
    await until(() => server.stats().connections === 2)
    for (let i = 0; i < 50; i++) await turn()
    await server.close()
    await serving
    await until(() => ended.length === 2)
    expect(ended).toEqual(['ECANCELED', 'ECANCELED'])
    // Each peer was sent a FIN or a RST.
    expect(farewells.size).toBe(2)
    await close()
  })

  it('half-closes behind what was sent, and goes on receiving (RFC 9293 3.6)', async () => {
    const got = collector(1)
    const { server, open, close, farewells } = await both({
      handler: {
        ...got.handler,
        onConnection: (connection) => {
          connection.send(bytesOf(50_000))
          connection.end()
          connection.send(bytesOf(10))
        },
      },
    })
    got.use(server)
    const client = await open()
    await until(() => farewells.size === 1)
    const data = bytesOf(100_000, 7)
    await client.send(0, data)
    await client.end(0)
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    expect(got.errnos).toEqual([0])
    await close()
  })

  it('asks for the socket options it was given', async () => {
    const listen = vi.spyOn(Tcp.prototype, 'listen')
    const { close } = await both({ noDelay: true, keepAlive: 30_000, userTimeoutMs: 5000, fastOpen: 3 })
    expect(listen.mock.calls[0]![3]).toMatchObject({
      noDelay: true,
      keepAlive: true,
      keepIdleUs: 30_000_000,
      userTimeoutUs: 5_000_000,
      fastOpen: 3,
    })
    listen.mockRestore()
    await close()
  })

  it('refuses a port that is none, and iteration beside a handler', async () => {
    await expect(both({ port: 70_000 })).rejects.toThrow(/65535/)
    const got = collector(1)
    const { server, close } = await both({ handler: got.handler })
    expect(() => server[Symbol.asyncIterator]()).toThrow(/handler/)
    await close()
    await close()
  })
})
