import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/memory/index.ts'
import { CLOSE_WAIT, FIN_WAIT_2 } from '../../../stack/tcp/state.ts'
import { runs } from '../../support/long.ts'
import { type Cuts, segmenting } from '../../support/segmenting.ts'
import { drain, type PairOptions, StackPair } from '../../support/stack-pair.ts'

function pattern(bytes: number, seed: number): Uint8Array {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: bytes }, () => random() * 256)
}

/** Sends `data` from client to server in pieces and returns what arrived, up to the end of the stream. */
function transfer(pair: StackPair, data: Uint8Array, piece: number): Uint8Array {
  const [client, server] = pair.open()
  let given = 0
  let closed = false
  const parts: Uint8Array[] = []
  let received = 0
  const ok = pair.runUntil(() => {
    while (given < data.length) {
      const end = Math.min(data.length, given + piece)
      const taken = pair.client.tcp.send(client, data.subarray(given, end), 0, pair.clock.now())
      given += taken
      if (taken === 0) break
    }
    if (given === data.length && !closed) {
      pair.client.tcp.shutdownSend(client, pair.clock.now())
      closed = true
    }
    const part = drain(pair.server, server)
    received += part.length
    if (part.length > 0) parts.push(part)
    return server.rcv.finished && server.rcv.queuedBytes === 0
  })
  if (!ok) {
    throw new Error(
      `stalled at ${received} of ${data.length}: ${JSON.stringify({ counters: pair.server.counters, seed: pair.link.seed })}`,
    )
  }
  const whole = new Uint8Array(received)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  expect(server.state).toBe(CLOSE_WAIT)
  expect(pair.runUntil(() => client.state === FIN_WAIT_2)).toBe(true)
  return whole
}

describe('a stream from one stack to another', () => {
  it.each([
    [1, 1500],
    [1000, 1500],
    [100_000, 1500],
    [3_000_000, 9000],
    [3_000_000, 65_535],
  ])('delivers %i bytes at MTU %i', (bytes, mtu) => {
    const pair = new StackPair({ mtu })
    const data = pattern(bytes, bytes)
    expect(Buffer.compare(transfer(pair, data, 1 << 20), data)).toBe(0)
    expect(pair.server.census().lost).toBe(0)
    expect(pair.server.counters.copiedBytes).toBe(0)
  })

  it('carries both directions at once, whoever opened', () => {
    const pair = new StackPair()
    const [client, server] = pair.open()
    const up = pattern(50_000, 1)
    const down = pattern(70_000, 2)
    pair.client.tcp.send(client, up, 0, pair.clock.now())
    pair.server.tcp.send(server, down, 0, pair.clock.now())
    const got = { up: [] as Uint8Array[], down: [] as Uint8Array[] }
    const size = (parts: Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0)
    const done = pair.runUntil(() => {
      got.up.push(drain(pair.server, server))
      got.down.push(drain(pair.client, client))
      return size(got.up) === up.length && size(got.down) === down.length
    })
    expect(done).toBe(true)
    expect(Buffer.compare(Buffer.concat(got.up), up)).toBe(0)
    expect(Buffer.compare(Buffer.concat(got.down), down)).toBe(0)
  })

  it('delivers the bytes that were sent under loss, reordering, duplication and corruption, and loses no niov', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer(),
          bytes: fc.integer({ min: 0, max: 200_000 }),
          piece: fc.integer({ min: 1, max: 30_000 }),
          mtu: fc.constantFrom(576, 1500, 9000, 65_535),
          niovs: fc.constantFrom(64, 256, 2048),
          loss: fc.constantFrom(0, 0.01, 0.1),
          reorder: fc.constantFrom(0, 0.05, 0.5),
          duplicate: fc.constantFrom(0, 0.05, 0.5),
          corrupt: fc.constantFrom(0, 0.02),
          delayUs: fc.constantFrom(0, 50, 10_000),
          timestamps: fc.boolean(),
          sack: fc.boolean(),
          rack: fc.boolean(),
          pacing: fc.boolean(),
          congestion: fc.constantFrom('cubic' as const, 'reno' as const),
          version: fc.constantFrom(4 as const, 6 as const),
        }),
        (c) => {
          const pair = new StackPair({
            seed: c.seed,
            // RFC 8200 section 5.
            mtu: c.version === 6 ? Math.max(1280, c.mtu) : c.mtu,
            version: c.version,
            ip: { neighbourSolicits: 1000 },
            niovs: c.niovs,
            impairments: c,
            tcp: {
              timestamps: c.timestamps,
              sack: c.sack,
              rack: c.rack,
              pacing: c.pacing,
              congestion: c.congestion,
              dataRetries: 1000,
              synRetries: 1000,
              synAckRetries: 1000,
            },
          })
          const data = pattern(c.bytes, c.seed)
          const got = transfer(pair, data, c.piece)
          expect(Buffer.compare(got, data)).toBe(0)
          const census = pair.server.census()
          expect(census.lost).toBe(0)
          expect(census.queued + census.user).toBe(0)
          expect(pair.server.fragments.used).toBe(0)
        },
      ),
      { numRuns: runs(150) },
    )
  })
})

describe('a sender whose device cuts frames', () => {
  /** A pair whose client has such a device. */
  function cutting(options: PairOptions): [StackPair, Cuts] {
    let cuts: Cuts | null = null
    const pair = new StackPair({
      ...options,
      wrapClient: (nic) => {
        cuts = segmenting(nic)
        return nic
      },
    })
    return [pair, cuts!]
  }

  it.each([
    [4, 1500],
    [6, 1500],
    [4, 9000],
    [6, 65_535],
  ] as const)('sends several segments at once over IPv%i, MTU %i', (version, mtu) => {
    const [pair, cuts] = cutting({ version, mtu })
    const data = pattern(3_000_000, mtu)
    expect(Buffer.compare(transfer(pair, data, 1 << 20), data)).toBe(0)
    if (mtu > 60_000) expect(cuts.frames).toBe(0)
    else expect(cuts.segments / cuts.frames).toBeGreaterThan(3)
    expect(pair.client.counters.retransmits).toBe(0)
    expect(pair.server.counters.dropTcpChecksum + pair.server.counters.dropMalformed).toBe(0)
  })

  it('keeps them apart in its scoreboard: whatever is lost of them comes again, and no more', () => {
    const [pair, cuts] = cutting({ seed: 5, impairments: { aToB: { loss: 0.02 } } })
    const data = pattern(3_000_000, 9)
    expect(Buffer.compare(transfer(pair, data, 1 << 20), data)).toBe(0)
    const segments = cuts.segments
    expect(segments).toBeGreaterThan(500)
    expect(pair.client.counters.retransmits).toBeGreaterThan(10)
    expect(pair.client.counters.retransmits).toBeLessThan(segments / 10)
  })

  it('delivers every stream over any path', () => {
    const rate = fc.constantFrom(0, 0, 0.01, 0.05)
    fc.assert(
      fc.property(
        fc.record({ seed: fc.nat(), loss: rate, duplicate: rate, reorder: rate, corrupt: rate }),
        fc.integer({ min: 1, max: 300_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.constantFrom(4 as const, 6 as const),
        ({ seed, ...impairments }, bytes, piece, version) => {
          const [pair] = cutting({ seed, impairments, version })
          const data = pattern(bytes, seed)
          expect(Buffer.compare(transfer(pair, data, piece), data)).toBe(0)
          expect(pair.server.census().lost).toBe(0)
        },
      ),
      { numRuns: runs(30) },
    )
  }, 60_000)
})
