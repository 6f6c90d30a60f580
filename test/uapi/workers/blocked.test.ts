import { expect, it } from 'vitest'
import { ring as knock, WANT } from '../../../uapi/backend/worker/door.ts'
import { Ring } from '../../../uapi/ring/ring.ts'
import { RingPair } from '../../support/ring-pair.ts'
import { WorkerLoopback } from '../../support/worker-loopback.ts'

it('a thread that blocks is told of every entry that it submits, although it is worked for meanwhile', () => {
  const pair = new RingPair()
  const loopback = new WorkerLoopback(pair.kernel)
  const { backend, user } = loopback.backend()
  const ring = Ring.queueInit(8, { ringBackend: () => backend })
  const { control, sqHeadAt, sqTailAt } = ring.memory
  // It has just had what it waited for, and the other side has not heard of it yet.
  Atomics.store(user.door, WANT, 1)
  knock(user.door)
  loopback.service.turn()
  ring.getSqe()!.prepNop().setData(5)
  Atomics.store(control, sqTailAt, 1)
  loopback.service.turn()
  expect(Atomics.load(control, sqHeadAt)).toBe(0)
  expect(ring.submit()).toBe(1)
  expect(ring.peekCqe()!.userData).toBe(5)
  ring.queueExit()
  loopback.end()
})
