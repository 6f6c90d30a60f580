import { describe, expect, it } from 'vitest'
import type { PagePool } from '../../../stack/memory/page-pool.ts'
import { bytesOf } from '../../support/ring-pair.ts'
import { drain, type PairOptions, plainMemory, StackPair } from '../../support/stack-pair.ts'

/** The server's end splits; the client's is plain. */
function pairOf(options: PairOptions & { pack?: boolean; cache?: number } = {}): StackPair {
  const { pack = false, cache = 0, ...rest } = options
  return new StackPair({ ends: { b: { placement: 'split', split: { pack }, cache } }, ...rest })
}

/** Sends and lets it arrive. */
function send(
  pair: StackPair,
  tcb: Parameters<StackPair['client']['tcp']['send']>[0],
  bytes: Uint8Array,
): void {
  let rest = bytes
  while (rest.length > 0) {
    rest = rest.subarray(pair.client.tcp.send(tcb, rest, 0, pair.clock.now()))
    pair.runUntil(() => tcb.snd.buffered === 0, 60_000_000)
  }
}

describe('payload apart from its headers', () => {
  it.each<[string, PairOptions & { pack?: boolean }]>([
    ['a niov each', {}],
    ['packed', { pack: true }],
    ['IPv6', { version: 6, pack: true }],
    ['small MTU', { mtu: 576, pack: true }],
    ['large MTU', { mtu: 9000 }],
  ])('arrives where the NIC put it: %s', (_what, options) => {
    const pair = pairOf(options)
    const [client, server] = pair.open()
    const bytes = bytesOf(100_000)
    send(pair, client, bytes)
    expect(pair.server.counters.copiedBytes).toBe(0)
    expect(pair.server.counters.dropTcpChecksum).toBe(0)
    expect(pair.server.census().lost).toBe(0)
    expect(Buffer.compare(drain(pair.server, server), bytes)).toBe(0)
    pair.server.kick()
    const census = pair.server.census()
    expect([census.lost, census.user]).toEqual([0, 0])
    // What the NIC may still add to is all that is not free.
    expect(census.queued).toBeLessThanOrEqual(1)
  })

  it.each([false, true])('survives loss, duplicates, disorder and corruption (packed: %s)', (pack) => {
    for (const seed of [1, 2, 3, 4]) {
      const pair = pairOf({
        pack,
        seed,
        niovs: 256,
        impairments: { loss: 0.03, duplicate: 0.05, reorder: 0.1, corrupt: 0.02, delayUs: 200 },
      })
      const [client, server] = pair.open()
      const bytes = bytesOf(200_000, seed)
      const got: Uint8Array[] = []
      let sent = 0
      let received = 0
      const done = pair.runUntil(() => {
        if (sent < bytes.length)
          sent += pair.client.tcp.send(client, bytes.subarray(sent), 0, pair.clock.now())
        const some = drain(pair.server, server)
        received += some.length
        if (some.length > 0) got.push(some)
        pair.server.kick()
        expect(pair.server.census().lost).toBe(0)
        return received === bytes.length
      })
      expect(done).toBe(true)
      expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0)
      pair.settle()
      expect(pair.server.census()).toMatchObject({ lost: 0, user: 0 })
      expect(pair.server.census().queued).toBeLessThanOrEqual(1)
    }
  })

  it('keeps a shared niov until the last of its packets is read, and while the NIC writes to it', () => {
    const pair = pairOf({ pack: true })
    const [client, server] = pair.open()
    for (let i = 0; i < 3; i++) send(pair, client, bytesOf(300, i))
    const { fragments } = pair.server
    const places: number[] = []
    for (let node = server.rcv.head; node >= 0; node = fragments.next[node]!)
      places.push(fragments.offset[node]! & 4095)
    expect(places).toEqual([0, 320, 640])
    const pool: PagePool = pair.server.memory.pool
    const niov = fragments.offset[server.rcv.head]! >>> 12
    // Three payloads and the NIC.
    expect(pool.stackRefs[niov]).toBe(4)
    drain(pair.server, server)
    expect(pool.stackRefs[niov]).toBe(1)
    pair.link.b.place({ pack: false })
    pair.server.kick()
    expect(pool.stackRefs[niov]).toBe(0)
    expect(pair.server.census()).toMatchObject({ queued: 0, lost: 0 })
  })

  it('copies what comes beside the area into memory of its own', () => {
    const pair = pairOf()
    const [client, server] = pair.open()
    pair.link.b.place({ whole: true })
    const bytes = bytesOf(5000)
    send(pair, client, bytes)
    expect(pair.server.counters.copiedBytes).toBe(5000)
    expect(pair.server.census().queued).toBe(0)
    expect(Buffer.compare(drain(pair.server, server), bytes)).toBe(0)
    expect(pair.server.memory.linear!.countFree()).toBe(pair.server.memory.linear!.total)
  })

  it('loses no niov when the queue is restarted over other memory', () => {
    for (const cache of [0, 64]) {
      const pair = pairOf({ pack: true, cache })
      const [client, server] = pair.open()
      send(pair, client, bytesOf(300))
      const first = pair.server.memory.pool
      pair.server.provide(plainMemory(64))
      send(pair, client, bytesOf(300, 2))
      expect(drain(pair.server, server).length).toBe(600)
      expect(pair.server.census(first)).toMatchObject({ free: first.total, lost: 0 })
      expect(pair.server.census()).toMatchObject({ lost: 0, queued: 1 })
    }
  })
})

describe('a NIC that asks for its niovs', () => {
  it('is given up to 64 from the top of the free stack, and writes to the lowest of them first', () => {
    const pair = pairOf({ cache: 64, niovs: 256 })
    const [client, server] = pair.open()
    expect(pair.server.census()).toMatchObject({ free: 256, fill: 0 })
    send(pair, client, bytesOf(100))
    expect(pair.server.fragments.offset[server.rcv.head]! >>> 12).toBe(192)
    expect(pair.server.census()).toMatchObject({ free: 192, fill: 63, queued: 1, lost: 0 })
  })

  it('is given what is returned when it asks, the last first, before the rest of the stack', () => {
    const pair = pairOf({ cache: 2, niovs: 8 })
    const [client, server] = pair.open()
    const { memory } = pair.server
    const kept: number[] = []
    memory.beforeSupply = () => {
      for (const niov of kept.splice(0)) memory.pool.put(niov)
    }
    const next = (): number => {
      send(pair, client, bytesOf(10))
      const node = server.rcv.tail
      return pair.server.fragments.offset[node]! >>> 12
    }
    expect([next(), next()]).toEqual([6, 7])
    // As if the application had returned two that were never on the stack.
    memory.pool.freeCount -= 2
    kept.push(4, 5)
    expect([next(), next(), next()]).toEqual([5, 4, 2])
  })
})

describe('backpressure by dropping', () => {
  it('promises windows as if there were memory, lets the NIC drop, and loses nothing', () => {
    const pair = pairOf({ cache: 64, niovs: 8, tcp: { backpressure: 'drop' } })
    const [client, server] = pair.open()
    const bytes = bytesOf(20_000)
    for (let i = 0; i < 20; i++) {
      pair.client.tcp.send(client, bytes.subarray(i * 1000, (i + 1) * 1000), 0, pair.clock.now())
      pair.settle()
    }
    expect(pair.server.nic.stats().rxFillEmpty).toBeGreaterThan(0)
    expect(server.rcv.window()).toBeGreaterThan(20_000)
    expect(pair.server.counters.packedBytes).toBe(0)
    const got: Uint8Array[] = []
    let received = 0
    const done = pair.runUntil(() => {
      const some = drain(pair.server, server)
      received += some.length
      got.push(some)
      pair.server.kick()
      return received === bytes.length
    })
    expect(done).toBe(true)
    expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0)
    expect(pair.server.census()).toMatchObject({ lost: 0, queued: 0 })
  })

  it('still closes the window of a connection whose buffer is full (SO_RCVBUF)', () => {
    const pair = pairOf({ tcp: { backpressure: 'drop', maxWindow: 50_000 } })
    const [client, server] = pair.open()
    const bytes = bytesOf(120_000)
    let sent = 0
    const push = (): void => {
      sent += pair.client.tcp.send(client, bytes.subarray(sent), 0, pair.clock.now())
    }
    push()
    pair.runUntil(() => false, 3_000_000)
    expect(server.rcv.queuedBytes).toBeLessThanOrEqual(50_000)
    const got: Uint8Array[] = []
    let received = 0
    expect(
      pair.runUntil(() => {
        const some = drain(pair.server, server)
        received += some.length
        got.push(some)
        pair.server.kick()
        return received === bytes.length
      }),
    ).toBe(true)
    expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0)
  })
})
