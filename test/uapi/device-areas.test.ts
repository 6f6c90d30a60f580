import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, type Completion, RingPair, type RingPairOptions, ZC_FLAGS } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

const PAGE = 4096
const CACHED: RingPairOptions = { placement: 'split', cache: 64, tcp: { backpressure: 'drop' } }

const place = ({ areaId, offset }: Completion): [number, number] => [areaId, Math.floor(offset / PAGE)]

function collect({ ifq }: RingPair, completions: readonly Completion[]): Buffer {
  const data = completions.filter((cqe) => cqe.flags !== 0)
  return Buffer.concat(data.map((cqe) => ifq.areas[cqe.areaId]!.subarray(cqe.offset, cqe.offset + cqe.res)))
}

/** With an armed request and further areas of so many pages. */
function open(options: RingPairOptions, ...pages: number[]) {
  const pair = new RingPair(options)
  const { client, server } = pair.connect()
  for (const [i, count] of pages.entries())
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(count * PAGE))).toBe(i + 1)
  pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
  /** One packet each. */
  const next = (count: number): Completion[] => {
    const seen: Completion[] = []
    for (let i = 0; i < count; i++) {
      pair.send(client, bytesOf(100, i))
      seen.push(...pair.drain())
    }
    return seen
  }
  return { pair, client, server, next }
}

const range = (area: number, from: number, count: number): [number, number][] =>
  Array.from({ length: count }, (_, i) => [area, from + i])

describe('further areas of a NIC that writes to them', () => {
  it('come first, the latest before the others, when all fit into the cache (kernel record points 49, 67)', () => {
    const { pair, next } = open({ ...CACHED, niovs: 16 }, 8, 3)
    const seen = next(27)
    expect(seen.map(place)).toEqual([...range(2, 0, 3), ...range(1, 0, 8), ...range(0, 0, 16)])
    expect(collect(pair, seen)).toEqual(Buffer.concat(Array.from({ length: 27 }, (_, i) => bytesOf(100, i))))
    expect(pair.ifq.census()).toMatchObject({ total: 27, user: 27, lost: 0 })
    expect(pair.stats()).toMatchObject({ copiedBytes: 0, zeroCopiedBytes: 2700 })
  })

  it('fill the cache area by area, 64 in all', () => {
    const { next } = open({ ...CACHED, niovs: 60 }, 10)
    expect(next(70).map(place)).toEqual([...range(1, 6, 4), ...range(0, 0, 60), ...range(1, 0, 6)])
  })

  it('are asked when those before have nothing left, by a request that is armed', () => {
    const { pair, next } = open({ ...CACHED, niovs: 2 })
    expect(next(2).map(place)).toEqual(range(0, 0, 2))
    pair.ring.addArea(pair.ifq, new Uint8Array(3 * PAGE))
    expect(next(3).map(place)).toEqual(range(1, 0, 3))
  })

  it('get back what is returned in the order of the refill queue, without a flush (kernel record point 65)', () => {
    const { pair, next } = open({ ...CACHED, niovs: 2 }, 2)
    const seen = next(4)
    const by = new Map(seen.map((cqe) => [String(place(cqe)), cqe]))
    pair.refill(...['1,0', '0,1', '1,1', '0,0'].map((key) => by.get(key)!))
    expect(next(4).map(place)).toEqual([
      [0, 0],
      [1, 1],
      [0, 1],
      [1, 0],
    ])
    expect(pair.stats()).toMatchObject({ refilled: 4, refillNotHeld: 0 })
  })

  it.each<[string, RingPairOptions]>([
    ['filled', { placement: 'split' }],
    ['filled, packing', { placement: 'split', split: { pack: true } }],
    ['asking', CACHED],
    ['asking, packing, IPv6', { ...CACHED, split: { pack: true }, version: 6 }],
  ])(
    'take data while it flows, nothing is copied, and every buffer is in one place: %s',
    (_what, options) => {
      const { pair, client } = open({ ...options, niovs: 64, rqEntries: 1024 })
      const data = bytesOf(400_000)
      const held: Completion[] = []
      const parts: Buffer[] = []
      const read = (us: number): void => {
        const seen = pair.drain(us)
        parts.push(collect(pair, seen))
        held.push(...seen)
        expect(pair.ifq.census().lost).toBe(0)
      }
      let sent = 0
      for (let round = 0; round < 400 && sent < data.length; round++) {
        if (round === 3) expect(pair.ring.addArea(pair.ifq, new Uint8Array(512 * PAGE))).toBe(1)
        sent += Math.max(
          0,
          pair.call((sqe) => sqe.prepSend(client, data.subarray(sent, sent + 5000)), 2),
        )
        read(1000)
      }
      read(2_000_000)
      expect(Buffer.concat(parts)).toEqual(Buffer.from(data))
      expect(new Set(held.map(({ areaId }) => areaId))).toEqual(new Set([0, 1]))
      expect(pair.stats().copiedBytes).toBe(0)
      pair.refill(...held)
      pair.ring.flushRq(0)
      expect(pair.ifq.census()).toMatchObject({ total: 576, user: 0, lost: 0 })
    },
  )
})

describe('giving an area back that a NIC writes to', () => {
  it.each([0, 64])('takes what the NIC holds of it, and leaves the rest working (cache %i)', (cache) => {
    const { pair, next } = open({ ...CACHED, cache, niovs: 4 }, 8)
    const seen = next(1)
    const [areaId] = place(seen[0]!)
    expect(pair.ifq.census()).toMatchObject({ user: 1, lost: 0 })
    expect(pair.ifq.census().fill).toBeGreaterThan(4)
    pair.refill(...seen)
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(0)
    expect(pair.ifq.census()).toMatchObject({ total: 4, lost: 0 })
    expect(areaId).toBe(cache === 0 ? 0 : 1)
    const rest = next(4)
    expect(rest.map(place).every(([area]) => area === 0)).toBe(true)
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(-abi.EINVAL)
    expect(pair.ring.removeArea(pair.ifq, 0)).toBe(-abi.EBUSY)
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(2 * PAGE))).toBe(2)
    expect(next(1).map(place)).toEqual([[2, 0]])
    expect(pair.ifq.census()).toMatchObject({ total: 6, user: 5, lost: 0 })
  })

  it('waits for what is in receive queues and with the user, and closes what the NIC packs into', () => {
    const pair = new RingPair({ ...CACHED, split: { pack: true }, niovs: 4 })
    const { client, server } = pair.connect()
    pair.ring.addArea(pair.ifq, new Uint8Array(2 * PAGE))
    pair.send(client, bytesOf(300))
    expect(pair.ifq.census()).toMatchObject({ queued: 1, fill: 5, lost: 0 })
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(-abi.EAGAIN)
    expect(pair.link.b.roles.packing!.openChunk()).toBe(-1)
    expect(pair.ifq.census()).toMatchObject({ queued: 1, free: 1, fill: 4, lost: 0 })
    pair.send(client, bytesOf(300, 2))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const seen = pair.drain()
    expect(seen.map(place)).toEqual([
      [1, 0],
      [0, 0],
    ])
    expect(collect(pair, seen)).toEqual(Buffer.concat([bytesOf(300), bytesOf(300, 2)]))
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(-abi.EAGAIN)
    pair.refill(...seen)
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(0)
    expect(pair.ifq.census()).toMatchObject({ total: 4, user: 0, lost: 0 })
  })

  it('is done for all when the instance ends; the queue can be registered again, with further areas', () => {
    const { pair, client, server, next } = open({ ...CACHED, niovs: 2 }, 3)
    next(1)
    pair.submit((sqe) => sqe.prepCancel(1), 2)
    pair.drain()
    // Remains unread, in the area of an instance that ends.
    pair.send(client, bytesOf(100))
    pair.ring.queueExit()
    expect(pair.kernel.lockedBytes).toBe(0)
    expect(pair.server.census().lost).toBe(0)
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
    const ifq = ring.registerIfq({
      ifIdx: pair.server.nic.info.ifIndex,
      ifRxq: 0,
      rqEntries: 8,
      area: new Uint8Array(2 * PAGE),
    })
    if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
    expect(ring.addArea(ifq, new Uint8Array(3 * PAGE))).toBe(1)
    expect(ifq.census()).toMatchObject({ total: 5, lost: 0 })
    ring.getSqe()!.prepRecvZc(server, 0).setData(7)
    ring.submit()
    const cqe = ring.waitCqe()
    expect([cqe.userData, cqe.res]).toEqual([7, -abi.EFAULT])
    ring.cqeSeen(cqe)
    for (const pool of pair.server.memory.pools) expect(pair.server.census(pool).lost).toBe(0)
  })

  it('survives a restart of the queue that the NIC refuses', () => {
    const b = { placement: 'split', cache: 64, maxChunk: PAGE } as const
    const { pair, next } = open({ ...CACHED, ends: { b }, niovs: 2 }, 2, 3)
    expect(next(1).map(place)).toEqual([[2, 0]])
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(0)
    expect(() => pair.server.provide(plainMemory(4, 2 * PAGE))).toThrow('larger than 4096')
    expect(pair.ifq.census()).toMatchObject({ total: 5, user: 1, lost: 0 })
    const seen = next(4)
    expect(seen.map(place).sort()).toEqual([...range(0, 0, 2), ...range(2, 1, 2)])
    expect(pair.ifq.census()).toMatchObject({ total: 5, user: 5, lost: 0 })
  })
})
