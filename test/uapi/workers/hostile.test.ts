import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/memory/index.ts'
import * as abi from '../../../uapi/abi/index.ts'
import { Ring } from '../../../uapi/ring/ring.ts'
import { runs } from '../../support/long.ts'
import { Mischief } from '../../support/mischief.ts'
import { RingPair } from '../../support/ring-pair.ts'
import { WorkerLoopback } from '../../support/worker-loopback.ts'

const FLAGS = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER
const RUNS = runs(300, 40)

/** A thread's ring, on this thread, with an instance and a group of buffers. */
function hostileOf(pair: RingPair) {
  const loopback = new WorkerLoopback(pair.kernel)
  const { backend, session, user } = loopback.backend()
  const ring = Ring.queueInit(8, { ringBackend: () => backend }, { flags: FLAGS, cqEntries: 16 })
  const area = ring.allocateArea(16 * 4096)
  const request = { ifIdx: 0, ifRxq: 0, rqEntries: 8, area, region: 'ring' } as const
  const ifq = ring.registerIfq({ ...request, flags: abi.ZCRX_REG_NODEV })
  if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
  expect(typeof ring.setupBufRing(8, 3, abi.IOU_PBUF_RING_MMAP)).toBe('object')
  const heap = ring.arena.take(8192)
  return { loopback, backend, session, user, ring, area, heap, region: ifq.rq.region }
}

function words({ buffer, byteOffset, length }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, Math.min(length, 4096) >> 2)
}

describe('an application on another thread', () => {
  it('whatever it says and writes, is served or refused, and leaves nothing behind', () => {
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), fc.boolean(), (seed, attends, lasts) => {
        const pair = new RingPair({ niovs: 64, rqEntries: 64 })
        const files = pair.kernel.ifqs.size
        const locked = pair.kernel.lockedBytes
        const { loopback, backend, session, user, ring, area, heap, region } = hostileOf(pair)
        if (attends) ring.attend()
        const shared = [heap, area].map(({ buffer }) => buffer as SharedArrayBuffer)
        const { control, cqes, sqes } = ring.memory
        const mischief = new Mischief(
          {
            words: [control, cqes, words(sqes), words(sqes), words(region), words(area), words(heap)],
            door: user.door,
            calls: user.calls,
            addresses: [heap, area].map((bytes) => backend.addressOf(bytes)),
            buffers: shared,
          },
          seededRandom(seed),
          lasts,
        )
        for (let step = 0; step < 400 && !session.ended; step++) {
          const kind = mischief.below(4)
          if (kind < 2) mischief.scribble()
          else if (kind === 2) mischief.knock()
          else mischief.say()
          loopback.service.turn()
          if (step % 16 === 0) pair.clock.advance(1000)
        }
        // None of it is to blame on anybody but itself, and none of it was unforeseen.
        expect(loopback.service.faults).toBe(0)
        loopback.service.forgetUser(loopback.process.files)
        expect([pair.kernel.ifqs.size, pair.kernel.lockedBytes]).toEqual([files, locked])
        expect([loopback.service.sessions.length, loopback.process.files.keeper.kept]).toEqual([0, 0])
        for (let fd = 0; fd < 100; fd++) expect(loopback.process.files.get(fd)).toBe(null)
        expect(pair.census()).toMatchObject({ lost: 0, user: 0 })
        backend.gone(null)
        backend.close()
        pair.ring.queueExit()
      }),
      { numRuns: RUNS },
    )
  }, 120_000)

  it('gets no more kept for it than its share, and what it had is free again', () => {
    const pair = new RingPair()
    const { loopback, ring, heap } = hostileOf(pair)
    const { keeper } = loopback.process.files
    keeper.most = 20
    new DataView(heap.buffer, heap.byteOffset).setBigInt64(0, 3600n, true)
    const sqe = () => ring.getSqe()!
    for (let i = 0; i < 16; i++) {
      sqe()
        .prepTimeout(heap.subarray(0, 16))
        .setData(i)
        .setFlags(i % 2 === 0 ? abi.IOSQE_IO_LINK : 0)
      if (i % 4 === 3) expect(ring.submit()).toBe(4)
    }
    expect(keeper.kept).toBe(16)
    // Of completions that nobody reads so many are kept, and the others counted.
    const overflow = () => ring.memory.control[11]!
    for (let i = 0; i < 8; i++) {
      for (let at = 0; at < 8; at++) sqe().prepNop()
      if (ring.submit() < 0) break
    }
    expect([keeper.kept, overflow() > 0]).toEqual([20, true])
    expect(ring.submit()).toBe(-abi.EAGAIN)
    ring.queueExit()
    expect(keeper.kept).toBe(0)
    pair.ring.queueExit()
  })
})
