import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../errors.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring, type RingParams } from '../../uapi/ring/ring.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

const {
  IORING_SETUP_CLAMP: CLAMP,
  IORING_SETUP_COOP_TASKRUN: COOP,
  IORING_SETUP_CQSIZE: CQSIZE,
  IORING_SETUP_DEFER_TASKRUN: DEFER,
  IORING_SETUP_IOPOLL: IOPOLL,
  IORING_SETUP_NO_SQARRAY: NO_SQARRAY,
  IORING_SETUP_R_DISABLED: R_DISABLED,
  IORING_SETUP_SINGLE_ISSUER: SINGLE,
  IORING_SETUP_SQE128: SQE128,
  IORING_SETUP_SQPOLL: SQPOLL,
  IORING_SETUP_SUBMIT_ALL: SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG: TASKRUN_FLAG,
} = abi

function kernelOnly(): InlineKernel {
  return new InlineKernel({ memoryFor: () => plainMemory(1) })
}

function ringWith(flags: number): Ring {
  return Ring.queueInit(8, kernelOnly(), { flags })
}

function results(ring: Ring): [number, number][] {
  const seen: [number, number][] = []
  ring.cqAdvance(ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res])))
  return seen
}

describe('setting up a ring', () => {
  const invalid: [string, number, RingParams][] = [
    ['no entries', 0, {}],
    ['a fraction of an entry', 1.5, {}],
    ['too many entries', 32_769, {}],
    ['CQSIZE without a size', 8, { flags: CQSIZE }],
    ['too many completions', 8, { flags: CQSIZE, cqEntries: 65_537 }],
    ['less completions than entries', 8, { flags: CQSIZE, cqEntries: 4 }],
    ['DEFER_TASKRUN without SINGLE_ISSUER', 8, { flags: DEFER }],
    ['DEFER_TASKRUN with SQPOLL', 8, { flags: DEFER | SINGLE | SQPOLL }],
    ['COOP_TASKRUN with SQPOLL', 8, { flags: COOP | SQPOLL }],
    ['TASKRUN_FLAG with SQPOLL', 8, { flags: TASKRUN_FLAG | COOP | SQPOLL }],
    ['TASKRUN_FLAG alone', 8, { flags: TASKRUN_FLAG }],
    ['CQE32 with CQE_MIXED', 8, { flags: abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED }],
    ['a flag that is not served', 8, { flags: abi.IORING_SETUP_SQ_AFF }],
    ['a flag that does not exist', 8, { flags: 1 << 30 }],
  ]

  it.each(invalid)('answers %s with EINVAL', (_what, entries, params) => {
    expect(Ring.queueInitParams(entries, kernelOnly(), params)).toBe(-abi.EINVAL)
  })

  it.each(invalid)('throws for %s, with the name of the errno', (_what, entries, params) => {
    const make = () => Ring.queueInit(entries, kernelOnly(), params)
    expect(make).toThrow(ArgumentError)
    expect(make).toThrow('EINVAL')
  })

  it.each([
    ['IOPOLL', IOPOLL],
    ['SQPOLL', SQPOLL],
    ['SQE128', SQE128],
    ['NO_SQARRAY', NO_SQARRAY],
    ['COOP_TASKRUN and TASKRUN_FLAG', COOP | TASKRUN_FLAG],
    ['DEFER_TASKRUN and TASKRUN_FLAG', DEFER | SINGLE | TASKRUN_FLAG],
  ])('takes %s, and a NOP works', (_what, flags) => {
    const ring = ringWith(flags)
    ring.getSqe()!.prepNop().setData(5)
    expect(ring.submitAndWait(1)).toBe(1)
    expect(results(ring)).toEqual([[5, 0]])
  })

  it('rounds sizes up, and cuts them with CLAMP', () => {
    const { sqEntries, cqEntries } = Ring.queueInit(5, kernelOnly(), { cqEntries: 9 }).memory
    expect([sqEntries, cqEntries]).toEqual([8, 16])
    const { memory } = Ring.queueInit(40_000, kernelOnly(), { flags: CLAMP | CQSIZE, cqEntries: 1e6 })
    expect([memory.sqEntries, memory.cqEntries]).toEqual([32_768, 65_536])
  })

  it('registers zero-copy receive with R_DISABLED, SQE128, TASKRUN_FLAG and IOPOLL (kernel record point 5)', () => {
    for (const flags of [R_DISABLED, SQE128, TASKRUN_FLAG, IOPOLL, SUBMIT_ALL]) {
      const ring = ringWith(ZC_FLAGS | flags)
      const area = new Uint8Array(4096)
      const request = { ifIdx: 0, ifRxq: 0, rqEntries: 8, area, flags: abi.ZCRX_REG_NODEV }
      expect(typeof ring.registerIfq(request)).toBe('object')
    }
  })
})

describe('a ring with SQE128', () => {
  it('has entries 128 bytes apart', () => {
    const ring = ringWith(SQE128)
    for (let i = 1; i <= 8; i++) ring.getSqe()!.prepNop().setData(i)
    expect(ring.memory.sqes.length).toBe(8 * 128)
    expect(ring.memory.sqes[7 * 128 + 32]).toBe(8)
    expect(ring.submit()).toBe(8)
    expect(results(ring).map(([userData]) => userData)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })
})

describe('a ring with R_DISABLED', () => {
  it('answers EBADFD to entering until it is enabled', () => {
    const ring = ringWith(R_DISABLED)
    ring.getSqe()!.prepNop().setData(1)
    expect(ring.submit()).toBe(-abi.EBADFD)
    expect(ring.getEvents()).toBe(-abi.EBADFD)
    expect(ring.sqReady()).toBe(1)
    expect(ring.enableRings()).toBe(0)
    expect(ring.submit()).toBe(1)
    expect(results(ring)).toEqual([[1, 0]])
  })

  it('can be enabled once, and no other can', () => {
    const ring = ringWith(R_DISABLED)
    expect(ring.enableRings()).toBe(0)
    expect(ring.enableRings()).toBe(-abi.EBADFD)
    expect(ringWith(0).enableRings()).toBe(-abi.EBADFD)
  })

  it('may not be enabled with arguments', () => {
    const backend = ringContext(kernelOnly(), R_DISABLED)
    expect(backend.register(abi.IORING_REGISTER_ENABLE_RINGS, new Uint8Array(8), 0)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_ENABLE_RINGS, null, 1)).toBe(-abi.EINVAL)
  })
})

describe('a batch with an entry that is wrong', () => {
  const submitThree = (flags: number): [Ring, number] => {
    const ring = ringWith(flags)
    ring.getSqe()!.prepNop().setData(1)
    ring.getSqe()!.prepNop().setIoprio(1).setData(2)
    ring.getSqe()!.prepNop().setData(3)
    return [ring, ring.submit()]
  }

  it('stops behind it', () => {
    const [ring, submitted] = submitThree(0)
    expect(submitted).toBe(2)
    expect(results(ring)).toEqual([
      [1, 0],
      [2, -abi.EINVAL],
    ])
    expect(ring.sqReady()).toBe(1)
    expect(ring.submit()).toBe(1)
    expect(results(ring)).toEqual([[3, 0]])
  })

  it('goes on with SUBMIT_ALL, and with SQPOLL', () => {
    for (const flags of [SUBMIT_ALL, SQPOLL]) {
      const [ring, submitted] = submitThree(flags)
      expect(submitted).toBe(3)
      expect(results(ring)).toEqual([
        [1, 0],
        [2, -abi.EINVAL],
        [3, 0],
      ])
    }
  })

  it('goes on behind one that fails when it runs, and inside a chain', () => {
    const ring = ringWith(0)
    ring.getSqe()!.prepClose(77).setData(1)
    ring.getSqe()!.prepNop().setIoprio(1).setFlags(abi.IOSQE_IO_LINK).setData(2)
    ring.getSqe()!.prepNop().setData(3)
    expect(ring.submit()).toBe(3)
    expect(results(ring)).toEqual([
      [1, -abi.EBADF],
      [2, -abi.EINVAL],
      [3, -abi.ECANCELED],
    ])
  })
})

describe('a ring with IOPOLL', () => {
  it('answers what works on sockets with EINVAL, RECV_ZC too (kernel record point 5)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS | IOPOLL | SUBMIT_ALL })
    const area = new Uint8Array(4096)
    ring.registerIfq({ ifIdx: 0, ifRxq: 0, rqEntries: 8, area, flags: abi.ZCRX_REG_NODEV })
    ring.getSqe()!.prepRecvZc(server, 0).setData(1)
    ring.getSqe()!.prepSend(client, bytesOf(1)).setData(2)
    ring.getSqe()!.prepAccept(server).setData(3)
    expect(ring.submit()).toBe(3)
    expect(results(ring)).toEqual([1, 2, 3].map((userData) => [userData, -abi.EINVAL]))
  })

  it('does not wait for what never comes', () => {
    expect(ringWith(IOPOLL).submitAndWait(1)).toBe(0)
  })
})

describe('a ring with SQPOLL', () => {
  it('says that its thread sleeps, so that submitting enters', () => {
    const ring = ringWith(SQPOLL)
    const flags = ring.memory.control[ring.memory.sqFlagsAt]!
    expect(flags & abi.IORING_SQ_NEED_WAKEUP).not.toBe(0)
    for (let i = 0; i < 3; i++) ring.getSqe()!.prepNop()
    expect(ring.submit()).toBe(3)
    expect([ring.sqReady(), ring.cqReady()]).toEqual([0, 3])
  })

  it('has its entries taken when anything else enters the kernel', () => {
    const kernel = kernelOnly()
    const polled = Ring.queueInit(8, kernel, { flags: SQPOLL })
    const other = Ring.queueInit(8, kernel)
    const { control, sqTailAt } = polled.memory
    polled.getSqe()!.prepNop().setData(9)
    // As an application would that has seen the flag clear: the tail is moved, and nothing entered.
    Atomics.store(control, sqTailAt, 1)
    expect(polled.cqReady()).toBe(0)
    other.getEvents()
    expect(results(polled)).toEqual([[9, 0]])
  })

  it('serves sockets, whoever polls', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const polled = Ring.queueInit(8, pair.kernel, { flags: SQPOLL })
    const into = new Uint8Array(100)
    polled.getSqe()!.prepRecv(server, into).setData(4)
    expect(polled.submit()).toBe(1)
    pair.send(client, bytesOf(100))
    expect(results(polled)).toEqual([[4, 100]])
    expect(into).toEqual(bytesOf(100))
    polled.queueExit()
    pair.settle()
  })

  it('can not register zero-copy receive (kernel record point 5)', () => {
    const request = {
      ifIdx: 0,
      ifRxq: 0,
      rqEntries: 8,
      area: new Uint8Array(4096),
      flags: abi.ZCRX_REG_NODEV,
    }
    expect(ringWith(SQPOLL | abi.IORING_SETUP_CQE32).registerIfq(request)).toBe(-abi.EINVAL)
  })
})

describe('entering a ring', () => {
  it('answers flags that do not exist with EINVAL', () => {
    const backend = ringContext(kernelOnly(), 0)
    expect(backend.enter(0, 0, 1 << 20, 0)).toBe(-abi.EINVAL)
  })
})
