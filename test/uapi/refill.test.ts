import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../support/long.ts'
import { bytesOf, type Completion, RingPair } from '../support/ring-pair.ts'

/** A pair in copy mode with an area of 8, three of whose buffers are with the user. */
function threeOut(rqEntries = 16) {
  const pair = new RingPair({ nodev: true, niovs: 8, rqEntries })
  const { client, server } = pair.connect()
  pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
  for (let i = 0; i < 3; i++) {
    pair.send(client, bytesOf(100, i))
    pair.settle()
  }
  const out = pair.drain()
  expect(out.map((c) => c.offset / 4096)).toEqual([7, 6, 5])
  return { pair, out, region: shared(pair) }
}

/** The refill queue's words, as a hostile user would write them. */
function shared(pair: RingPair) {
  const { space } = pair.kernel
  // The latest shared page in the address space.
  const regions: SharedArrayBuffer[] = []
  for (let address = 0x1_0000; address < 0x1_0000 + (64 << 20); address += 4096) {
    const view = space.view(address, 16)
    if (
      view?.buffer instanceof SharedArrayBuffer &&
      view.buffer.byteLength === 4096 &&
      !regions.includes(view.buffer)
    ) {
      regions.push(view.buffer)
    }
  }
  const buffer = regions.at(-1)!
  return {
    head: new Int32Array(buffer, 0, 1),
    tail: new Int32Array(buffer, 64, 1),
    rqes: new Uint32Array(buffer, 128),
    set(slot: number, low: number, high = 0, length = 0, pad = 0): void {
      this.rqes.set([low, high, length, pad], slot * 4)
    },
  }
}

function free(pair: RingPair): number {
  return pair.census().free
}

describe('the refill queue', () => {
  it.each<[string, [number, number, number, number][], number]>([
    ['the offset, whatever the length says', [[7 * 4096, 0, 0xffff_ffff, 0]], 6],
    ['any offset inside the buffer', [[7 * 4096 + 4095, 0, 0, 0]], 6],
    [
      'one of two entries for a buffer handed out once',
      [
        [28_672, 0, 0, 0],
        [28_672, 0, 0, 0],
      ],
      6,
    ],
    [
      'no buffer never handed out',
      [
        [0, 0, 0, 0],
        [4096, 0, 0, 0],
      ],
      5,
    ],
    ['nothing beyond the area', [[8 * 4096, 0, 0, 0]], 5],
    ['nothing far beyond it', [[0xffff_ffff, 0xffff, 0, 0]], 5],
    ['nothing of another area', [[28_672, 1 << 16, 0, 0]], 5],
    ['nothing of area 0xffff', [[28_672, 0xffff_0000, 0, 0]], 5],
    ['nothing with padding set', [[28_672, 0, 0, 1]], 5],
    [
      'what follows an entry for a buffer not held',
      [
        [28_672, 0, 0, 0],
        [28_672, 0, 0, 0],
        [24_576, 0, 0, 0],
      ],
      7,
    ],
  ])('returns %s (kernel record points 38 to 40)', (_what, entries, expected) => {
    const { pair, region } = threeOut()
    for (const [slot, entry] of entries.entries()) region.set(slot, ...entry)
    Atomics.store(region.tail, 0, entries.length)
    expect(pair.ring.flushRq(0)).toBe(0)
    expect(free(pair)).toBe(expected)
    expect(pair.census().lost).toBe(0)
    expect(region.head[0]).toBe(entries.length)
  })

  it('a flush stops behind an invalid entry; the next goes on (kernel record point 40)', () => {
    const { pair, region } = threeOut()
    region.set(0, 28_672)
    region.set(1, 8 * 4096)
    region.set(2, 24_576)
    Atomics.store(region.tail, 0, 3)
    pair.ring.flushRq(0)
    expect([region.head[0], free(pair)]).toEqual([2, 6])
    pair.ring.flushRq(0)
    expect([region.head[0], free(pair)]).toEqual([3, 7])
    expect(pair.stats()).toMatchObject({ refillInvalid: 1, refilled: 2, refillNotHeld: 0 })
  })

  it('believes its own head, and reads at most one lap, whatever the user writes (kernel record point 37)', () => {
    const { pair, region } = threeOut(4)
    region.set(0, 28_672)
    Atomics.store(region.tail, 0, 1)
    pair.ring.flushRq(0)
    Atomics.store(region.head, 0, 1_000_000)
    region.set(1, 24_576)
    Atomics.store(region.tail, 0, 2)
    pair.ring.flushRq(0)
    expect([region.head[0], free(pair)]).toEqual([2, 7])
    for (const tail of [0, -1, 0x7fff_ffff, -0x8000_0000, 2 + 6]) {
      const before = region.head[0]!
      Atomics.store(region.tail, 0, tail)
      expect(pair.ring.flushRq(0)).toBe(0)
      const consumed = (region.head[0]! - before) | 0
      expect(consumed).toBeGreaterThan(0)
      expect(consumed).toBeLessThanOrEqual(4)
    }
    expect(pair.census()).toMatchObject({ lost: 0, free: 7, user: 1 })
  })

  it('survives any entries and any tail: the census stays exact and only what was handed out comes back', () => {
    const entry = fc.record({
      low: fc.oneof(
        fc.integer({ min: 0, max: 16 * 4096 }).map((offset) => offset),
        fc.nat({ max: 0xffff_ffff }),
      ),
      high: fc.constantFrom(0, 0, 0, 0, 1, 1 << 16, 0xffff_ffff),
      pad: fc.constantFrom(0, 0, 0, 0, 5),
      advance: fc.constantFrom(1, 1, 1, 2, 0, -1, 1000, 0x4000_0000),
      send: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.boolean(), fc.array(entry, { maxLength: 40 }), (nodev, entries) => {
        const pair = new RingPair({ nodev, niovs: 16, rqEntries: 8 })
        const { client, server } = pair.connect()
        const region = shared(pair)
        const out: Completion[] = []
        for (const step of entries) {
          if (step.send && pair.server.memory.available() > 4) {
            pair.submit((sqe) => sqe.prepSend(client, bytesOf(500)), 2)
            pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
            pair.submit((sqe) => sqe.prepCancel(1, 1), 3)
          }
          const tail = region.tail[0]!
          region.set(tail & 7, step.low, step.high, 1, step.pad)
          Atomics.store(region.tail, 0, (tail + step.advance) | 0)
          pair.settle()
          if (nodev) expect(pair.ring.flushRq(0)).toBe(0)
          out.push(...pair.reap().filter((c) => c.userData === 1 && c.flags !== 0))
          const census = pair.census()
          expect(census.lost).toBe(0)
          expect(census.user).toBeLessThanOrEqual(out.length)
          expect([...pair.kernel.ifqs][0]!.pool.userOut).toBe(out.length - pair.stats().refilled)
        }
      }),
      { numRuns: runs(60) },
    )
  })
})
