import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { RingPair } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

const SECOND = 1_000_000

describe('IORING_OP_TIMEOUT', () => {
  it('completes with ETIME when its time has passed, not before', () => {
    const pair = new RingPair()
    const start = pair.clock.now()
    const time = abi.timespecOf(1_500_000)
    expect(pair.call((sqe) => sqe.prepTimeout(time))).toBe(-abi.ETIME)
    expect(pair.clock.now() - start).toBe(1_500_000)
  })

  it('takes an absolute time of the clock', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(7 * SECOND)
    expect(pair.call((sqe) => sqe.prepTimeout(time, 0, abi.IORING_TIMEOUT_ABS))).toBe(-abi.ETIME)
    expect(pair.clock.now()).toBe(7 * SECOND)
    // What has passed already is due at once.
    expect(pair.call((sqe) => sqe.prepTimeout(time, 0, abi.IORING_TIMEOUT_ABS))).toBe(-abi.ETIME)
    expect(pair.clock.now()).toBe(7 * SECOND)
  })

  it('fires in the order of the times', () => {
    const pair = new RingPair()
    const times = [30, 10, 20, 10].map((ms) => abi.timespecOf(ms * 1000))
    for (const [i, time] of times.entries()) pair.submit((sqe) => sqe.prepTimeout(time), i)
    expect(pair.drain(SECOND).map((cqe) => cqe.userData)).toEqual([1, 3, 2, 0])
  })

  it('ends with 0 when as many other requests have completed', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(SECOND)
    pair.submit((sqe) => sqe.prepTimeout(time, 2), 1)
    pair.submit((sqe) => sqe.prepNop(), 2)
    expect(pair.reap().map((cqe) => cqe.userData)).toEqual([2])
    pair.submit((sqe) => sqe.prepNop(), 3)
    expect(pair.reap()).toMatchObject([
      { userData: 3, res: 0 },
      { userData: 1, res: 0, flags: 0 },
    ])
    expect(pair.drain(2 * SECOND)).toEqual([])
  })

  it('does not count timeouts that fired', () => {
    const pair = new RingPair()
    const long = abi.timespecOf(SECOND)
    const short = abi.timespecOf(1000)
    pair.submit((sqe) => sqe.prepTimeout(long, 1), 1)
    pair.submit((sqe) => sqe.prepTimeout(short), 2)
    expect(pair.drain(2 * SECOND)).toMatchObject([
      { userData: 2, res: -abi.ETIME },
      { userData: 1, res: -abi.ETIME },
    ])
  })

  it('multishot fires again and again, as often as asked', () => {
    const pair = new RingPair()
    const start = pair.clock.now()
    const time = abi.timespecOf(100_000)
    pair.submit((sqe) => sqe.prepTimeout(time, 3, abi.IORING_TIMEOUT_MULTISHOT), 1)
    const seen = pair.drain(SECOND).map((cqe) => [cqe.res, cqe.flags])
    expect(seen).toEqual([
      [-abi.ETIME, abi.IORING_CQE_F_MORE],
      [-abi.ETIME, abi.IORING_CQE_F_MORE],
      [-abi.ETIME, 0],
    ])
    expect(pair.clock.now() - start).toBe(SECOND)
  })

  it('counts other clocks too, and to a time of day', () => {
    const pair = new RingPair()
    const clocks = [abi.IORING_TIMEOUT_BOOTTIME, abi.IORING_TIMEOUT_REALTIME]
    for (const clock of clocks) {
      const start = pair.clock.now()
      pair.submit((sqe) => sqe.prepTimeout(abi.timespecOf(100_000), 0, clock), 1)
      expect(pair.drain(SECOND)).toMatchObject([{ userData: 1, res: -abi.ETIME }])
      expect(pair.clock.now() - start).toBe(SECOND)
    }
    const past = abi.IORING_TIMEOUT_REALTIME | abi.IORING_TIMEOUT_ABS
    pair.submit((sqe) => sqe.prepTimeout(abi.timespecOf(1), 0, past), 2)
    expect(pair.drain()).toMatchObject([{ userData: 2, res: -abi.ETIME }])
  })

  it('refuses what Linux refuses', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(1000)
    const negative = new Uint8Array(16).fill(0xff)
    expect(pair.call((sqe) => sqe.prepTimeout(negative))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepRw(abi.IORING_OP_TIMEOUT, -1, 0, 1, 0))).toBe(-abi.EFAULT)
    expect(pair.call((sqe) => sqe.prepRw(abi.IORING_OP_TIMEOUT, -1, 0, 2, 0))).toBe(-abi.EINVAL)
    for (const flags of [abi.IORING_TIMEOUT_UPDATE, (1 << 2) | (1 << 3), 1 << 4, 1 | (1 << 6)]) {
      expect(pair.call((sqe) => sqe.prepTimeout(time, 0, flags))).toBe(-abi.EINVAL)
    }
  })

  it('wakes a ring without an interface', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const ring = Ring.queueInit(4, kernel)
    const time = abi.timespecOf(5000)
    ring.getSqe()!.prepTimeout(time).setData(9)
    const before = performance.now()
    expect(ring.submitAndWait(1)).toBe(1)
    expect(performance.now() - before).toBeGreaterThanOrEqual(4.9)
    expect(ring.waitCqe()).toMatchObject({ userData: 9, res: -abi.ETIME })
    ring.queueExit()
  })

  it('goes with its ring', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(SECOND)
    pair.submit((sqe) => sqe.prepTimeout(time), 1)
    const before = pair.kernel.timers.nextDeadline()
    pair.ring.queueExit()
    expect([before, pair.kernel.timers.nextDeadline()]).toEqual([2 * SECOND, Number.POSITIVE_INFINITY])
  })
})

describe('IORING_OP_TIMEOUT_REMOVE', () => {
  it('ends a timeout with ECANCELED, its own completion first', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(SECOND)
    pair.submit((sqe) => sqe.prepTimeout(time), 1)
    pair.submit((sqe) => sqe.prepTimeoutRemove(1), 2)
    expect(pair.drain(2 * SECOND)).toMatchObject([
      { userData: 2, res: 0 },
      { userData: 1, res: -abi.ECANCELED, flags: 0 },
    ])
    expect(pair.call((sqe) => sqe.prepTimeoutRemove(1))).toBe(-abi.ENOENT)
    expect(pair.call((sqe) => sqe.prepTimeoutRemove(1, abi.IORING_TIMEOUT_ABS))).toBe(-abi.EINVAL)
  })

  it('gives a timeout another time', () => {
    const pair = new RingPair()
    const start = pair.clock.now()
    const time = abi.timespecOf(SECOND)
    const sooner = abi.timespecOf(1000)
    pair.submit((sqe) => sqe.prepTimeout(time), 1)
    expect(pair.call((sqe) => sqe.prepTimeoutUpdate(sooner, 1))).toBe(0)
    expect(pair.ring.waitCqe()).toMatchObject({ userData: 1, res: -abi.ETIME })
    expect(pair.clock.now() - start).toBe(1000)
    expect(pair.call((sqe) => sqe.prepTimeoutUpdate(sooner, 5))).toBe(-abi.ENOENT)
  })

  it('ASYNC_CANCEL ends a timeout too', () => {
    const pair = new RingPair()
    const time = abi.timespecOf(SECOND)
    pair.submit((sqe) => sqe.prepTimeout(time), 1)
    pair.submit((sqe) => sqe.prepCancel(1), 2)
    expect(pair.drain()).toMatchObject([
      { userData: 2, res: 0 },
      { userData: 1, res: -abi.ECANCELED },
    ])
  })
})
