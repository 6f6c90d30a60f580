/** What was once wrong with connections, hosts and streams above the ring. */
import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { openHost } from '../../net/open.ts'
import { type Connected, connected, NEAR, THERE } from '../support/connected.ts'
import { turn, until } from '../support/server-pair.ts'

let pair: Connected | undefined
afterEach(async () => {
  await pair?.close()
  pair = undefined
})

async function nothingHeld({ server }: Connected): Promise<void> {
  await until(() => server.census().user + server.census().queued === 0)
  expect(server.census().lost).toBe(0)
}

describe('what waits unread when the peer resets', () => {
  it.each(['destroy', 'resetAndDestroy', 'return', 'cancel'])('goes back with %s', async (how) => {
    const own = await connected()
    pair = own
    const { near, there } = await own.open()
    const stream = how.startsWith('d') || how.startsWith('reset') ? there.toNode() : null
    stream?.on('error', () => {})
    const web = how === 'cancel' ? there.toWeb() : null
    const iterator = how === 'return' ? there.batches() : null
    void near.send(randomBytes(100_000))
    await until(() => there.bytesReceived === 100_000)
    near.reset()
    await until(() => there.streamEnded)
    if (how === 'destroy') stream!.destroy()
    if (how === 'resetAndDestroy') (stream as unknown as { resetAndDestroy(): void }).resetAndDestroy()
    await iterator?.return?.()
    await web?.readable.cancel().catch(() => {})
    if (web !== null) there.close()
    await nothingHeld(own)
  })
})

describe('an iteration', () => {
  it('that is aborted leaves with the loop what it has in hand', async () => {
    pair = await connected({ areaBytes: 1 << 20 })
    const [one, two] = [await pair.open(), await pair.open()]
    const abort = new AbortController()
    await one.near.send(Buffer.alloc(1000, 1))
    const iterator = one.there.batches({ signal: abort.signal })
    const { value } = await iterator.next()
    abort.abort()
    const reading = (async () => {
      for await (const _ of two.there.batches());
    })()
    for (let i = 0; i < 100; i++) await two.near.send(Buffer.alloc(2000, 2))
    two.near.close()
    await reading
    expect((value as Uint8Array[]).every((view) => view.every((byte) => byte === 1))).toBe(true)
    await expect(iterator.next()).rejects.toMatchObject({ code: 'ABORT_ERR' })
    await nothingHeld(pair)
  })

  it('that is left while a step waits is done, and stays so', async () => {
    pair = await connected()
    const { there } = await pair.open()
    const iterator = there.batches()
    const waiting = iterator.next()
    await iterator.return!()
    expect(await waiting).toEqual({ value: undefined, done: true })
    expect(await iterator.next()).toEqual({ value: undefined, done: true })
  })

  it('of a server ends for all who wait, whoever comes while it closes', async () => {
    const own = await connected()
    pair = own
    const iterator = own.server[Symbol.asyncIterator]()
    const waiting = [iterator.next(), iterator.next(), iterator.next()]
    const close = (): void => {
      unsubscribe('zcrx:connection:open', close)
      void own.server.close()
    }
    subscribe('zcrx:connection:open', close)
    const connecting = [1, 2, 3].map(() =>
      own.far.connect({ host: THERE, port: own.server.port }).catch(() => null),
    )
    const ends = await Promise.all(waiting)
    expect(ends.at(-1)?.done).toBe(true)
    await Promise.all(connecting)
  })
})

describe('send', () => {
  it('without a copy rejects when the bytes were thrown away', async () => {
    pair = await connected()
    const { near, there } = await pair.open()
    there.pause()
    await turn()
    const sending = near.send(randomBytes(3 << 20), { zeroCopy: true })
    await until(() => near.bytesSent > 0 || near.bytesWaiting > 0)
    near.reset()
    await expect(sending).rejects.toMatchObject({ name: 'ConnectionError' })
  })

  it('of small pieces waits for room too, and streams never run into the limit', async () => {
    pair = await connected({ sendBufferBytes: 64 << 10 })
    const { near, there } = await pair.open()
    const got = near.toNode({ allowHalfOpen: true })
    let bytes = 0
    got.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    for (let i = 0; i < 2000; i++) await there.send(Buffer.alloc(100, i))
    await until(() => bytes === 200_000)
    const other = await pair.open()
    let more = 0
    other.near.toNode().on('data', (chunk: Buffer) => {
      more += chunk.length
    })
    const stream = other.there.toNode()
    for (let i = 0; i < 40; i++) stream.write(Buffer.alloc(16_000))
    for (let i = 0; i < 1000; i++) stream.write('small')
    stream.end()
    await until(() => more === 645_000)
  })
})

describe('idleTimeoutMs', () => {
  it('holds for a connection that is closing and whose peer does not read', async () => {
    const own = await connected({ idleTimeoutMs: 80 })
    pair = own
    const { near, there } = await own.open()
    near.pause()
    void there.send(randomBytes(8 << 20)).catch(() => {})
    there.close()
    await there.closed
    expect(own.server.openConnections).toBe(0)
  })
})

describe('a host', () => {
  it('that is closed while somebody begins to listen has no dead server', async () => {
    const { b: device } = new MemoryLink()
    const host = await openHost({ device, address: THERE, ownAddress: true })
    const listening = host.listen({ port: 9000 })
    await Promise.all([host.close(), expect(listening).rejects.toThrow('closed')])
  })

  it('is opened once, however many ask while another closes', async () => {
    const { b: device } = new MemoryLink()
    const options = { device, address: NEAR, ownAddress: true }
    const first = await openHost(options)
    void first.close()
    const asked = await Promise.allSettled([openHost(options), openHost(options)])
    expect(asked.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    for (const one of asked) if (one.status === 'fulfilled') await one.value.close()
  })
})
