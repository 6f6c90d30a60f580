import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

/** A ring of its own on the pair's kernel, with an instance that copies. */
function second(pair: RingPair): { ring: Ring; ifq: Ifq } {
  const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
  const area = new Uint8Array(16 * 4096)
  const ifq = ring.registerIfq({ ifIdx: 0, ifRxq: 0, rqEntries: 16, area, flags: abi.ZCRX_REG_NODEV })
  if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
  return { ring, ifq }
}

describe('two instances', () => {
  it('data in the area of one is EFAULT through the other, for good, and another queue owner changes nothing (kernel record point 70)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const data = Uint8Array.from({ length: 3000 }, (_, i) => i * 7)
    pair.send(client, data)
    const { ring, ifq } = second(pair)
    ring.getSqe()!.prepRecvZc(server, ifq.zcrxId)
    ring.submit()
    const refused = (): number[] => {
      const cqe = ring.waitCqe()
      const seen = [cqe.res, cqe.flags]
      ring.cqeSeen(cqe)
      return seen
    }
    expect(refused()).toEqual([-abi.EFAULT, 0])

    pair.ring.queueExit()
    ring.getSqe()!.prepRecvZc(server, ifq.zcrxId)
    ring.submit()
    expect(refused()).toEqual([-abi.EFAULT, 0])
    expect(ifq.stats()).toMatchObject({ copiedBytes: 0, zeroCopiedBytes: 0 })
    expect(pair.server.census().lost).toBe(0)
  })
})

describe('POLL_FIRST', () => {
  it('leaves what is queued to the next entry', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.send(client, new Uint8Array(100))
    const bits = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId).setIoprio(bits), 1)
    expect(pair.ring.cqReady()).toBe(0)
    pair.ring.getEvents()
    expect(pair.reap().map((completion) => completion.res)).toEqual([100])
  })
})
