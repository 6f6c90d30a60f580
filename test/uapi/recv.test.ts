import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const { MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL } = abi

function recv(pair: RingPair, fd: number, bytes: Uint8Array, flags = 0): number {
  return pair.call((sqe) => sqe.prepRecv(fd, bytes, flags))
}

describe('IORING_OP_RECV', () => {
  it('copies what is queued, in pieces as large as asked for, and frees the buffers', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const sent = bytesOf(5000)
    pair.send(client, sent)
    expect(pair.server.census().queued).toBeGreaterThan(0)
    const got = new Uint8Array(5000)
    expect(recv(pair, server, got.subarray(0, 3))).toBe(3)
    expect(recv(pair, server, got.subarray(3, 2003))).toBe(2000)
    expect(recv(pair, server, got.subarray(2003))).toBe(2997)
    expect(got).toEqual(sent)
    expect(pair.server.census().queued).toBe(0)
    expect(recv(pair, server, got, MSG_DONTWAIT)).toBe(-abi.EAGAIN)
  })

  it('waits for data, and a zero-copy request goes on behind it', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const first = new Uint8Array(10)
    pair.submit((sqe) => sqe.prepRecv(server, first), 1)
    pair.send(client, bytesOf(30))
    expect(pair.reap()).toMatchObject([{ userData: 1, res: 10, flags: abi.IORING_CQE_F_SOCK_NONEMPTY }])
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 2)
    const [rest] = pair.drain()
    expect([...first, ...pair.bytes(rest!)]).toEqual([...bytesOf(30)])
  })

  it('leaves what it has no room for to who began to wait before', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(100)), 1)
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(10)), 2)
    pair.send(client, bytesOf(50))
    expect(pair.drain().map((cqe) => [cqe.userData, cqe.res])).toEqual([
      [2, 10],
      [1, 40],
    ])
  })

  it.each(['is cancelled', 'goes with its ring'])(
    'leaves all to who began before when it %s, woken or not',
    (what) => {
      const pair = new RingPair({ nodev: true })
      const { client, server } = pair.connect()
      const other = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
      pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(100)), 1)
      other.getSqe()!.prepRecv(server, new Uint8Array(10)).setData(2)
      other.submit()
      pair.send(client, bytesOf(50))
      if (what === 'is cancelled') other.getSqe()!.prepCancel(2)
      if (what === 'is cancelled') other.submitAndGetEvents()
      else other.queueExit()
      expect(pair.drain().map((cqe) => [cqe.userData, cqe.res])).toEqual([[1, 50]])
    },
  )

  it('leaves data that lies in an area to RECV_ZC: EFAULT, once the ring is closed too (kernel record point 70)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(30))
    const got = new Uint8Array(30)
    expect([recv(pair, server, got), recv(pair, server, got, MSG_PEEK)]).toEqual([-abi.EFAULT, -abi.EFAULT])
    const ring = Ring.queueInit(8, pair.kernel)
    pair.ring.queueExit()
    ring.getSqe()!.prepRecv(server, got)
    ring.submit()
    expect(ring.waitCqe().res).toBe(-abi.EFAULT)
    expect(got.every((byte) => byte === 0)).toBe(true)
  })

  it('steps over an urgent byte that is not in line; RECV_ZC stops in front of it (kernel record point 26)', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const off = new Uint8Array(4)
    const set = abi.SOCKET_URING_OP_SETSOCKOPT
    expect(pair.call((sqe) => sqe.prepCmdSock(set, server, abi.SOL_SOCKET, abi.SO_OOBINLINE, off))).toBe(0)
    const queued = (): number => pair.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(10))
    expect(pair.call((sqe) => sqe.prepSend(client, Uint8Array.of(7), abi.MSG_OOB))).toBe(1)
    pair.send(client, bytesOf(20, 2))
    expect(pair.drain()).toMatchObject([{ userData: 1, res: 10 }])
    expect(queued()).toBe(0)
    pair.call((sqe) => sqe.prepClose(client))
    expect(pair.drain()).toMatchObject([{ userData: 1, res: 0, flags: 0 }])
    const got = new Uint8Array(30)
    expect([recv(pair, server, got, MSG_PEEK), recv(pair, server, got), recv(pair, server, got)]).toEqual([
      20, 20, 0,
    ])
    expect(got.subarray(0, 20)).toEqual(bytesOf(20, 2))
  })

  it('MSG_PEEK leaves everything, MSG_TRUNC throws away', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const sent = bytesOf(100)
    pair.send(client, sent)
    const got = new Uint8Array(200)
    for (let i = 0; i < 2; i++) {
      expect(recv(pair, server, got, MSG_PEEK)).toBe(100)
      expect(got.subarray(0, 100)).toEqual(sent)
    }
    got.fill(0)
    expect(recv(pair, server, got.subarray(0, 60), MSG_TRUNC)).toBe(60)
    expect(got.every((byte) => byte === 0)).toBe(true)
    expect(recv(pair, server, got)).toBe(40)
    expect(got.subarray(0, 40)).toEqual(sent.subarray(60))
  })

  it('MSG_WAITALL waits for all, or for the end', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const got = new Uint8Array(100)
    pair.submit((sqe) => sqe.prepRecv(server, got, MSG_WAITALL), 1)
    pair.send(client, bytesOf(60))
    expect(pair.reap()).toEqual([])
    pair.send(client, bytesOf(60))
    expect(pair.reap()).toMatchObject([{ userData: 1, res: 100 }])
    pair.submit((sqe) => sqe.prepRecv(server, got, MSG_WAITALL), 2)
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(pair.drain()).toMatchObject([{ userData: 2, res: 20 }])
    expect(recv(pair, server, got)).toBe(0)
  })

  it('reads 0 at the end of the stream and after SHUT_RD', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    const got = new Uint8Array(100)
    pair.send(client, bytesOf(10))
    expect(pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RD))).toBe(0)
    expect(recv(pair, server, got)).toBe(10)
    expect(recv(pair, server, got)).toBe(0)
    pair.call((sqe) => sqe.prepClose(server))
    pair.settle()
    expect(recv(pair, client, got)).toBe(0)
  })

  it('reports an error once, to whoever asks first', () => {
    const value = new Uint8Array(4)
    const error = (pair: RingPair, fd: number): number => {
      const command = abi.SOCKET_URING_OP_GETSOCKOPT
      expect(pair.call((sqe) => sqe.prepCmdSock(command, fd, abi.SOL_SOCKET, abi.SO_ERROR, value))).toBe(4)
      return new DataView(value.buffer).getInt32(0, true)
    }
    const broken = (): { pair: RingPair; fd: number } => {
      const pair = new RingPair({ nodev: true })
      const { client, server } = pair.connect()
      pair.send(client, bytesOf(10))
      // Unread data makes a reset of it.
      pair.call((sqe) => sqe.prepClose(server))
      pair.settle()
      return { pair, fd: client }
    }
    const got = new Uint8Array(10)
    let { pair, fd } = broken()
    expect([recv(pair, fd, got), recv(pair, fd, got)]).toEqual([-abi.ECONNRESET, 0])
    expect(pair.call((sqe) => sqe.prepSend(fd, got))).toBe(-abi.EPIPE)
    ;({ pair, fd } = broken())
    expect(pair.call((sqe) => sqe.prepSend(fd, got))).toBe(-abi.ECONNRESET)
    expect(pair.call((sqe) => sqe.prepSend(fd, got))).toBe(-abi.EPIPE)
    expect(recv(pair, fd, got)).toBe(0)
    ;({ pair, fd } = broken())
    expect([error(pair, fd), error(pair, fd)]).toEqual([abi.ECONNRESET, 0])
    expect(recv(pair, fd, got)).toBe(0)
  })

  it('answers misuse', () => {
    const pair = new RingPair({ nodev: true })
    const { server, listener } = pair.connect()
    const got = new Uint8Array(10)
    expect(recv(pair, 77, got)).toBe(-abi.EBADF)
    expect(recv(pair, listener, got)).toBe(-abi.ENOTCONN)
    // There is no urgent byte out of line.
    expect(recv(pair, server, got, abi.MSG_OOB)).toBe(-abi.EINVAL)
    expect(recv(pair, server, got, 0x2000)).toBe(-abi.EOPNOTSUPP)
    expect(pair.call((sqe) => sqe.prepRw(abi.IORING_OP_RECV, server, 2 ** 47, 10, 0))).toBe(-abi.EFAULT)
    expect(pair.call((sqe) => sqe.prepRecv(server, got).setIoprio(abi.IORING_RECV_MULTISHOT))).toBe(
      -abi.EINVAL,
    )
    // Nothing is received of something only.
    expect(recv(pair, server, new Uint8Array(0), MSG_DONTWAIT)).toBe(-abi.EAGAIN)
  })

  it('can be cancelled', () => {
    const pair = new RingPair({ nodev: true })
    const { server } = pair.connect()
    const got = new Uint8Array(10)
    pair.submit((sqe) => sqe.prepRecv(server, got), 5)
    expect(pair.call((sqe) => sqe.prepCancel(5))).toBe(0)
    expect(pair.drain()).toMatchObject([{ userData: 5, res: -abi.ECANCELED }])
  })
})

describe('descriptors that do not wait', () => {
  const socket = (pair: RingPair): number => {
    const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    pair.kernel.files.socket(fd)!.nonBlocking = true
    return fd
  }

  it('are not those made with SOCK_NONBLOCK: rings of Linux wait all the same', () => {
    const pair = new RingPair({ nodev: true })
    const { listener } = pair.connect()
    const type = abi.SOCK_STREAM | abi.SOCK_NONBLOCK
    const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, type, 0))
    const local = abi.SockaddrIn.of(pair.client.link.addresses[0]!.address, 0)
    const remote = abi.SockaddrIn.of(pair.server.link.addresses[0]!.address, 9000)
    pair.call((sqe) => sqe.prepBind(fd, local))
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(0)
    const accepted = pair.call((sqe) => sqe.prepAccept(listener).setOpFlags(abi.SOCK_NONBLOCK))
    pair.submit((sqe) => sqe.prepRecv(accepted, new Uint8Array(4)), 5)
    expect(pair.drain()).toEqual([])
  })

  it('answer EAGAIN and EINPROGRESS', () => {
    const pair = new RingPair({ nodev: true })
    const { listener } = pair.connect()
    expect(pair.call((sqe) => sqe.prepAccept(listener).setIoprio(abi.IORING_ACCEPT_DONTWAIT))).toBe(
      -abi.EAGAIN,
    )
    const fd = socket(pair)
    const local = abi.SockaddrIn.of(pair.client.link.addresses[0]!.address, 0)
    const remote = abi.SockaddrIn.of(pair.server.link.addresses[0]!.address, 9000)
    pair.call((sqe) => sqe.prepBind(fd, local))
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(-abi.EINPROGRESS)
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(-abi.EALREADY)
    expect(pair.call((sqe) => sqe.prepSend(fd, bytesOf(5)))).toBe(-abi.EAGAIN)
    expect(recv(pair, fd, new Uint8Array(5))).toBe(-abi.EAGAIN)
    pair.settle()
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(-abi.EISCONN)
    expect(pair.call((sqe) => sqe.prepSend(fd, bytesOf(5)))).toBe(5)
    expect(pair.call((sqe) => sqe.prepAccept(listener))).toBeGreaterThan(0)
  })

  it('a full send buffer takes a part, then nothing', () => {
    const pair = new RingPair({ tcp: { sendBuffer: 8192 } })
    const { client } = pair.connect()
    const bytes = bytesOf(100_000)
    let total = 0
    for (let res = 1; res > 0; total += Math.max(0, res)) {
      res = pair.call((sqe) => sqe.prepSend(client, bytes, MSG_DONTWAIT))
      if (res < 0) expect(res).toBe(-abi.EAGAIN)
      if (total > 10_000_000) throw new Error('never full')
    }
    expect(total).toBeGreaterThan(0)
  })
})
