import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import type { BufRing } from '../../uapi/ring/buf-ring.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, type Completion, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const {
  IORING_CQE_F_BUF_MORE: BUF_MORE,
  IORING_CQE_F_BUFFER: BUFFER,
  IORING_CQE_F_MORE: MORE,
  IORING_CQE_F_SOCK_NONEMPTY: NONEMPTY,
  IOSQE_BUFFER_SELECT: SELECT,
  MSG_PEEK,
  MSG_WAITALL,
} = abi
const GROUP = 3

/** A connection, and a group of `count` buffers of `size` bytes in a ring; their ids are 10, 11, … */
function setUp(count: number, size: number, flags = 0) {
  const pair = new RingPair({ nodev: true })
  const ends = pair.connect()
  const made = pair.ring.setupBufRing(8, GROUP, flags)
  if (typeof made === 'number') throw new Error(abi.errnoName(made))
  const bufRing: BufRing = made
  const buffers = Array.from({ length: count }, () => new Uint8Array(size))
  for (const [i, buffer] of buffers.entries()) bufRing.bufRingAdd(buffer, 10 + i)
  bufRing.bufRingAdvance()
  const recv = (length = 0, msgFlags = 0, ioprio = 0, userData = 1): void =>
    pair.submit(
      (sqe) =>
        sqe
          .prepRw(abi.IORING_OP_RECV, ends.server, 0, length, 0)
          .setOpFlags(msgFlags)
          .setFlags(SELECT)
          .setIoprio(ioprio)
          .setBufGroup(GROUP),
      userData,
    )
  const multishot = (length = 0, limit = 0): void =>
    pair.submit((sqe) => sqe.prepRecvMultishot(ends.server, GROUP, length, 0, limit), 1)
  const bytes = (id: number, length: number) => buffers[id - 10]!.subarray(0, length)
  return { pair, ...ends, bufRing, buffers, recv, multishot, bytes }
}

/** Buffer id and length of each completion with a buffer, then its flags. */
function seen(completions: Completion[]): [number, number, number][] {
  return completions.map((cqe) => [cqe.flags >>> 16, cqe.res, cqe.flags & 0xffff])
}

describe('RECV with IOSQE_BUFFER_SELECT', () => {
  it('fills the next buffer, says which, and that there is more', () => {
    const { pair, client, recv, bytes } = setUp(3, 100)
    pair.send(client, bytesOf(150))
    recv()
    expect(seen(pair.drain())).toEqual([[10, 100, BUFFER | NONEMPTY]])
    expect(bytes(10, 100)).toEqual(bytesOf(150).subarray(0, 100))
    recv()
    expect(seen(pair.drain())).toEqual([[11, 50, BUFFER]])
    expect(bytes(11, 50)).toEqual(bytesOf(150).subarray(100))
    expect(pair.ring.bufRingHead(GROUP)).toBe(2)
  })

  it('takes no more than it was asked for, and that costs a buffer', () => {
    const { pair, client, recv } = setUp(3, 100)
    pair.send(client, bytesOf(150))
    recv(30)
    recv(200)
    expect(seen(pair.drain())).toEqual([
      [10, 30, BUFFER | NONEMPTY],
      [11, 100, BUFFER | NONEMPTY],
    ])
  })

  it('waits with a buffer in reach, and is ENOBUFS at once without', () => {
    const { pair, client, recv } = setUp(1, 100)
    recv()
    expect(pair.drain()).toEqual([])
    pair.send(client, bytesOf(10))
    expect(seen(pair.drain())).toEqual([[10, 10, BUFFER]])
    recv()
    expect(pair.drain()).toMatchObject([{ res: -abi.ENOBUFS, flags: 0 }])
    recv(0, 0, abi.IORING_RECVSEND_POLL_FIRST)
    expect(pair.drain()).toEqual([])
    pair.send(client, bytesOf(10))
    expect(pair.drain()).toMatchObject([{ res: -abi.ENOBUFS, flags: 0 }])
  })

  it('uses no buffer for the end of the stream, an error, or EAGAIN', () => {
    const { pair, client, server, recv } = setUp(1, 100)
    recv(0, abi.MSG_DONTWAIT)
    expect(pair.drain()).toMatchObject([{ res: -abi.EAGAIN, flags: 0 }])
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    pair.settle()
    recv()
    // Linux says of a FIN that there is something to be read, always.
    expect(pair.drain()).toMatchObject([{ res: 0, flags: NONEMPTY }])
    expect(pair.ring.bufRingHead(GROUP)).toBe(0)
    const listening = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
    pair.submit((sqe) => sqe.prepRecvMultishot(listening, GROUP), 2)
    expect(pair.drain()).toMatchObject([{ res: -abi.ENOTCONN, flags: 0 }])
    expect(server).toBeGreaterThan(0)
  })

  it('with MSG_PEEK uses the buffer up and leaves the bytes', () => {
    const { pair, client, recv } = setUp(2, 100)
    pair.send(client, bytesOf(10))
    recv(0, MSG_PEEK)
    recv()
    expect(seen(pair.drain())).toEqual([
      [10, 10, BUFFER | NONEMPTY],
      [11, 10, BUFFER],
    ])
  })

  it('with MSG_WAITALL fills one buffer, which nobody else gets', () => {
    const { pair, client, recv, bytes } = setUp(3, 100)
    recv(0, MSG_WAITALL)
    pair.send(client, bytesOf(60))
    expect(pair.drain()).toEqual([])
    recv(0, 0, 0, 2)
    expect(pair.ring.bufRingHead(GROUP)).toBe(1)
    pair.submit((sqe) => sqe.prepCancel(2), 9)
    pair.drain()
    pair.send(client, bytesOf(60, 2))
    expect(seen(pair.drain())).toEqual([[10, 100, BUFFER | NONEMPTY]])
    expect([...bytes(10, 100)]).toEqual([...bytesOf(60), ...bytesOf(40, 2)])
    recv(0, MSG_WAITALL)
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(seen(pair.drain())).toEqual([[11, 20, BUFFER | NONEMPTY]])
  })

  it('is EFAULT for a buffer that can not be written to, which stays in the group', () => {
    const { pair, client, recv, buffers } = setUp(1, 100)
    pair.kernel.space.makeReadOnly(buffers[0]!.buffer)
    pair.send(client, bytesOf(1))
    recv()
    expect(pair.drain()).toMatchObject([{ res: -abi.EFAULT, flags: 0 }])
    expect(pair.ring.bufRingHead(GROUP)).toBe(0)
  })

  it('is EFAULT when the data lies in an area (kernel record point 70)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const memory = new Uint8Array(10)
    pair.call((sqe) => sqe.prepProvideBuffers(memory, 10, 1, GROUP, 0))
    pair.submit((sqe) => sqe.prepRecvMultishot(server, GROUP), 1)
    pair.send(client, bytesOf(1))
    expect(pair.drain()).toMatchObject([{ res: -abi.EFAULT, flags: 0 }])
  })
})

describe('RECV multishot', () => {
  it('goes on from buffer to buffer, over arrivals, until none is left', () => {
    const { pair, client, multishot, bufRing, buffers } = setUp(3, 100)
    multishot()
    pair.send(client, bytesOf(150))
    expect(seen(pair.drain())).toEqual([
      [10, 100, BUFFER | MORE | NONEMPTY],
      [11, 50, BUFFER | MORE],
    ])
    pair.send(client, bytesOf(30))
    expect(seen(pair.drain())).toEqual([[12, 30, BUFFER | MORE]])
    pair.send(client, bytesOf(5))
    expect(pair.drain()).toMatchObject([{ res: -abi.ENOBUFS, flags: 0 }])
    bufRing.bufRingAdd(buffers[0]!, 10)
    bufRing.bufRingAdvance()
    multishot()
    expect(seen(pair.drain())).toEqual([[10, 5, BUFFER | MORE]])
  })

  it('ends with 0 at the end of the stream, having had the data', () => {
    const { pair, client, multishot } = setUp(3, 100)
    multishot()
    pair.send(client, bytesOf(20))
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(seen(pair.drain())).toEqual([
      [10, 20, BUFFER | MORE],
      [0, 0, NONEMPTY],
    ])
  })

  it('cuts what it receives to the length it was given, and ends at its limit', () => {
    const { pair, client, multishot } = setUp(4, 100)
    multishot(40, 100)
    pair.send(client, bytesOf(200))
    expect(seen(pair.drain())).toEqual([
      [10, 40, BUFFER | MORE | NONEMPTY],
      [11, 40, BUFFER | MORE | NONEMPTY],
      [12, 40, BUFFER | NONEMPTY],
    ])
  })

  it('ends when the completion queue is full, and that completion is not lost', () => {
    const pair = new RingPair({ nodev: true, params: { cqEntries: 64 } })
    const { client, server } = pair.connect()
    const bufRing = pair.ring.setupBufRing(256, GROUP) as BufRing
    for (let i = 0; i < 200; i++) bufRing.bufRingAdd(new Uint8Array(10), i)
    bufRing.bufRingAdvance()
    pair.send(client, bytesOf(1000))
    pair.submit((sqe) => sqe.prepRecvMultishot(server, GROUP), 1)
    const got = pair.drain()
    expect(got.length).toBe(65)
    expect(got.slice(0, 64).every((cqe) => (cqe.flags & MORE) !== 0)).toBe(true)
    expect(seen(got.slice(64))).toEqual([[64, 10, BUFFER | NONEMPTY]])
  })

  it('is cancelled as any other', () => {
    const { pair, multishot } = setUp(1, 100)
    multishot()
    pair.submit((sqe) => sqe.prepCancel(1), 2)
    expect(pair.drain().map((cqe) => [cqe.userData, cqe.res, cqe.flags])).toEqual([
      [2, 0, 0],
      [1, -abi.ECANCELED, 0],
    ])
  })

  it('needs BUFFER_SELECT, and can not wait for all', () => {
    const { pair, server } = setUp(1, 100)
    const ask = (change: (sqe: abi.Sqe) => abi.Sqe): number =>
      pair.call((sqe) => change(sqe.prepRecvMultishot(server, GROUP)))
    expect(ask((sqe) => sqe.setFlags(0))).toBe(-abi.EINVAL)
    expect(ask((sqe) => sqe.setOpFlags(MSG_WAITALL))).toBe(-abi.EINVAL)
    expect(ask((sqe) => sqe.setIoprio(0).setTargetFixedFile(6))).toBe(-abi.EINVAL)
  })
})

describe('RECV as a bundle', () => {
  it('fills one buffer after the other and says so once, with the first', () => {
    const { pair, client, recv, buffers } = setUp(5, 100)
    pair.send(client, bytesOf(200))
    recv(0, 0, abi.IORING_RECVSEND_BUNDLE)
    expect(seen(pair.drain())).toEqual([[10, 200, BUFFER]])
    expect(Buffer.concat(buffers).subarray(0, 200)).toEqual(Buffer.from(bytesOf(200)))
    expect(pair.ring.bufRingHead(GROUP)).toBe(2)
    pair.send(client, bytesOf(250))
    recv(120, 0, abi.IORING_RECVSEND_BUNDLE)
    expect(seen(pair.drain())).toEqual([[12, 120, BUFFER | NONEMPTY]])
  })

  it('leaves what would not fill a further buffer to a completion of its own, as Linux does', () => {
    const { pair, client, recv } = setUp(5, 100)
    pair.send(client, bytesOf(250))
    recv(0, 0, abi.IORING_RECVSEND_BUNDLE)
    expect(seen(pair.drain())).toEqual([[10, 200, BUFFER | NONEMPTY]])
    recv(0, 0, abi.IORING_RECVSEND_BUNDLE)
    expect(seen(pair.drain())).toEqual([[12, 50, BUFFER]])
    pair.send(client, bytesOf(101))
    recv(0, 0, abi.IORING_RECVSEND_BUNDLE)
    expect(seen(pair.drain())).toEqual([[13, 100, BUFFER | NONEMPTY]])
  })

  it('ends a multishot with the last buffer', () => {
    const { pair, client, server } = setUp(3, 100)
    const bundle = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_BUNDLE
    pair.submit((sqe) => sqe.prepRecvMultishot(server, GROUP).setIoprio(bundle), 1)
    pair.send(client, bytesOf(150))
    expect(seen(pair.drain())).toEqual([[10, 150, BUFFER | MORE]])
    pair.send(client, bytesOf(50))
    expect(seen(pair.drain())).toEqual([[12, 50, BUFFER]])
  })
})

describe('a ring of buffers that are used up bit by bit (IOU_PBUF_RING_INC)', () => {
  it('stays with a buffer until it is full', () => {
    const { pair, client, multishot, buffers } = setUp(2, 100, abi.IOU_PBUF_RING_INC)
    multishot()
    pair.send(client, bytesOf(60))
    pair.send(client, bytesOf(60, 2))
    expect(seen(pair.drain())).toEqual([
      [10, 60, BUFFER | BUF_MORE | MORE],
      [10, 40, BUFFER | MORE | NONEMPTY],
      [11, 20, BUFFER | BUF_MORE | MORE],
    ])
    expect([...buffers[0]!]).toEqual([...bytesOf(60), ...bytesOf(40, 2)])
    expect(pair.ring.bufRingHead(GROUP)).toBe(1)
  })
})

describe('registering a ring of buffers', () => {
  it('with IOU_PBUF_RING_MMAP gives memory of its own', () => {
    const { pair, client, recv } = setUp(1, 100, abi.IOU_PBUF_RING_MMAP)
    pair.send(client, bytesOf(10))
    recv()
    expect(seen(pair.drain())).toEqual([[10, 10, BUFFER]])
  })

  it('is refused as Linux refuses it', () => {
    const pair = new RingPair()
    const { ring } = pair
    for (const entries of [0, 3, 65_536]) expect(ring.setupBufRing(entries, 1)).toBe(-abi.EINVAL)
    expect(ring.setupBufRing(8, 1, 4)).toBe(-abi.EINVAL)
    const made = ring.setupBufRing(8, 1) as BufRing
    expect(ring.setupBufRing(8, 1)).toBe(-abi.EEXIST)
    expect(ring.freeBufRing(made)).toBe(0)
    expect(ring.freeBufRing(made)).toBe(-abi.ENOENT)
    expect(ring.bufRingHead(1)).toBe(-abi.ENOENT)
    expect(typeof ring.setupBufRing(8, 1)).toBe('object')
  })

  it('checks its structures', () => {
    const pair = new RingPair()
    const backend = ringContext(pair.kernel, ZC_FLAGS)
    const ask = (address: number, change: (reg: abi.BufReg) => void = () => {}, nrArgs = 1): number => {
      const reg = new abi.BufReg(new Uint8Array(40))
      reg.ringEntries = 8
      reg.ringAddr = address
      change(reg)
      return backend.register(abi.IORING_REGISTER_PBUF_RING, reg.bytes, nrArgs)
    }
    const memory = pair.kernel.space.addressOf(new Uint8Array(4096))
    expect(ask(0)).toBe(-abi.EFAULT)
    expect(ask(memory + 8)).toBe(-abi.EINVAL)
    expect(ask(0xdead_0000)).toBe(-abi.EFAULT)
    expect(ask(memory, (reg) => reg.view.setUint32(20, 1))).toBe(-abi.EINVAL)
    expect(ask(memory, () => {}, 2)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_PBUF_RING, null, 1)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_PBUF_RING, new Uint8Array(39), 1)).toBe(-abi.EFAULT)
    expect(backend.register(abi.IORING_REGISTER_PBUF_STATUS, new Uint8Array(40), 1)).toBe(-abi.ENOENT)
    expect(backend.mmap(abi.IORING_OFF_PBUF_RING, 16)).toBe(-abi.EINVAL)
  })

  it('of memory of the kernel: all of it is mapped, or more, and groups above 2047 can not be', () => {
    const pair = new RingPair()
    const map = (group: number, length: number): number => {
      const memory = pair.context.mmap(abi.IORING_OFF_PBUF_RING + (group << 16), length)
      return typeof memory === 'number' ? memory : memory.length
    }
    expect(typeof pair.ring.setupBufRing(512, 4, abi.IOU_PBUF_RING_MMAP)).toBe('object')
    expect([map(4, 8192), map(4, 20_000), map(4, 4096)]).toEqual([8192, 8192, -abi.EFAULT])
    expect(typeof pair.ring.setupBufRing(16, 2047, abi.IOU_PBUF_RING_MMAP)).toBe('object')
    // Nothing is left registered.
    for (let i = 0; i < 2; i++)
      expect(pair.ring.setupBufRing(16, 2048, abi.IOU_PBUF_RING_MMAP)).toBe(-abi.EINVAL)
    expect(typeof pair.ring.setupBufRing(16, 2048)).toBe('object')
  })
})

describe('PROVIDE_BUFFERS', () => {
  it('hands buffers in, in order, and REMOVE_BUFFERS takes them back', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const memory = new Uint8Array(40)
    expect(pair.call((sqe) => sqe.prepProvideBuffers(memory, 10, 4, 7, 100))).toBe(0)
    pair.send(client, bytesOf(15))
    pair.submit((sqe) => sqe.prepRecvMultishot(server, 7), 1)
    expect(seen(pair.drain())).toEqual([
      [100, 10, BUFFER | MORE | NONEMPTY],
      [101, 5, BUFFER | MORE],
    ])
    expect(memory.subarray(0, 15)).toEqual(bytesOf(15))
    expect(pair.call((sqe) => sqe.prepRemoveBuffers(9, 7))).toBe(2)
    expect(pair.call((sqe) => sqe.prepRemoveBuffers(9, 7))).toBe(0)
    pair.send(client, bytesOf(1))
    expect(pair.drain()).toMatchObject([{ res: -abi.ENOBUFS, flags: 0 }])
    // An empty group makes way for a ring.
    expect(typeof pair.ring.setupBufRing(8, 7)).toBe('object')
    expect(pair.call((sqe) => sqe.prepRemoveBuffers(9, 7))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepProvideBuffers(memory, 10, 4, 7, 0))).toBe(-abi.EINVAL)
  })

  it('is refused as Linux refuses it', () => {
    const pair = new RingPair()
    const memory = new Uint8Array(40)
    const provide = (length: number, count: number, bid: number): number =>
      pair.call((sqe) => sqe.prepProvideBuffers(memory, length, count, 1, bid))
    expect(provide(10, 0, 0)).toBe(-abi.E2BIG)
    expect(provide(10, 65_537, 0)).toBe(-abi.E2BIG)
    expect(provide(0, 1, 0)).toBe(-abi.EINVAL)
    expect(provide(10, 5, 0)).toBe(-abi.EFAULT)
    expect(provide(10, 1, 65_536)).toBe(-abi.E2BIG)
    expect(provide(10, 2, 65_535)).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepRemoveBuffers(0, 1))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepRemoveBuffers(1, 1))).toBe(-abi.ENOENT)
    expect(provide(10, 4, 0)).toBe(0)
    expect(pair.ring.setupBufRing(8, 1)).toBe(-abi.EEXIST)
    const status = new abi.BufStatus(new Uint8Array(40))
    status.bufGroup = 1
    expect(pair.ring.bufRingHead(1)).toBe(-abi.EINVAL)
  })
})

describe('SEND with IOSQE_BUFFER_SELECT', () => {
  it('sends the next buffer', () => {
    const { pair, client, server, buffers } = setUp(2, 100)
    buffers[0]!.set(bytesOf(100))
    const send = (sqe: abi.Sqe) =>
      sqe.prepRw(abi.IORING_OP_SEND, server, 0, 40, 0).setFlags(SELECT).setBufGroup(GROUP)
    pair.submit(send, 1)
    expect(seen(pair.drain())).toEqual([[10, 40, BUFFER]])
    const into = new Uint8Array(100)
    expect(pair.call((sqe) => sqe.prepRecv(client, into))).toBe(40)
    expect(into.subarray(0, 40)).toEqual(bytesOf(40))
    expect(pair.call(send)).toBe(40)
    expect(pair.call(send)).toBe(-abi.ENOBUFS)
  })
})

describe('other requests with IOSQE_BUFFER_SELECT', () => {
  it('are EOPNOTSUPP, and a command EINVAL', () => {
    const pair = new RingPair()
    const { server } = pair.connect()
    const ask = (prepare: (sqe: abi.Sqe) => abi.Sqe): number =>
      pair.call((sqe) => prepare(sqe).setFlags(SELECT))
    expect(ask((sqe) => sqe.prepNop())).toBe(-abi.EOPNOTSUPP)
    expect(ask((sqe) => sqe.prepAccept(server))).toBe(-abi.EOPNOTSUPP)
    expect(ask((sqe) => sqe.prepRecvZc(server, 0))).toBe(-abi.EOPNOTSUPP)
    expect(ask((sqe) => sqe.prepSendZc(server, bytesOf(1)))).toBe(-abi.EOPNOTSUPP)
    expect(ask((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))).toBe(-abi.EINVAL)
  })
})
