import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

// What programs on Linux's own rings were answered (`npm run differential`), where none of the other suites says it.

const pairOf = (): RingPair => new RingPair({ nodev: true })
const seen = (pair: RingPair): [number, number][] => pair.drain().map(({ userData, res }) => [userData, res])

describe('SOCKET', () => {
  it.each([
    ['no type', 0, 0, abi.ESOCKTNOSUPPORT],
    ['a type that the family has not', 5, 0, abi.ESOCKTNOSUPPORT],
    ['datagrams', 2, 0, abi.EPROTONOSUPPORT],
    ['a type that there is not', 11, 0, abi.EINVAL],
    ['a protocol that there is not', 1, -1, abi.EINVAL],
    ['another protocol', 1, 17, abi.EPROTONOSUPPORT],
  ])('answers %s', (_what, type, protocol, errno) => {
    const pair = pairOf()
    expect(pair.call((sqe) => sqe.prepSocket(abi.AF_INET, type, protocol))).toBe(-errno)
  })
})

describe('CONNECT', () => {
  const client = (pair: RingPair): number => {
    const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 0)))
    return fd
  }

  it('may follow one that was refused', () => {
    const pair = pairOf()
    const fd = client(pair)
    const remote = abi.sockaddrOf(pair.serverAddress, 9000)
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(-abi.ECONNREFUSED)
    pair.connect(9000)
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(0)
    expect(pair.call((sqe) => sqe.prepConnect(fd, remote))).toBe(-abi.EISCONN)
  })

  it('tells first what became of one that nobody waited for', () => {
    const pair = pairOf()
    const fd = client(pair)
    pair.kernel.files.socket(fd)!.nonBlocking = true
    const remote = abi.sockaddrOf(pair.serverAddress, 9000)
    const ask = (): number => pair.call((sqe) => sqe.prepConnect(fd, remote))
    expect(ask()).toBe(-abi.EINPROGRESS)
    pair.settle()
    expect([ask(), ask()]).toEqual([-abi.ECONNREFUSED, -abi.EINPROGRESS])
    pair.settle()
    expect(pair.kernel.files.socket(fd)!.takeError()).toBe(abi.ECONNREFUSED)
    expect(ask()).toBe(-abi.ECONNABORTED)
  })
})

describe('ACCEPT', () => {
  it('goes on when its listener is closed, until it is cancelled', () => {
    const pair = pairOf()
    const { listener } = pair.connect()
    pair.submit((sqe) => sqe.prepMultishotAccept(listener), 5)
    expect(pair.call((sqe) => sqe.prepClose(listener))).toBe(0)
    expect(pair.drain()).toEqual([])
    const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 0)))
    expect(pair.call((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)))).toBe(0)
    expect(pair.drain()).toMatchObject([{ userData: 5, flags: abi.IORING_CQE_F_MORE }])
    expect(pair.call((sqe) => sqe.prepCancel(5))).toBe(0)
    expect(seen(pair)).toEqual([[5, -abi.ECANCELED]])
  })

  it('has an address of each peer, if it is multishot too', () => {
    const pair = pairOf()
    const { listener } = pair.connect()
    const address = new Uint8Array(16)
    pair.submit((sqe) => sqe.prepAccept(listener, address).setIoprio(abi.IORING_ACCEPT_MULTISHOT), 5)
    const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 4321)))
    pair.call((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)))
    pair.drain()
    expect(address).toEqual(abi.sockaddrOf(pair.clientAddress, 4321))
  })
})

describe('RECV', () => {
  it('of no bytes waits for something to be there', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(0)), 5)
    expect(pair.drain()).toEqual([])
    pair.send(client, bytesOf(3))
    expect(pair.drain()).toMatchObject([{ userData: 5, res: 0, flags: abi.IORING_CQE_F_SOCK_NONEMPTY }])
  })

  it('finds that its pointer is bad when there is something to be written, and loses nothing', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRw(abi.IORING_OP_RECV, server, 8, 10, 0), 5)
    expect(pair.drain()).toEqual([])
    pair.send(client, bytesOf(3))
    expect(seen(pair)).toEqual([[5, -abi.EFAULT]])
    expect(pair.call((sqe) => sqe.prepRecv(server, new Uint8Array(10)))).toBe(3)
  })

  it('that waits for all tells what it got when it is cancelled, and has had the error behind it', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(3))
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(10), abi.MSG_WAITALL), 5)
    expect(pair.call((sqe) => sqe.prepCancel(5))).toBe(0)
    expect(seen(pair)).toEqual([[5, 3]])
    pair.send(client, bytesOf(2))
    reset(pair, client)
    expect(pair.call((sqe) => sqe.prepRecv(server, new Uint8Array(10), abi.MSG_WAITALL))).toBe(2)
    expect(pair.call((sqe) => sqe.prepRecv(server, new Uint8Array(10)))).toBe(0)
  })

  it('passes over flags that mean nothing to TCP', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    for (const flags of [0x4, 0x80, abi.MSG_MORE, abi.MSG_NOSIGNAL]) {
      pair.send(client, bytesOf(2))
      expect(pair.call((sqe) => sqe.prepRecv(server, new Uint8Array(4), flags))).toBe(2)
    }
  })
})

/** Closes with SO_LINGER 0, and lets the peer hear of it. */
function reset(pair: RingPair, fd: number): void {
  const value = new Uint8Array(Int32Array.of(1, 0).buffer)
  const command = abi.SOCKET_URING_OP_SETSOCKOPT
  pair.call((sqe) => sqe.prepCmdSock(command, fd, abi.SOL_SOCKET, abi.SO_LINGER, value))
  pair.call((sqe) => sqe.prepClose(fd))
  pair.settle()
}

describe('SEND', () => {
  it('passes over the length of a destination that there is not, and a bundle of nothing to choose from', () => {
    const pair = pairOf()
    const { client } = pair.connect()
    const bundle = abi.IORING_RECVSEND_BUNDLE
    expect(pair.call((sqe) => sqe.prepSend(client, bytesOf(2)).setTargetFixedFile(4))).toBe(2)
    expect(pair.call((sqe) => sqe.prepSend(client, bytesOf(2)).setTargetFixedFile(1 << 16))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepSend(client, bytesOf(2)).setIoprio(bundle))).toBe(2)
  })

  it('answers ENOENT where there is no group of buffers, and a bundle that receives too', () => {
    const pair = pairOf()
    const { client } = pair.connect()
    const select = (sqe: abi.Sqe): abi.Sqe => sqe.setFlags(abi.IOSQE_BUFFER_SELECT).setBufGroup(9)
    expect(pair.call((sqe) => select(sqe.prepRw(abi.IORING_OP_SEND, client, 0, 0, 0)))).toBe(-abi.ENOENT)
    const recv = (sqe: abi.Sqe): abi.Sqe => select(sqe.prepRw(abi.IORING_OP_RECV, client, 0, 0, 0))
    expect(pair.call(recv)).toBe(-abi.ENOBUFS)
    expect(pair.call((sqe) => recv(sqe).setIoprio(abi.IORING_RECVSEND_BUNDLE))).toBe(-abi.ENOENT)
  })
})

describe('commands of sockets', () => {
  it('read options of SOL_SOCKET alone, unless all are asked for', () => {
    const pair = pairOf()
    const { client } = pair.connect()
    const value = new Uint8Array(4)
    const get = (level: number, name: number): number =>
      pair.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_GETSOCKOPT, client, level, name, value))
    expect(get(abi.IPPROTO_TCP, abi.TCP_NODELAY)).toBe(4)
    pair.kernel.readsEveryLevel = false
    expect(get(abi.IPPROTO_TCP, abi.TCP_NODELAY)).toBe(-abi.EOPNOTSUPP)
    expect(get(999, 1)).toBe(-abi.EOPNOTSUPP)
    expect(get(abi.SOL_SOCKET, abi.SO_TYPE)).toBe(4)
  })

  it('refuse flags of commands that there are not', () => {
    const pair = pairOf()
    const { client } = pair.connect()
    const ask = (flags: number): number =>
      pair.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, client).setOpFlags(flags))
    expect([0, abi.IORING_URING_CMD_FIXED, 2, 1 << 7].map(ask)).toEqual([0, 0, -abi.EINVAL, -abi.EINVAL])
  })

  it('have a least size of either buffer', () => {
    const pair = pairOf()
    const { client } = pair.connect()
    const least = (name: number): number => {
      const value = new Int32Array([1])
      const bytes = new Uint8Array(value.buffer)
      for (const command of [abi.SOCKET_URING_OP_SETSOCKOPT, abi.SOCKET_URING_OP_GETSOCKOPT])
        pair.call((sqe) => sqe.prepCmdSock(command, client, abi.SOL_SOCKET, name, bytes))
      return value[0]!
    }
    expect([least(abi.SO_SNDBUF), least(abi.SO_RCVBUF)]).toEqual([4608, 2304])
  })
})

describe('time', () => {
  it('of a LINK_TIMEOUT is changed by TIMEOUT_REMOVE with LINK_TIMEOUT_UPDATE', () => {
    const pair = pairOf()
    const { server } = pair.connect()
    const far = abi.timespecOf(60_000_000)
    pair.ring.getSqe()!.prepRecv(server, new Uint8Array(4)).setFlags(abi.IOSQE_IO_LINK).setData(1)
    pair.ring.getSqe()!.prepLinkTimeout(far).setData(2)
    pair.ring.submit()
    const soon = abi.timespecOf(1000)
    const flag = abi.IORING_LINK_TIMEOUT_UPDATE
    expect(pair.call((sqe) => sqe.prepTimeoutUpdate(soon, 2))).toBe(-abi.ENOENT)
    expect(pair.call((sqe) => sqe.prepTimeoutUpdate(soon, 2, flag))).toBe(0)
    expect(seen(pair).sort()).toEqual([
      [1, -abi.ECANCELED],
      [2, -abi.ETIME],
    ])
  })

  it('is up for nothing only: fewer completions than were waited for are none too few', () => {
    const pair = pairOf()
    pair.ring.getSqe()!.prepNop().setData(1)
    expect(pair.ring.submitAndWaitTimeout(2, 0)).toBe(1)
    expect(pair.ring.submitAndWaitTimeout(2, 0)).toBe(0)
    pair.ring.cqeSeen(pair.ring.peekCqe()!)
    expect(pair.ring.submitAndWaitTimeout(2, 0)).toBe(-abi.ETIME)
  })
})

describe('cancelling', () => {
  it('finds what is cancelled and has not completed, but no timeout', () => {
    const pair = pairOf()
    const { server } = pair.connect()
    pair.ring.getSqe()!.prepRecv(server, new Uint8Array(4)).setData(1)
    pair.ring.getSqe()!.prepTimeout(abi.timespecOf(60_000_000)).setData(2)
    for (const [i, of] of [1, 1, 2, 2].entries())
      pair.ring
        .getSqe()!
        .prepCancel(of)
        .setData(10 + i)
    pair.ring.submit()
    expect(seen(pair).sort((one, other) => one[0] - other[0])).toEqual([
      [1, -abi.ECANCELED],
      [2, -abi.ECANCELED],
      [10, 0],
      [11, 0],
      [12, 0],
      [13, -abi.ENOENT],
    ])
  })

  it('without an entry lets ANY stand beside what narrows it; an entry is refused, and ends its batch', () => {
    const pair = pairOf()
    const flags = abi.IORING_ASYNC_CANCEL_ANY | abi.IORING_ASYNC_CANCEL_OP
    const reg = new abi.SyncCancelReg(new Uint8Array(abi.SyncCancelReg.SIZE))
    reg.flags = flags
    expect(pair.ring.registerSyncCancel(reg)).toBe(0)
    pair.ring.getSqe()!.prepCancel(0, flags).setData(1)
    pair.ring.getSqe()!.prepNop().setData(2)
    expect([pair.ring.submit(), pair.ring.submit()]).toEqual([1, 1])
    expect(seen(pair)).toEqual([
      [1, -abi.EINVAL],
      [2, 0],
    ])
  })
})

describe('polls', () => {
  it('are woken by what they ask for, and by a shutdown of their own side', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLOUT | abi.POLLIN, true), 5)
    expect(seen(pair)).toEqual([[5, abi.POLLOUT]])
    pair.send(client, bytesOf(3))
    expect(seen(pair)).toEqual([[5, abi.POLLIN]])
    expect(pair.call((sqe) => sqe.prepCancel(5))).toBe(0)
    pair.drain()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLRDHUP, true), 6)
    expect(pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RD))).toBe(0)
    expect(seen(pair)).toEqual([[6, abi.POLLRDHUP]])
    pair.send(client, bytesOf(3))
    expect(pair.drain()).toEqual([])
  })

  it('come behind a receive that waits for less long, and so after it has had the error', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLRDHUP), 5)
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(4)), 6)
    reset(pair, client)
    expect(seen(pair)).toEqual([
      [6, -abi.ECONNRESET],
      [5, abi.POLLHUP | abi.POLLRDHUP],
    ])
  })
})

describe('ends', () => {
  it('are found behind the data by a multishot', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    const group = pair.ring.setupBufRing(4, 3)
    if (typeof group === 'number') throw new Error(abi.errnoName(group))
    group.bufRingAdd(new Uint8Array(16), 0)
    group.bufRingAdd(new Uint8Array(16), 1)
    group.bufRingAdvance()
    pair.send(client, bytesOf(3))
    reset(pair, client)
    pair.submit((sqe) => sqe.prepRecvMultishot(server, 3), 5)
    expect(seen(pair)).toEqual([
      [5, 3],
      [5, -abi.ECONNRESET],
    ])
  })

  it('leave nothing to shut, once both sides have sent their FIN', () => {
    const pair = pairOf()
    const { client, server } = pair.connect()
    expect(pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))).toBe(0)
    pair.call((sqe) => sqe.prepClose(server))
    pair.settle()
    expect(pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))).toBe(-abi.ENOTCONN)
  })
})
