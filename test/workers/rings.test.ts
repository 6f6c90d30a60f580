import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { attachHost, type OpenedHost } from '../../net/host.ts'
import { openHost } from '../../net/open.ts'
import * as abi from '../../uapi/abi/index.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { ADDRESS, obstacle, script, Wires } from './support.ts'

describe.skipIf(obstacle !== '')('a ring of a program’s own on a worker', () => {
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  async function open(): Promise<OpenedHost> {
    const wires = new Wires()
    const options = { address: ADDRESS, ownAddress: true, areaBytes: 1 << 20, spinUs: 0 }
    const host = await openHost({ ...options, device: wires.device, workers: 1 })
    ends.push(
      () => wires.close(),
      () => host.close(),
    )
    return host
  }

  function ringOf(host: OpenedHost, params: { flags?: number; attends?: boolean } = {}): Ring {
    const ring = Ring.queueInit(8, host.queues[0]!, params)
    if (params.attends === true) ring.attend()
    ends.push(() => ring.queueExit())
    return ring
  }

  /** A `struct __kernel_timespec` of so many milliseconds. */
  function time(ring: Ring, ms: number): Uint8Array {
    const bytes = ring.arena.take(16)
    new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(8, BigInt(ms) * 1_000_000n, true)
    return bytes
  }

  function next(ring: Ring): [number, number] {
    const cqe = ring.waitCqe()
    const found: [number, number] = [cqe.userData, cqe.res]
    ring.cqeSeen(cqe)
    return found
  }

  const asleep = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30))
  const ALONE = abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER

  it.each([
    ['entered', {}],
    ['with deferred work', { flags: ALONE }],
    ['attended', { attends: true }],
    ['with SQPOLL', { flags: abi.IORING_SETUP_SQPOLL }],
  ])('%s blocks its thread until a completion is there, or for a time', async (_, params) => {
    const ring = ringOf(await open(), params)
    for (let round = 0; round < 3; round++) {
      // Of a worker that sleeps, and of one that is awake still.
      if (round < 2) await asleep()
      ring.getSqe()!.prepTimeout(time(ring, 20)).setData(1)
      ring.getSqe()!.prepNop().setData(2)
      expect(ring.submitAndWait(1)).toBe(2)
      expect(next(ring)).toEqual([2, 0])
      expect(next(ring)).toEqual([1, -abi.ETIME])
      const before = performance.now()
      expect(ring.submitAndWaitTimeout(1, 30)).toBe(-abi.ETIME)
      expect(performance.now() - before).toBeGreaterThan(25)
    }
  })

  it.each([{ attends: true }, { flags: abi.IORING_SETUP_SQPOLL }])(
    'has memory where entries name it, however new it is: %j',
    async (params) => {
      const ring = ringOf(await open(), params)
      for (let i = 0; i < 300; i++) {
        const fresh = new Uint8Array(new SharedArrayBuffer(16))
        ring.getSqe()!.prepTimeout(fresh).setData(i)
        ring.submit()
        expect(next(ring)).toEqual([i, -abi.ETIME])
      }
    },
  )

  it('hears from another of its thread’s rings, by a message and by poll; of other threads’ there is no number', async () => {
    const host = await open()
    const [one, other] = [ringOf(host), ringOf(host, { flags: abi.IORING_SETUP_SQPOLL })]
    one.getSqe()!.prepPollAdd(other.ringFd, abi.POLLIN).setData(5)
    one.submit()
    await asleep()
    one.getSqe()!.prepMsgRing(other.ringFd, 42, 7).setData(6)
    expect(one.submitAndWait(2)).toBe(1)
    expect([next(one), next(one)].sort(([a], [b]) => a - b)).toEqual([
      [5, abi.POLLIN],
      [6, 0],
    ])
    expect(next(other)).toEqual([7, 42])
    const elsewhere = attachHost(host.ticket().value)
    ends.push(() => elsewhere.close())
    const foreign = ringOf(elsewhere)
    foreign.getSqe()!.prepMsgRing(other.ringFd, 42, 7).setData(8)
    foreign.submitAndWait(1)
    expect(next(foreign)).toEqual([8, -abi.EBADF])
  })

  it('of two threads block beside each other', async () => {
    const host = await open()
    const { value, transferList } = host.ticket()
    const worker = new Worker(script('../support/child.mjs'), {
      argv: [script('./blocking.ts')],
      workerData: { blocking: value },
      transferList,
    })
    ends.push(() => worker.terminate())
    await new Promise((resolve) => worker.once('message', resolve))
    const ring = ringOf(host)
    for (let i = 0; i < 100; i++) {
      ring.getSqe()!.prepTimeout(time(ring, 1)).setData(i)
      expect(ring.submitAndWait(1)).toBe(1)
      expect(next(ring)).toEqual([i, -abi.ETIME])
    }
  })
})
