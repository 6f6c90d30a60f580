import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair, type RingPairOptions } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

const MIXED = abi.IORING_SETUP_CQE_MIXED | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER
const DATA = abi.IORING_CQE_F_MORE | abi.IORING_CQE_F_32

function mixed(options: RingPairOptions = {}): RingPair {
  return new RingPair({ ...options, params: { flags: MIXED, cqEntries: 256, ...options.params } })
}

/** A ring of 8 slots without a device, and what lies in each slot: user_data, res, flags. */
function small() {
  const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
  const ring = Ring.queueInit(8, kernel, { flags: MIXED, cqEntries: 8 })
  const nop = (userData: number, wide = false): void => {
    const sqe = ring.getSqe()!.prepNop()
    if (wide) sqe.prepRw(abi.IORING_OP_NOP, -1, 7, 0, 9).setOpFlags(abi.IORING_NOP_CQE32)
    sqe.setData(userData)
  }
  const take = (): [number, number, number][] => {
    const seen: [number, number, number][] = []
    ring.cqAdvance(ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.flags, cqe.nr])))
    return seen
  }
  const slot = (i: number) => [...ring.memory.cqes.subarray(i * 4, i * 4 + 4)]
  return { ring, nop, take, slot }
}

describe('a ring with IORING_SETUP_CQE_MIXED', () => {
  it('has data completions of 32 bytes and a last one of 16 (kernel record point 27)', () => {
    const pair = mixed()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId, 1000), 1)
    const before = pair.ring.cqHead
    pair.send(client, bytesOf(1000))
    const [data, last, ...rest] = pair.drain()
    expect(rest).toEqual([])
    expect(data).toMatchObject({ userData: 1, res: 1000, flags: DATA })
    expect(pair.bytes(data!)).toEqual(bytesOf(1000))
    expect(last).toMatchObject({ userData: 1, res: 0, flags: 0, offset: 0, areaId: 0 })
    // SEND 1, data 2, the last 1.
    expect(pair.ring.cqHead - before).toBe(4)
  })

  it('has event completions of 16 bytes', () => {
    const pair = mixed({ nodev: true, events: { userData: 1000, typeMask: 2 } })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(100))
    expect(pair.drain().map((cqe) => [cqe.userData, cqe.flags])).toEqual([
      [1, DATA],
      [1000, 0],
    ])
  })

  it('puts a filler in front of a wide completion that would wrap', () => {
    const pair = mixed({ params: { cqEntries: 64 } })
    const { client, server } = pair.connect()
    const socket = pair.kernel.files.socket(client)!
    const { ring } = pair
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const arrive = (): void => {
      pair.client.tcp.send(socket.tcb!, bytesOf(100), 0, pair.clock.now())
      pair.settle()
    }
    // To the last slot before the wrap.
    while ((ring.cqHead & 63) !== 63) pair.call((sqe) => sqe.prepNop())
    arrive()
    expect(ring.cqReady()).toBe(3)
    const { cqes } = ring.memory
    expect([...cqes.subarray(63 * 4)]).toEqual([0, 0, 0, abi.IORING_CQE_F_SKIP])
    expect([...cqes.subarray(0, 4)]).toEqual([1, 0, 100, DATA])
    const cqe = ring.peekCqe()!
    expect([cqe.userData, cqe.res, cqe.nr]).toEqual([1, 100, 2])
    ring.cqeSeen(cqe)
    expect([ring.cqReady(), ring.peekCqe()]).toEqual([0, null])
    // Between narrow ones none is needed, and an even place needs none either.
    arrive()
    expect(ring.cqReady()).toBe(2)
  })

  it('shows the user neither the filler nor the halves of a wide completion', () => {
    const { ring, nop, take, slot } = small()
    for (let i = 1; i <= 7; i++) nop(i)
    ring.submit()
    expect(take().length).toBe(7)
    nop(8, true)
    nop(9)
    ring.submit()
    expect(slot(7)).toEqual([0, 0, 0, abi.IORING_CQE_F_SKIP])
    expect([...ring.memory.cqes.subarray(4, 8)]).toEqual([9, 0, 7, 0])
    expect(ring.cqReady()).toBe(4)
    expect(take()).toEqual([
      [8, abi.IORING_CQE_F_32, 2],
      [9, 0, 1],
    ])
    expect(ring.cqReady()).toBe(0)
  })

  it('overflows with completions of either size, and keeps their order', () => {
    const { ring, nop, take } = small()
    const wanted: [number, number, number][] = []
    for (let i = 1; i <= 8; i++) {
      const wide = i % 3 !== 0
      nop(i, wide)
      wanted.push([i, wide ? abi.IORING_CQE_F_32 : 0, wide ? 2 : 1])
    }
    expect(ring.submit()).toBe(8)
    const got = take()
    expect(got.length).toBeLessThan(8)
    while (got.length < 8) {
      const flags = ring.memory.control[ring.memory.sqFlagsAt]!
      expect(flags & abi.IORING_SQ_CQ_OVERFLOW).not.toBe(0)
      ring.getEvents()
      const more = take()
      expect(more.length).toBeGreaterThan(0)
      got.push(...more)
    }
    expect(got).toEqual(wanted)
    expect(ring.memory.control[ring.memory.sqFlagsAt]! & abi.IORING_SQ_CQ_OVERFLOW).toBe(0)
  })

  it('ends RECV_ZC with ENOSPC when half a completion would fit, and loses nothing', () => {
    const pair = mixed({ params: { cqEntries: 64 } })
    const { client, server } = pair.connect()
    const data = bytesOf(60 * 1448)
    const socket = pair.kernel.files.socket(client)!
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    let rest = data
    const got: Uint8Array[] = []
    let ended = 0
    for (let bytes = 0; bytes < data.length; ) {
      rest = rest.subarray(pair.client.tcp.send(socket.tcb!, rest, 0, pair.clock.now()))
      for (const cqe of pair.drain(1000)) {
        if (cqe.flags === 0) {
          expect(cqe.res).toBe(-abi.ENOSPC)
          ended++
          pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
        } else {
          expect(cqe.flags).toBe(DATA)
          got.push(pair.bytes(cqe).slice())
          pair.refill(cqe)
          bytes += cqe.res
        }
      }
    }
    expect(ended).toBeGreaterThan(0)
    expect(Buffer.compare(Buffer.concat(got), data)).toBe(0)
  })

  it('is refused with CQE32, and with a single slot', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const both = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED
    expect(Ring.queueInitParams(4, kernel, { flags: both })).toBe(-abi.EINVAL)
    const one = { flags: abi.IORING_SETUP_CQE_MIXED, cqEntries: 1 }
    expect(Ring.queueInitParams(1, kernel, one)).toBe(-abi.EOVERFLOW)
  })
})

describe('completions of mixed sizes', () => {
  it('come in order and none is lost, however the queue is filled and emptied', () => {
    const step = fc.record({ wide: fc.array(fc.boolean(), { maxLength: 8 }), take: fc.nat({ max: 5 }) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const { ring, nop, take } = small()
        const wanted: [number, number, number][] = []
        const got: [number, number, number][] = []
        for (const { wide, take: most } of steps) {
          for (const isWide of wide) {
            nop(wanted.length + 1, isWide)
            wanted.push([wanted.length + 1, isWide ? abi.IORING_CQE_F_32 : 0, isWide ? 2 : 1])
          }
          ring.submit()
          for (let i = 0; i < most; i++) {
            const cqe = ring.peekCqe()
            if (cqe === null) break
            got.push([cqe.userData, cqe.flags, cqe.nr])
            ring.cqeSeen(cqe)
          }
        }
        for (let last = -1; last !== got.length; ) {
          last = got.length
          ring.getEvents()
          got.push(...take())
        }
        expect(got).toEqual(wanted)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a completion of 32 bytes', () => {
  it('of a NOP carries off and addr on a wide ring too, and is EINVAL on a narrow one', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const ask = (flags: number): Ring => {
      const ring = Ring.queueInit(4, kernel, { flags })
      ring
        .getSqe()!
        .prepRw(abi.IORING_OP_NOP, -1, 7, 5, 9)
        .setOpFlags(abi.IORING_NOP_CQE32 | 1)
      ring.submit()
      return ring
    }
    const wide = ask(abi.IORING_SETUP_CQE32)
    expect([...wide.memory.cqes.subarray(0, 8)]).toEqual([0, 0, 5, 0, 9, 0, 7, 0])
    expect(ask(0).peekCqe()!.res).toBe(-abi.EINVAL)
  })
})
