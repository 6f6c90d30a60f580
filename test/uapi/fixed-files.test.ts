import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const { IORING_FILE_INDEX_ALLOC: ALLOC, IOSQE_FIXED_FILE: FIXED } = abi

/** A connection whose server's end is slot 2 of eight. */
function setUp() {
  const pair = new RingPair({ nodev: true })
  const ends = pair.connect()
  expect(pair.ring.registerFilesSparse(8)).toBe(0)
  expect(pair.ring.registerFilesUpdate(2, [ends.server])).toBe(1)
  const fixed = (prepare: (sqe: abi.Sqe) => abi.Sqe) => (sqe: abi.Sqe) => prepare(sqe).setFlags(FIXED)
  return { pair, ...ends, fixed }
}

describe('requests with IOSQE_FIXED_FILE', () => {
  it('work on the slot, RECV_ZC too', () => {
    const { pair, client, fixed } = setUp()
    pair.send(client, bytesOf(1000))
    pair.submit(
      fixed((sqe) => sqe.prepRecvZc(2, pair.ifq.zcrxId)),
      7,
    )
    const [data] = pair.drain()
    expect(data).toMatchObject({ userData: 7, res: 1000, flags: abi.IORING_CQE_F_MORE })
    expect(pair.bytes(data!)).toEqual(bytesOf(1000))
    expect(pair.call(fixed((sqe) => sqe.prepSend(2, bytesOf(5))))).toBe(5)
    expect(pair.call(fixed((sqe) => sqe.prepPollAdd(2, abi.POLLOUT)))).toBe(abi.POLLOUT)
    expect(pair.call(fixed((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, 2)))).toBe(0)
  })

  it('answer EBADF for a slot that is empty or none', () => {
    const { pair, fixed } = setUp()
    for (const slot of [0, 8, -1]) {
      expect(pair.call(fixed((sqe) => sqe.prepSend(slot, bytesOf(5))))).toBe(-abi.EBADF)
      expect(pair.call(fixed((sqe) => sqe.prepRecvZc(slot, 0)))).toBe(-abi.EBADF)
    }
    expect(pair.call(fixed((sqe) => sqe.prepClose(2)))).toBe(-abi.EBADF)
    expect(pair.call(fixed((sqe) => sqe.prepRecvZc(0, 5)))).toBe(-abi.EINVAL)
  })

  it('go on when the slot is emptied', () => {
    const { pair, client, fixed } = setUp()
    pair.submit(
      fixed((sqe) => sqe.prepRecvZc(2, 0)),
      7,
    )
    expect(pair.call((sqe) => sqe.prepCloseDirect(2))).toBe(0)
    pair.send(client, bytesOf(100))
    expect(pair.drain()).toMatchObject([{ userData: 7, res: 100 }])
  })

  it('are cancelled by slot', () => {
    const { pair, server, fixed } = setUp()
    const by = abi.IORING_ASYNC_CANCEL_FD_FIXED
    const into = new Uint8Array(8)
    const cancelled = (prepare: (sqe: abi.Sqe) => abi.Sqe): number[] => {
      pair.submit((sqe) => sqe.prepRecv(server, into), 5)
      pair.submit(prepare, 6)
      return pair.drain().map((cqe) => cqe.res)
    }
    expect(cancelled((sqe) => sqe.prepCancelFd(2, by))).toEqual([0, -abi.ECANCELED])
    expect(cancelled(fixed((sqe) => sqe.prepCancelFd(2)))).toEqual([0, -abi.ECANCELED])
    expect(pair.call((sqe) => sqe.prepCancelFd(3, by))).toBe(-abi.EBADF)
    pair.submit((sqe) => sqe.prepRecv(server, into), 5)
    const reg = new abi.SyncCancelReg(new Uint8Array(64))
    reg.fd = 2
    reg.flags = abi.IORING_ASYNC_CANCEL_FD | by
    expect(pair.ring.registerSyncCancel(reg)).toBe(0)
    expect(pair.drain()).toMatchObject([{ userData: 5, res: -abi.ECANCELED }])
  })
})

describe('fixed files', () => {
  it('keep a connection open that its descriptor has let go of', () => {
    const { pair, client, server, fixed } = setUp()
    const into = new Uint8Array(100)
    expect(pair.call((sqe) => sqe.prepClose(server))).toBe(0)
    pair.send(client, bytesOf(100))
    expect(pair.call(fixed((sqe) => sqe.prepRecv(2, into)))).toBe(100)
    expect(pair.call((sqe) => sqe.prepCloseDirect(2))).toBe(0)
    pair.settle()
    expect(pair.call((sqe) => sqe.prepRecv(client, into))).toBe(0)
  })

  it('stay open while an accept waits that was made through a slot', () => {
    const pair = new RingPair({ nodev: true })
    const { listener } = pair.connect()
    expect(pair.ring.registerFiles([listener])).toBe(0)
    pair.submit((sqe) => sqe.prepAccept(0).setFlags(FIXED), 5)
    expect(pair.call((sqe) => sqe.prepClose(listener))).toBe(0)
    expect(pair.drain()).toEqual([])
    expect(pair.ring.unregisterFiles()).toBe(0)
    const fd = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
    const local = abi.sockaddrOf(pair.clientAddress, 0)
    pair.call((sqe) => sqe.prepBind(fd, local))
    const remote = abi.sockaddrOf(pair.serverAddress, 9000)
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(0)
    expect(pair.drain()).toMatchObject([{ userData: 5, flags: 0 }])
    // Nothing names or uses it now.
    expect(pair.call((sqe) => sqe.prepShutdown(fd, abi.SHUT_RDWR))).toBe(0)
    const again = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
    expect(pair.call((sqe) => sqe.prepConnect(again, remote))).toBe(-abi.ECONNREFUSED)
  })

  it('are registered once, and let go of when the ring ends', () => {
    const { pair, client, server } = setUp()
    expect(pair.ring.registerFiles([server])).toBe(-abi.EBUSY)
    expect(pair.ring.unregisterFiles()).toBe(0)
    expect(pair.ring.unregisterFiles()).toBe(-abi.ENXIO)
    expect(pair.ring.registerFilesUpdate(0, [server])).toBe(-abi.ENXIO)
    expect(pair.ring.registerFiles([server, -1, client])).toBe(0)
    pair.ring.queueExit()
    expect(pair.kernel.files.socket(server)).not.toBeNull()
  })

  it('are refused as Linux refuses them', () => {
    const { pair, server } = setUp()
    const { ring } = pair
    expect(ring.registerFilesUpdate(7, [server, server])).toBe(-abi.EINVAL)
    expect(ring.registerFilesUpdate(0xffff_ffff, [server])).toBe(-abi.EOVERFLOW)
    expect(ring.registerFilesUpdate(0, [])).toBe(-abi.EINVAL)
    expect(ring.registerFilesUpdate(0, [999, server])).toBe(-abi.EBADF)
    expect(ring.registerFilesUpdate(0, [server, 999, server])).toBe(1)
    expect(ring.registerFilesUpdate(0, [abi.IORING_REGISTER_FILES_SKIP, -1, server])).toBe(3)
    expect(ring.registerFilesUpdate(4, [ring.ringFd])).toBe(-abi.EBADF)
    ring.unregisterFiles()
    expect(ring.registerFiles([])).toBe(-abi.EINVAL)
    expect(ring.registerFiles([server, 999])).toBe(-abi.EBADF)
    expect(ring.registerFiles([ring.ringFd])).toBe(-abi.EBADF)
    expect(ring.registerFilesSparse(0)).toBe(-abi.EINVAL)
    expect(ring.registerFilesSparse(2 ** 20 + 1)).toBe(-abi.EMFILE)
    expect(ring.registerFiles([-1], [5])).toBe(-abi.EINVAL)
    expect(ring.registerFiles([server])).toBe(0)
  })

  it('have structures that are checked', () => {
    const { pair } = setUp()
    const backend = ringContext(pair.kernel, ZC_FLAGS)
    const bytes = (size: number, ...words: number[]): Uint8Array => {
      const made = new Uint8Array(size)
      made.set(new Uint8Array(Uint32Array.from(words).buffer))
      return made
    }
    const { IORING_REGISTER_FILES2: FILES2, IORING_REGISTER_FILE_ALLOC_RANGE: RANGE } = abi
    expect(backend.register(abi.IORING_REGISTER_FILES, null, 1)).toBe(-abi.EFAULT)
    expect(backend.register(abi.IORING_UNREGISTER_FILES, null, 1)).toBe(-abi.EINVAL)
    expect(backend.register(FILES2, bytes(32, 4, 1), 31)).toBe(-abi.EINVAL)
    expect(backend.register(FILES2, bytes(16, 4, 1), 32)).toBe(-abi.EFAULT)
    expect(backend.register(FILES2, bytes(32, 4, 2), 32)).toBe(-abi.EINVAL)
    expect(backend.register(FILES2, bytes(32, 4, 1, 1), 32)).toBe(-abi.EINVAL)
    expect(backend.register(FILES2, bytes(32, 4, 1, 0, 0, 4096), 32)).toBe(-abi.EINVAL)
    expect(backend.register(FILES2, bytes(32, 4, 0, 0, 0, 4096), 32)).toBe(-abi.EFAULT)
    expect(backend.register(FILES2, bytes(32, 4, 1), 32)).toBe(0)
    const update = abi.IORING_REGISTER_FILES_UPDATE
    expect(backend.register(update, bytes(16, 0, 1), 1)).toBe(-abi.EINVAL)
    expect(backend.register(update, bytes(16, 0, 0, 4096), 1)).toBe(-abi.EFAULT)
    expect(backend.register(update, bytes(16), 0)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_FILES_UPDATE2, bytes(32), 32)).toBe(-abi.EINVAL)
    expect(backend.register(RANGE, bytes(16, 0, 4), 1)).toBe(-abi.EINVAL)
    expect(backend.register(RANGE, bytes(16, 0, 4, 1), 0)).toBe(-abi.EINVAL)
    expect(backend.register(RANGE, bytes(16, 1, 4), 0)).toBe(-abi.EINVAL)
    expect(backend.register(RANGE, bytes(16, 0xffff_ffff, 1), 0)).toBe(-abi.EOVERFLOW)
    expect(backend.register(RANGE, bytes(16, 1, 3), 0)).toBe(0)
  })

  it('with a tag tell when nothing uses them any more', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    expect(pair.ring.registerFiles([server, client], [100, 200])).toBe(0)
    pair.submit((sqe) => sqe.prepRecv(0, new Uint8Array(8)).setFlags(FIXED), 5)
    expect(pair.ring.registerFilesUpdate(0, [-1, -1])).toBe(2)
    // A request still uses the first.
    expect(pair.drain()).toMatchObject([{ userData: 200, res: 0, flags: 0 }])
    pair.submit((sqe) => sqe.prepCancel(5), 6)
    expect(pair.drain().map((cqe) => [cqe.userData, cqe.res])).toEqual([
      [6, 0],
      [5, -abi.ECANCELED],
      [100, 0],
    ])
  })
})

describe('direct descriptors', () => {
  const socket = (slot: number) => (sqe: abi.Sqe) =>
    sqe.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, slot)

  it('are made by SOCKET, in the slot asked for or in a free one', () => {
    const { pair } = setUp()
    expect(pair.call(socket(5))).toBe(0)
    expect(pair.call(socket(2))).toBe(0)
    // Linux goes on from the last one that was filled, and around.
    expect([1, 2, 3, 4, 5, 6].map(() => pair.call(socket(ALLOC)))).toEqual([3, 4, 6, 7, 0, 1])
    expect(pair.call(socket(ALLOC))).toBe(-abi.ENFILE)
    expect(pair.call((sqe) => sqe.prepCloseDirect(6))).toBe(0)
    expect(pair.call((sqe) => sqe.prepCloseDirect(6))).toBe(-abi.EBADF)
    expect(pair.call(socket(ALLOC))).toBe(6)
    expect(pair.call(socket(8))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepCloseDirect(8))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepClose(3).setTargetFixedFile(1))).toBe(-abi.EINVAL)
  })

  it('are allocated in the range that was set', () => {
    const { pair } = setUp()
    expect(pair.ring.registerFileAllocRange(1, 3)).toBe(0)
    expect([1, 2, 3].map(() => pair.call(socket(ALLOC)))).toEqual([1, 3, -abi.ENFILE])
    expect(pair.ring.registerFileAllocRange(6, 3)).toBe(-abi.EINVAL)
  })

  it('need slots', () => {
    const pair = new RingPair({ nodev: true })
    expect(pair.call(socket(0))).toBe(-abi.ENXIO)
    expect(pair.call(socket(ALLOC))).toBe(-abi.ENFILE)
    expect(pair.call((sqe) => sqe.prepCloseDirect(0))).toBe(-abi.ENXIO)
  })

  it('are what ACCEPT gives, once and multishot, and data goes through them', () => {
    const pair = new RingPair({ nodev: true })
    const { listener } = pair.connect()
    pair.ring.registerFilesSparse(3)
    const connectOne = (): number => {
      const fd = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
      const local = abi.sockaddrOf(pair.clientAddress, 0)
      pair.call((sqe) => sqe.prepBind(fd, local))
      const remote = abi.sockaddrOf(pair.serverAddress, 9000)
      expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(0)
      return fd
    }
    const first = connectOne()
    expect(pair.call((sqe) => sqe.prepAcceptDirect(listener, 1))).toBe(0)
    pair.send(first, bytesOf(10))
    const into = new Uint8Array(10)
    expect(pair.call((sqe) => sqe.prepRecv(1, into).setFlags(FIXED))).toBe(10)
    pair.submit((sqe) => sqe.prepMultishotAcceptDirect(listener), 7)
    for (let i = 0; i < 3; i++) connectOne()
    expect(pair.drain().map((cqe) => [cqe.res, cqe.flags & 2])).toEqual([
      [2, 2],
      [0, 2],
      [-abi.ENFILE, 0],
    ])
    const multishot = (sqe: abi.Sqe) => sqe.prepMultishotAccept(listener).setTargetFixedFile(1)
    expect(pair.call(multishot)).toBe(-abi.EINVAL)
  })
})
