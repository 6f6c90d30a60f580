import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

type Seen = [userData: number, res: number, flags: number]

const { IORING_FILE_INDEX_ALLOC: ALLOC, POLLIN, POLLOUT } = abi

function rings(...flags: number[]): { kernel: InlineKernel; rings: Ring[] } {
  const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
  return { kernel, rings: flags.map((some) => Ring.queueInit(8, kernel, { flags: some })) }
}

function take(ring: Ring): Seen[] {
  const seen: Seen[] = []
  ring.cqAdvance(ring.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res, cqe.flags])))
  return seen
}

/** Submits one entry as 1, and returns everything that is there then. */
function ask(ring: Ring, prepare: (sqe: abi.Sqe) => abi.Sqe): Seen[] {
  prepare(ring.getSqe()!).setData(1)
  ring.submit()
  return take(ring)
}

const DEFER = abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER

describe("a ring's descriptor", () => {
  it('is given out when it is first asked for, and free again when the ring ends', () => {
    const { kernel, rings: all } = rings(0, 0)
    const [one, two] = all as [Ring, Ring]
    const [first, second] = [two.ringFd, one.ringFd]
    expect([two.ringFd, second]).toEqual([first, first + 1])
    expect(kernel.files.get(first)?.kind).toBe('ring')
    two.queueExit()
    expect(kernel.files.get(first)).toBeNull()
    one.queueExit()
  })

  it('is no socket, and can not be closed by a request', () => {
    const { rings: all } = rings(0)
    const ring = all[0]!
    expect(ask(ring, (sqe) => sqe.prepSend(ring.ringFd, bytesOf(1)))).toEqual([[1, -abi.ENOTSOCK, 0]])
    expect(ask(ring, (sqe) => sqe.prepClose(ring.ringFd))).toEqual([[1, -abi.EBADF, 0]])
    const command = abi.SOCKET_URING_OP_SIOCINQ
    expect(ask(ring, (sqe) => sqe.prepCmdSock(command, ring.ringFd))).toEqual([[1, -abi.EOPNOTSUPP, 0]])
  })

  it('is ready to be read when completions are there, and to be written while entries fit', () => {
    const { rings: all } = rings(0, 0)
    const [watcher, watched] = all as [Ring, Ring]
    const poll = (events: number) => ask(watcher, (sqe) => sqe.prepPollAdd(watched.ringFd, events))
    expect(poll(POLLIN | POLLOUT)).toEqual([[1, POLLOUT, 0]])
    expect(poll(POLLIN)).toEqual([])
    watched.getSqe()!.prepNop()
    watched.submit()
    watcher.getEvents()
    expect(take(watcher)).toEqual([[1, POLLIN, 0]])
    expect(poll(POLLIN | POLLOUT)).toEqual([[1, POLLIN | POLLOUT, 0]])
    take(watched)
    expect(poll(POLLIN)).toEqual([])
    watcher.getSqe()!.prepCancelFd(watched.ringFd).setData(2)
    watcher.submit()
    expect(take(watcher)).toEqual([
      [2, 0, 0],
      [1, -abi.ECANCELED, 0],
    ])
  })

  it('polled more than once ends when the ring wakes it', () => {
    const { rings: all } = rings(0, 0)
    const [watcher, watched] = all as [Ring, Ring]
    watched.getSqe()!.prepNop()
    watched.submit()
    expect(ask(watcher, (sqe) => sqe.prepPollAdd(watched.ringFd, POLLIN, true))).toEqual([
      [1, POLLIN, abi.IORING_CQE_F_MORE],
    ])
    take(watched)
    watched.getSqe()!.prepNop()
    watched.submit()
    watcher.getEvents()
    expect(take(watcher)).toEqual([[1, POLLIN, 0]])
  })

  it('and its flags tell of data that has arrived, before the ring is entered (kernel record 23, cancel.wakeup_signals)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const area = new Uint8Array(8 * 4096)
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS | abi.IORING_SETUP_TASKRUN_FLAG })
    ring.registerIfq({ ifIdx: 0, ifRxq: 0, rqEntries: 8, area, flags: abi.ZCRX_REG_NODEV })
    const state = (): unknown[] => {
      const seen: Seen[] = []
      const poll = Ring.queueInit(8, pair.kernel)
      poll.getSqe()!.prepPollAdd(ring.ringFd, POLLIN)
      poll.submit()
      poll.cqAdvance(poll.forEachCqe((cqe) => seen.push([cqe.userData, cqe.res, cqe.flags])))
      poll.queueExit()
      const flags = ring.memory.control[ring.memory.sqFlagsAt]! & abi.IORING_SQ_TASKRUN
      return [ring.cqReady(), flags !== 0, seen.map((cqe) => cqe[1])]
    }
    ring.getSqe()!.prepRecvZc(server, 0).setData(1)
    ring.submit()
    expect(state()).toEqual([0, false, []])
    // Nobody on that ring has asked for this.
    pair.send(server, bytesOf(1))
    expect(state()).toEqual([0, false, []])
    ring.getSqe()!.prepRecvZc(client, 0).setData(2)
    ring.submit()
    take(ring)
    pair.send(server, bytesOf(100))
    expect(state()).toEqual([0, true, [POLLIN]])
    ring.getEvents()
    expect(take(ring)).toEqual([[2, 100, abi.IORING_CQE_F_MORE]])
    expect(state()).toEqual([0, false, []])
    ring.queueExit()
  })
})

describe('MSG_RING', () => {
  it('posts a completion to another ring, with flags if they are to be passed', () => {
    const { rings: all } = rings(0, 0)
    const [from, to] = all as [Ring, Ring]
    expect(ask(from, (sqe) => sqe.prepMsgRing(to.ringFd, 77, 2 ** 40 + 5))).toEqual([[1, 0, 0]])
    expect(take(to)).toEqual([[2 ** 40 + 5, 77, 0]])
    expect(ask(from, (sqe) => sqe.prepMsgRingCqeFlags(to.ringFd, 0xffff_fffe, 6, 0, 0x40))).toEqual([
      [1, 0, 0],
    ])
    expect(take(to)).toEqual([[6, -2, 0x40]])
  })

  it('is task work of a ring that defers it', () => {
    const { rings: all } = rings(0, DEFER | abi.IORING_SETUP_TASKRUN_FLAG)
    const [from, to] = all as [Ring, Ring]
    expect(ask(from, (sqe) => sqe.prepMsgRing(to.ringFd, 1, 5))).toEqual([[1, 0, 0]])
    expect(to.memory.control[to.memory.sqFlagsAt]! & abi.IORING_SQ_TASKRUN).not.toBe(0)
    expect(take(to)).toEqual([])
    to.getEvents()
    expect(take(to)).toEqual([[5, 1, 0]])
    expect(to.memory.control[to.memory.sqFlagsAt]! & abi.IORING_SQ_TASKRUN).toBe(0)
  })

  it('goes to the ring itself too, and overflows as any completion does', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
    const from = Ring.queueInit(8, kernel)
    const to = Ring.queueInit(1, kernel, { cqEntries: 2 })
    expect(ask(from, (sqe) => sqe.prepMsgRing(from.ringFd, 3, 9))).toEqual([
      [9, 3, 0],
      [1, 0, 0],
    ])
    for (let i = 1; i <= 3; i++) {
      expect(ask(from, (sqe) => sqe.prepMsgRing(to.ringFd, i, i))).toEqual([[1, 0, 0]])
    }
    expect(take(to).map(([userData]) => userData)).toEqual([1, 2])
    to.getEvents()
    expect(take(to).map(([userData]) => userData)).toEqual([3])
  })

  it('wakes who waits on the other ring', () => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(1), idle: () => false })
    const [from, to] = [Ring.queueInit(8, kernel), Ring.queueInit(8, kernel)]
    from.getSqe()!.prepMsgRing(to.ringFd, 0, 5)
    from.submit()
    expect(to.submitAndWait(1)).toBe(0)
    expect(take(to)).toEqual([[5, 0, 0]])
  })

  it('is refused as Linux refuses it', () => {
    const { kernel, rings: all } = rings(0, 0, abi.IORING_SETUP_R_DISABLED, abi.IORING_SETUP_CQE_MIXED)
    const [from, to, disabled, mixed] = all as [Ring, Ring, Ring, Ring]
    const refused = (errno: number, prepare: (sqe: abi.Sqe) => abi.Sqe): void => {
      expect(ask(from, prepare)).toEqual([[1, -errno, 0]])
    }
    const foreign = kernel.files.open({ kind: 'foreign', release: () => {} })
    refused(abi.EBADF, (sqe) => sqe.prepMsgRing(99, 0, 5))
    refused(abi.EBADFD, (sqe) => sqe.prepMsgRing(foreign, 0, 5))
    refused(abi.EBADFD, (sqe) => sqe.prepMsgRing(disabled.ringFd, 0, 5))
    refused(abi.EINVAL, (sqe) => sqe.prepMsgRing(to.ringFd, 0, 5, abi.IORING_MSG_RING_CQE_SKIP))
    refused(abi.EINVAL, (sqe) => sqe.prepMsgRing(to.ringFd, 0, 5, 4))
    refused(abi.EINVAL, (sqe) => sqe.prepMsgRing(to.ringFd, 0, 5).setTargetFixedFile(3))
    refused(abi.EINVAL, (sqe) => sqe.prepMsgRing(to.ringFd, 0, 5).setBufGroup(1))
    refused(abi.EINVAL, (sqe) => sqe.prepRw(abi.IORING_OP_MSG_RING, to.ringFd, 2, 0, 5))
    const { IORING_CQE_F_32: WIDE } = abi
    refused(abi.EINVAL, (sqe) => sqe.prepMsgRingCqeFlags(mixed.ringFd, 0, 5, 0, WIDE))
    expect(take(to)).toEqual([])
  })
})

describe('MSG_RING with a fixed file', () => {
  function setUp() {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const to = Ring.queueInit(8, pair.kernel)
    pair.ring.registerFiles([server, -1])
    to.registerFilesSparse(4)
    return { pair, client, to }
  }

  it('puts it into a slot of the other ring, and says which', () => {
    const { pair, client, to } = setUp()
    expect(pair.call((sqe) => sqe.prepMsgRingFd(to.ringFd, 0, 2, 9))).toBe(0)
    expect(pair.call((sqe) => sqe.prepMsgRingFd(to.ringFd, 0, ALLOC, 10))).toBe(3)
    const skip = abi.IORING_MSG_RING_CQE_SKIP
    expect(pair.call((sqe) => sqe.prepMsgRingFd(to.ringFd, 0, 1, 11, skip))).toBe(0)
    expect(take(to)).toEqual([
      [9, 0, 0],
      [10, 3, 0],
    ])
    const into = new Uint8Array(10)
    pair.ring.unregisterFiles()
    pair.send(client, bytesOf(10))
    to.getSqe()!.prepRecv(1, into).setFlags(abi.IOSQE_FIXED_FILE).setData(4)
    to.submit()
    expect(take(to)).toEqual([[4, 10, 0]])
    expect(into).toEqual(bytesOf(10))
  })

  it('is refused as Linux refuses it', () => {
    const { pair, to } = setUp()
    const none = Ring.queueInit(8, pair.kernel)
    const disabled = Ring.queueInit(8, pair.kernel, { flags: abi.IORING_SETUP_R_DISABLED })
    const send = (ring: Ring, source: number, target: number): number =>
      pair.call((sqe) => sqe.prepMsgRingFd(ring.ringFd, source, target, 9))
    expect(send(to, 1, 0)).toBe(-abi.EBADF)
    expect(send(to, 5, 0)).toBe(-abi.EBADF)
    expect(send(to, 0, 4)).toBe(-abi.EINVAL)
    expect(send(none, 0, 0)).toBe(-abi.ENXIO)
    expect(send(none, 0, ALLOC)).toBe(-abi.ENFILE)
    expect(send(disabled, 0, 0)).toBe(-abi.EBADFD)
    expect(send(pair.ring, 0, 1)).toBe(-abi.EINVAL)
    expect(take(to)).toEqual([])
  })
})
