import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

const { SOL_SOCKET, IPPROTO_TCP, SOCKET_URING_OP_GETSOCKOPT, SOCKET_URING_OP_SETSOCKOPT } = abi

function ints(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    view.setInt32(4 * i, value, true)
  })
  return bytes
}

class Subject {
  readonly pair = new RingPair()
  readonly fd = this.pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
  command(command: number): number {
    return this.pair.call((sqe) => sqe.prepCmdSock(command, this.fd))
  }
  set(level: number, name: number, ...values: number[]): number {
    const bytes = ints(...values)
    return this.pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, this.fd, level, name, bytes))
  }
  read(level: number, name: number, bytes: Uint8Array): number {
    return this.pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, this.fd, level, name, bytes))
  }
  get(level: number, name: number): number {
    const bytes = new Uint8Array(4)
    const res = this.read(level, name, bytes)
    return res < 0 ? res : new DataView(bytes.buffer).getInt32(0, true)
  }
}

describe('socket options', () => {
  it.each([
    ['TCP_NODELAY', IPPROTO_TCP, abi.TCP_NODELAY, 1, 1],
    ['TCP_CORK', IPPROTO_TCP, abi.TCP_CORK, 5, 1],
    ['TCP_MAXSEG', IPPROTO_TCP, abi.TCP_MAXSEG, 900, 900],
    ['TCP_KEEPIDLE', IPPROTO_TCP, abi.TCP_KEEPIDLE, 30, 30],
    ['TCP_KEEPINTVL', IPPROTO_TCP, abi.TCP_KEEPINTVL, 7, 7],
    ['TCP_KEEPCNT', IPPROTO_TCP, abi.TCP_KEEPCNT, 3, 3],
    ['TCP_USER_TIMEOUT', IPPROTO_TCP, abi.TCP_USER_TIMEOUT, 5000, 5000],
    ['TCP_FASTOPEN', IPPROTO_TCP, abi.TCP_FASTOPEN, 16, 16],
    ['SO_KEEPALIVE', SOL_SOCKET, abi.SO_KEEPALIVE, 1, 1],
    ['SO_REUSEADDR', SOL_SOCKET, abi.SO_REUSEADDR, 1, 1],
    ['SO_RCVBUF', SOL_SOCKET, abi.SO_RCVBUF, 65_536, 131_072],
    ['SO_SNDBUF', SOL_SOCKET, abi.SO_SNDBUF, 65_536, 131_072],
    ['SO_RCVLOWAT', SOL_SOCKET, abi.SO_RCVLOWAT, 2000, 2000],
    ['SO_RCVLOWAT 0', SOL_SOCKET, abi.SO_RCVLOWAT, 0, 1],
    ['SO_RCVLOWAT -1', SOL_SOCKET, abi.SO_RCVLOWAT, -1, 0x7fff_ffff],
  ])('%s is kept, and read back as Linux would say it', (_name, level, option, value, answer) => {
    const subject = new Subject()
    expect(subject.set(level, option, value)).toBe(0)
    expect(subject.get(level, option)).toBe(answer)
  })

  it('of a listener reach what it accepts; of a connection the connection', () => {
    const pair = new RingPair()
    const { listener, server } = pair.connect()
    const value = ints(1)
    const set = (fd: number, name: number): number =>
      pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, IPPROTO_TCP, name, value))
    expect(set(listener, abi.TCP_NODELAY)).toBe(0)
    const [, second] = pair.connectTo(listener)
    const options = (fd: number): boolean[] => {
      const { noDelay, cork } = pair.kernel.files.socket(fd)!.tcb!.options
      return [noDelay, cork]
    }
    expect([options(server), options(second)]).toEqual([
      [false, false],
      [true, false],
    ])
    expect(set(second, abi.TCP_CORK)).toBe(0)
    expect(options(second)).toEqual([true, true])
  })

  it('SO_LINGER, TCP_CONGESTION have values of their own form', () => {
    const subject = new Subject()
    expect(subject.set(SOL_SOCKET, abi.SO_LINGER, 1, 3)).toBe(0)
    const linger = new Uint8Array(8)
    expect(subject.read(SOL_SOCKET, abi.SO_LINGER, linger)).toBe(8)
    expect(linger).toEqual(ints(1, 3))
    const name = new TextEncoder().encode('reno')
    const set = (bytes: Uint8Array): number =>
      subject.pair.call((sqe) =>
        sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, subject.fd, IPPROTO_TCP, abi.TCP_CONGESTION, bytes),
      )
    expect(set(name)).toBe(0)
    const answer = new Uint8Array(32)
    expect(subject.read(IPPROTO_TCP, abi.TCP_CONGESTION, answer)).toBe(16)
    expect(new TextDecoder().decode(answer).replaceAll('\0', '')).toBe('reno')
    expect(set(new TextEncoder().encode('vegas'))).toBe(-abi.ENOENT)
  })

  it('tell what the socket is', () => {
    const subject = new Subject()
    expect(subject.get(SOL_SOCKET, abi.SO_TYPE)).toBe(abi.SOCK_STREAM)
    expect(subject.get(SOL_SOCKET, abi.SO_PROTOCOL)).toBe(IPPROTO_TCP)
    expect(subject.get(SOL_SOCKET, abi.SO_DOMAIN)).toBe(abi.AF_INET)
    expect(subject.get(SOL_SOCKET, abi.SO_ACCEPTCONN)).toBe(0)
    expect(subject.get(SOL_SOCKET, abi.SO_ERROR)).toBe(0)
    expect(subject.get(IPPROTO_TCP, abi.TCP_QUICKACK)).toBe(1)
  })

  it.each([
    ['an option that is not served', IPPROTO_TCP, 9999, -abi.ENOPROTOOPT],
    ['a level that is not served', 41, 1, -abi.ENOPROTOOPT],
    ['TCP_MAXSEG of 5', IPPROTO_TCP, abi.TCP_MAXSEG, -abi.EINVAL],
  ])('%s is refused', (_what, level, name, errno) => expect(new Subject().set(level, name, 5)).toBe(errno))

  it('refuse what makes no sense', () => {
    const subject = new Subject()
    expect(subject.set(IPPROTO_TCP, abi.TCP_KEEPIDLE, 0)).toBe(-abi.EINVAL)
    expect(subject.set(IPPROTO_TCP, abi.TCP_KEEPCNT, 128)).toBe(-abi.EINVAL)
    expect(subject.set(SOL_SOCKET, abi.SO_KEEPALIVE)).toBe(-abi.EINVAL)
    expect(subject.set(SOL_SOCKET, abi.SO_LINGER, 1)).toBe(-abi.EINVAL)
    expect(subject.get(SOL_SOCKET, 9999)).toBe(-abi.ENOPROTOOPT)
    expect(subject.command(9)).toBe(-abi.EOPNOTSUPP)
    const bad = subject.pair.call((sqe) => sqe.prepRw(abi.IORING_OP_URING_CMD, 99, 0, 0, 0))
    expect(bad).toBe(-abi.EBADF)
  })

  it('SO_LINGER without time makes close a reset', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const value = ints(1, 0)
    pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, client, SOL_SOCKET, abi.SO_LINGER, value))
    pair.call((sqe) => sqe.prepClose(client))
    pair.settle()
    const got = new Uint8Array(5)
    expect(pair.call((sqe) => sqe.prepRecv(server, got))).toBe(-abi.ECONNRESET)
  })
})

describe('SO_RCVLOWAT (oracle 26)', () => {
  const low = (pair: RingPair, fd: number, bytes: number): number =>
    pair.call((sqe) =>
      sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, abi.SO_RCVLOWAT, ints(bytes)),
    )

  it('keeps a receive asleep until so much has come, or the end', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    expect(low(pair, server, 2000)).toBe(0)
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 7)
    pair.send(client, bytesOf(1000))
    expect(pair.drain()).toEqual([])
    pair.send(client, bytesOf(1100))
    expect(pair.drain().map(({ res }) => res)).toEqual([1000, 1100])
    pair.send(client, bytesOf(5))
    expect(pair.drain()).toEqual([])
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(pair.drain().map(({ res }) => res)).toEqual([5, 0])
  })

  it('keeps a poll asleep as long, and what is there at once is delivered at once', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    low(pair, server, 2000)
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLIN), 8)
    pair.send(client, bytesOf(1000))
    expect(pair.drain()).toEqual([])
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId, 10), 7)
    expect(pair.drain().map(({ res }) => res)).toEqual([10, 0])
    pair.send(client, bytesOf(1400))
    expect(pair.drain()).toMatchObject([{ userData: 8, res: abi.POLLIN }])
  })

  it('does not leave a peer standing before a window that closes', () => {
    const pair = new RingPair({ tcp: { maxWindow: 8000 } })
    const { client, server } = pair.connect()
    low(pair, server, 100_000)
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 7)
    const socket = pair.kernel.files.socket(client)!
    pair.client.tcp.send(socket.tcb!, bytesOf(20_000), 0, pair.clock.now())
    const got = pair.drain(2_000_000).reduce((sum, { res }) => sum + res, 0)
    expect(got).toBeGreaterThan(10_000)
  })
})

describe('SIOCINQ and SIOCOUTQ', () => {
  it('count what waits to be read and to be acknowledged', () => {
    const pair = new RingPair({ impairments: { delayUs: 5000 } })
    const { client, server, listener } = pair.connect()
    const count = (command: number, fd: number): number => pair.call((sqe) => sqe.prepCmdSock(command, fd))
    const bytes = bytesOf(700)
    expect(pair.call((sqe) => sqe.prepSend(client, bytes))).toBe(700)
    expect(count(abi.SOCKET_URING_OP_SIOCOUTQ, client)).toBe(700)
    expect(count(abi.SOCKET_URING_OP_SIOCINQ, server)).toBe(0)
    pair.drain()
    expect(count(abi.SOCKET_URING_OP_SIOCOUTQ, client)).toBe(0)
    expect(count(abi.SOCKET_URING_OP_SIOCINQ, server)).toBe(700)
    expect(count(abi.SOCKET_URING_OP_SIOCINQ, listener)).toBe(-abi.EINVAL)
  })
})

describe('TCP_INFO', () => {
  it('numbers states as Linux does, and says what is known', () => {
    const pair = new RingPair({ tcp: { maxWindow: 4 << 20 } })
    const { client, server, listener } = pair.connect()
    const info = new abi.TcpInfo()
    const read = (fd: number): number =>
      pair.call((sqe) =>
        sqe.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, fd, IPPROTO_TCP, abi.TCP_INFO, info.bytes),
      )
    expect(read(listener)).toBe(abi.TcpInfo.SIZE)
    expect(info.get('state')).toBe(abi.TCP_LISTEN)
    pair.send(client, bytesOf(3000))
    read(client)
    expect(info.get('state')).toBe(abi.TCP_ESTABLISHED)
    expect(info.get('bytesAcked')).toBe(3001)
    expect(info.get('options')).toBe(abi.TCPI_OPT_TIMESTAMPS | abi.TCPI_OPT_SACK | abi.TCPI_OPT_WSCALE)
    expect(info.wscale).toEqual({ snd: 7, rcv: 7 })
    expect(info.get('pmtu')).toBe(1500)
    expect(info.get('sndMss')).toBe(1448)
    expect(info.get('rto')).toBeGreaterThan(100_000)
    read(server)
    expect(info.get('bytesReceived')).toBe(3000)
    pair.call((sqe) => sqe.prepClose(client))
    pair.settle()
    read(server)
    expect(info.get('state')).toBe(abi.TCP_CLOSE_WAIT)
    const short = new Uint8Array(1)
    expect(
      pair.call((sqe) =>
        sqe.prepCmdSock(SOCKET_URING_OP_GETSOCKOPT, server, IPPROTO_TCP, abi.TCP_INFO, short),
      ),
    ).toBe(1)
    expect(short[0]).toBe(abi.TCP_CLOSE_WAIT)
  })
})
