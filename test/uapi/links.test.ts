import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

const { IOSQE_CQE_SKIP_SUCCESS: SKIP, IOSQE_IO_DRAIN: DRAIN } = abi
const { IOSQE_IO_HARDLINK: HARD, IOSQE_IO_LINK: LINK } = abi
type Prepare = (sqe: abi.Sqe) => abi.Sqe

/** Submits all together, with user_data 1, 2, …; the flags are those of each. */
function batch(pair: RingPair, ...entries: [Prepare, number][]): void {
  for (const [i, [prepare, flags]] of entries.entries()) {
    prepare(pair.ring.getSqe()!)
      .setFlags(flags)
      .setData(i + 1)
  }
  expect(pair.ring.submit()).toBe(entries.length)
}

/** user_data and result of each completion, in order. */
function results(pair: RingPair, us?: number): [number, number][] {
  return pair.drain(us).map((cqe) => [cqe.userData, cqe.res])
}

const nop: Prepare = (sqe) => sqe.prepNop()
const bad: Prepare = (sqe) => sqe.prepClose(999)

describe('linked requests', () => {
  it('run one after the other', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const data = bytesOf(10)
    const into = new Uint8Array(10)
    batch(
      pair,
      [(sqe) => sqe.prepRecv(server, into), LINK],
      [(sqe) => sqe.prepSend(server, into), LINK],
      [nop, 0],
      [nop, 0],
    )
    // The last one is no part of the chain.
    expect(results(pair)).toEqual([[4, 0]])
    pair.send(client, data)
    expect(results(pair)).toEqual([
      [1, 10],
      [2, 10],
      [3, 0],
    ])
  })

  it('are cancelled behind one that fails, unless the link is hard', () => {
    const pair = new RingPair({ nodev: true })
    batch(pair, [bad, LINK], [nop, LINK], [nop, 0], [nop, 0])
    expect(results(pair)).toEqual([
      [1, -abi.EBADF],
      [2, -abi.ECANCELED],
      [3, -abi.ECANCELED],
      [4, 0],
    ])
    batch(pair, [bad, HARD], [nop, HARD], [bad, LINK], [nop, 0])
    expect(results(pair)).toEqual([
      [1, -abi.EBADF],
      [2, 0],
      [3, -abi.EBADF],
      [4, -abi.ECANCELED],
    ])
  })

  it('a chain ends with its batch', () => {
    const pair = new RingPair({ nodev: true })
    const { server } = pair.connect()
    const into = new Uint8Array(10)
    batch(pair, [(sqe) => sqe.prepRecv(server, into), LINK])
    batch(pair, [nop, 0])
    expect(results(pair)).toEqual([[1, 0]])
  })

  it('none runs when one is refused at submission', () => {
    const pair = new RingPair({ nodev: true })
    batch(pair, [nop, HARD], [nop, HARD | abi.IOSQE_BUFFER_SELECT], [nop, 0])
    expect(results(pair)).toEqual([
      [1, -abi.ECANCELED],
      [2, -abi.EOPNOTSUPP],
      [3, -abi.ECANCELED],
    ])
  })

  it('without DEFER_TASKRUN run inside the submission, as long as the chain may be', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const ring = Ring.queueInit(32_768, kernel)
    for (let i = 1; i <= 32_768; i++) ring.getSqe()!.prepNop().setFlags(LINK).setData(i)
    expect(ring.submit()).toBe(32_768)
    expect(ring.cqReady()).toBe(32_768)
  })

  it('a cancel finds what the one in front of it has ended no more', () => {
    const pair = new RingPair({ nodev: true })
    const { server } = pair.connect()
    const all = abi.IORING_ASYNC_CANCEL_ALL
    batch(pair, [(sqe) => sqe.prepRecv(server, new Uint8Array(10)), 0])
    expect(results(pair)).toEqual([])
    batch(
      pair,
      [(sqe) => sqe.prepNop(), LINK],
      [(sqe) => sqe.prepCancelFd(server, all), LINK],
      [(sqe) => sqe.prepCancelFd(server, all), 0],
    )
    expect(results(pair)).toEqual([
      [1, 0],
      [2, 1],
      [1, -abi.ECANCELED],
      [3, 0],
    ])
  })

  it('a short receive breaks the chain only with MSG_WAITALL', () => {
    for (const [flags, last] of [
      [0, 0],
      [abi.MSG_WAITALL, -abi.ECANCELED],
    ] as const) {
      const pair = new RingPair({ nodev: true })
      const { client, server } = pair.connect()
      const into = new Uint8Array(100)
      pair.send(client, bytesOf(10))
      pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
      pair.settle()
      batch(pair, [(sqe) => sqe.prepRecv(server, into, flags), LINK], [nop, 0])
      expect(results(pair)).toEqual([
        [1, 10],
        [2, last],
      ])
    }
  })

  it('behind RECV_ZC run after its limit, and are cancelled after the end of the stream (oracle 32)', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const { zcrxId } = pair.ifq
    pair.send(client, bytesOf(200))
    batch(pair, [(sqe) => sqe.prepRecvZc(server, zcrxId, 150), LINK], [nop, 0])
    expect(results(pair)).toEqual([
      [1, 150],
      [1, 0],
      [2, 0],
    ])
    batch(pair, [(sqe) => sqe.prepRecvZc(server, zcrxId), LINK], [nop, 0])
    expect(results(pair)).toEqual([[1, 50]])
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(results(pair)).toEqual([
      [1, 0],
      [2, -abi.ECANCELED],
    ])
  })

  it('a timeout that fired breaks the chain, unless that is its success', () => {
    const pair = new RingPair({ nodev: true })
    const time = abi.timespecOf(1000)
    batch(pair, [(sqe) => sqe.prepTimeout(time), LINK], [nop, 0])
    expect(results(pair)[1]).toEqual([2, -abi.ECANCELED])
    batch(pair, [(sqe) => sqe.prepTimeout(time, 0, abi.IORING_TIMEOUT_ETIME_SUCCESS), LINK], [nop, 0])
    expect(results(pair)).toEqual([
      [1, -abi.ETIME],
      [2, 0],
    ])
  })
})

describe('IORING_OP_LINK_TIMEOUT', () => {
  const limit = abi.timespecOf(50_000)
  const linkTimeout: Prepare = (sqe) => sqe.prepLinkTimeout(limit)

  it('cancels a request that waits too long, even one that has delivered data (oracle 32)', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    batch(pair, [(sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), LINK], [linkTimeout, 0])
    pair.send(client, bytesOf(100))
    expect(results(pair)).toEqual([
      [1, 100],
      [2, -abi.ETIME],
      [1, -abi.ECANCELED],
    ])
    pair.send(client, bytesOf(100))
    expect(results(pair)).toEqual([])
  })

  it('is cancelled by the completion of its request; what follows goes on', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const into = new Uint8Array(10)
    batch(pair, [(sqe) => sqe.prepRecv(server, into), LINK], [linkTimeout, LINK], [nop, 0])
    pair.send(client, bytesOf(10))
    expect(results(pair)).toEqual([
      [1, 10],
      [2, -abi.ECANCELED],
      [3, 0],
    ])
    batch(pair, [nop, LINK], [linkTimeout, 0])
    expect(results(pair)).toEqual([
      [1, 0],
      [2, -abi.ECANCELED],
    ])
    expect(pair.ring.getEvents()).toBe(0)
  })

  it('cancels the rest of the chain with its request', () => {
    const pair = new RingPair({ nodev: true })
    const { server } = pair.connect()
    const into = new Uint8Array(10)
    batch(pair, [(sqe) => sqe.prepRecv(server, into), LINK], [linkTimeout, LINK], [nop, 0])
    expect(results(pair)).toEqual([
      [2, -abi.ETIME],
      [1, -abi.ECANCELED],
      [3, -abi.ECANCELED],
    ])
  })

  it('belongs to a request', () => {
    const pair = new RingPair({ nodev: true })
    expect(pair.call(linkTimeout)).toBe(-abi.EINVAL)
    batch(pair, [nop, LINK], [linkTimeout, LINK], [linkTimeout, 0])
    expect(results(pair)).toEqual([
      [1, -abi.ECANCELED],
      [2, -abi.ECANCELED],
      [3, -abi.EINVAL],
    ])
  })
})

describe('IOSQE_IO_DRAIN', () => {
  it('waits for all before it, and all behind it wait', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const into = new Uint8Array(10)
    batch(pair, [(sqe) => sqe.prepRecv(server, into), 0], [nop, DRAIN], [nop, 0])
    expect(results(pair)).toEqual([])
    // Without the ring, where a send would wait too.
    pair.client.tcp.send(pair.kernel.files.socket(client)!.tcb!, bytesOf(10), 0, pair.clock.now(), false)
    expect(results(pair)).toEqual([
      [1, 10],
      [2, 0],
      [3, 0],
    ])
    batch(pair, [nop, DRAIN])
    expect(results(pair)).toEqual([[1, 0]])
  })

  it('inside a chain holds for the whole chain and what follows it', () => {
    const pair = new RingPair({ nodev: true })
    const time = abi.timespecOf(1000)
    const wait: Prepare = (sqe) => sqe.prepTimeout(time, 0, abi.IORING_TIMEOUT_ETIME_SUCCESS)
    batch(pair, [wait, 0], [nop, LINK], [wait, DRAIN], [nop, 0])
    expect(results(pair)).toEqual([
      [1, -abi.ETIME],
      [2, 0],
      [3, -abi.ETIME],
      [4, 0],
    ])
  })
})

describe('IOSQE_CQE_SKIP_SUCCESS', () => {
  it('is silent about success, not about failure; RECV_ZC tells its data, and its end (oracle 19)', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    batch(pair, [nop, SKIP], [bad, SKIP])
    expect(results(pair)).toEqual([[2, -abi.EBADF]])
    pair.send(client, bytesOf(100))
    batch(pair, [(sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId, 100), SKIP])
    // A limit that is reached is a success.
    expect(results(pair)).toEqual([[1, 100]])
    batch(pair, [(sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), SKIP])
    pair.submit((sqe) => sqe.prepShutdown(client, abi.SHUT_WR), 9)
    expect(results(pair)).toContainEqual([1, 0])
  })

  it('in a chain leaves only the failure', () => {
    const pair = new RingPair({ nodev: true })
    batch(pair, [nop, LINK | SKIP], [bad, LINK | SKIP], [nop, LINK], [nop, 0])
    expect(results(pair)).toEqual([[2, -abi.EBADF]])
  })

  it('and IO_DRAIN exclude each other', () => {
    const pair = new RingPair({ nodev: true })
    batch(pair, [nop, SKIP])
    batch(pair, [nop, DRAIN])
    expect(results(pair)).toEqual([[1, -abi.EOPNOTSUPP]])
  })
})

describe('the flags of a ring', () => {
  it('say nothing of work any more when a chain has run to its end', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_TASKRUN_FLAG } = abi
    const flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG
    const ring = Ring.queueInit(8, kernel, { flags })
    for (const last of [false, false, true])
      ring
        .getSqe()!
        .prepNop()
        .setFlags(last ? 0 : LINK)
    ring.submit()
    expect(ring.hasWork()).toBe(true)
    ring.getEvents()
    expect([ring.cqReady(), ring.hasWork()]).toEqual([3, false])
    ring.queueExit()
  })
})
