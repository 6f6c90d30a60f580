/** bind(2) and listen(2): which ports are taken, and how many may wait. What is expected is what Linux 6.18 answers. */
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../address.ts'
import { MemoryLink } from '../../driver/memory/index.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

const PORT = 9000
const HERE = ['192.0.2.1', '192.0.2.2', '2001:db8::1']

/** Two hosts with three addresses each, of one kernel each. */
class Host {
  readonly kernel: InlineKernel
  readonly ring: Ring

  constructor() {
    const memory = (): NicMemory => ({
      buffer: new ArrayBuffer(64 * 4096),
      areaOffset: 0,
      areaLength: 64 * 4096,
      chunkSize: 4096,
    })
    const clock = new VirtualClock(1_000_000)
    const link = new MemoryLink({ seed: 1, now: () => clock.now() })
    this.kernel = new InlineKernel({ memoryFor: memory, idle: () => false })
    this.kernel.readsEveryLevel = true
    const stack = new Stack({ nic: link.b, memory: memory(), clock, entropy: seededEntropy(1) })
    for (const text of HERE) stack.addAddress(IpAddress.parse(text)!, true)
    this.kernel.addStack(stack)
    this.ring = Ring.queueInit(8, this.kernel)
  }

  call(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    prepare(this.ring.getSqe()!)
    this.ring.submit()
    const cqe = this.ring.waitCqe()
    const { res } = cqe
    this.ring.cqeSeen(cqe)
    return res
  }

  set(fd: number, level: number, name: number, value: number): void {
    const bytes = new Uint8Array(Int32Array.of(value).buffer)
    const set = abi.SOCKET_URING_OP_SETSOCKOPT
    expect(this.call((sqe) => sqe.prepCmdSock(set, fd, level, name, bytes))).toBe(0)
  }

  /** `::only` is the IPv6 wildcard with IPV6_V6ONLY; `::ffff:` in front makes an IPv6 socket at an IPv4 address. */
  socket(address: string, reuse: boolean): { fd: number; sockaddr: Uint8Array } {
    const mapped = address.startsWith('::ffff:')
    const parsed = IpAddress.parse(address.replace('only', '').replace('::ffff:', ''))!
    const six = mapped || parsed.version === 6
    const fd = this.call((sqe) => sqe.prepSocket(six ? abi.AF_INET6 : abi.AF_INET, abi.SOCK_STREAM, 0))
    if (address === '::only') this.set(fd, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, 1)
    if (reuse) this.set(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1)
    const sockaddr = six ? abi.SockaddrIn6.of(parsed, PORT) : abi.sockaddrOf(parsed, PORT)
    return { fd, sockaddr }
  }

  bind(address: string, reuse = false): number {
    const { fd, sockaddr } = this.socket(address, reuse)
    const res = this.call((sqe) => sqe.prepBind(fd, sockaddr))
    return res === 0 ? fd : res
  }

  close(fd: number): void {
    expect(this.call((sqe) => sqe.prepClose(fd))).toBe(0)
  }

  portOf(fd: number): number {
    return this.kernel.files.socket(fd)!.bound!.port
  }
}

const ADDRESSES = ['0.0.0.0', '192.0.2.1', '192.0.2.2', '::', '::only', '2001:db8::1', '::ffff:192.0.2.1']
/** Whether a socket at the address of the column can be bound beside one at that of the row. */
const BESIDE = ['....++.', '..+.++.', '.+..+++', '.......', '+++...+', '+++...+', '..+.++.']

describe('a port that is bound', () => {
  it.each(ADDRESSES.map((address, row) => [address, row] as const))(
    'at %s is taken at addresses that meet it, when it is bound',
    (first, row) => {
      for (const [column, second] of ADDRESSES.entries()) {
        const free = BESIDE[row]![column] === '+'
        for (const [listens, reuse, expected] of [
          [true, false, free],
          [true, true, free],
          [false, false, free],
          // Both ask to share it, and nobody listens yet.
          [false, true, true],
        ] as const) {
          const host = new Host()
          const fd = host.bind(first, reuse)
          expect(fd).toBeGreaterThanOrEqual(0)
          if (listens) expect(host.call((sqe) => sqe.prepListen(fd, 1))).toBe(0)
          const other = host.bind(second, reuse)
          expect([first, second, listens, reuse, other >= 0]).toEqual([
            first,
            second,
            listens,
            reuse,
            expected,
          ])
          if (!expected) expect(other).toBe(-abi.EADDRINUSE)
        }
      }
    },
  )

  it('is shared only where both ask for it', () => {
    for (const [one, two] of [
      [true, false],
      [false, true],
    ]) {
      const host = new Host()
      expect(host.bind('192.0.2.1', one)).toBeGreaterThanOrEqual(0)
      expect(host.bind('192.0.2.1', two)).toBe(-abi.EADDRINUSE)
    }
  })

  it('and shared is listened at by the first that asks', () => {
    const host = new Host()
    const [one, two] = [host.bind('192.0.2.1', true), host.bind('192.0.2.1', true)]
    expect(host.call((sqe) => sqe.prepListen(two, 1))).toBe(0)
    expect(host.call((sqe) => sqe.prepListen(one, 1))).toBe(-abi.EADDRINUSE)
    host.close(two)
    expect(host.call((sqe) => sqe.prepListen(one, 1))).toBe(0)
  })

  it('is free again when the socket is closed, listening or not', () => {
    const host = new Host()
    for (let i = 0; i < 3; i++) {
      const fd = host.bind('0.0.0.0')
      expect(fd).toBeGreaterThanOrEqual(0)
      if (i > 0) expect(host.call((sqe) => sqe.prepListen(fd, 1))).toBe(0)
      host.close(fd)
    }
    expect(host.bind('::')).toBeGreaterThanOrEqual(0)
  })

  it('is kept by the connections that were accepted there', () => {
    const pair = new RingPair()
    const { listener, server } = pair.connect()
    const address = abi.sockaddrOf(pair.serverAddress, 9000)
    const bind = (reuse: boolean): number => {
      const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
      const on = new Uint8Array(Int32Array.of(Number(reuse)).buffer)
      const set = abi.SOCKET_URING_OP_SETSOCKOPT
      pair.call((sqe) => sqe.prepCmdSock(set, fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, on))
      return pair.call((sqe) => sqe.prepBind(fd, address))
    }
    pair.call((sqe) => sqe.prepClose(listener))
    // What they had inherited is no SO_REUSEADDR.
    expect([bind(false), bind(true)]).toEqual([-abi.EADDRINUSE, -abi.EADDRINUSE])
    const on = new Uint8Array(Int32Array.of(1).buffer)
    const set = abi.SOCKET_URING_OP_SETSOCKOPT
    pair.call((sqe) => sqe.prepCmdSock(set, server, abi.SOL_SOCKET, abi.SO_REUSEADDR, on))
    expect([bind(false), bind(true)]).toEqual([-abi.EADDRINUSE, 0])
  })

  it('is kept in TIME-WAIT too, until that is over', () => {
    const pair = new RingPair()
    const { listener, server, client } = pair.connect()
    const address = abi.sockaddrOf(pair.serverAddress, 9000)
    const bind = (): number => {
      const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
      return pair.call((sqe) => sqe.prepBind(fd, address))
    }
    for (const fd of [listener, server, client]) {
      pair.call((sqe) => sqe.prepClose(fd))
      pair.settle()
    }
    expect([pair.server.tcp.connections, bind()]).toEqual([1, -abi.EADDRINUSE])
    pair.clock.advance(pair.server.tcp.context.config.timeWaitUs + 1_000_000)
    pair.kernel.poll()
    expect([pair.server.tcp.connections, bind()]).toEqual([0, 0])
  })
})

describe('port 0', () => {
  it('becomes one that nobody has, at once', () => {
    const host = new Host()
    const ports = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const fd = host.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
      if (i % 2 === 0) host.set(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1)
      const sockaddr = abi.sockaddrOf(IpAddress.parse(HERE[i % 2]!)!, 0)
      expect(host.call((sqe) => sqe.prepBind(fd, sockaddr))).toBe(0)
      ports.add(host.portOf(fd))
      expect(host.call((sqe) => sqe.prepBind(fd, sockaddr))).toBe(-abi.EINVAL)
    }
    expect(ports.size).toBe(20)
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(49_152)
  })

  it('is what listen(2) binds a socket to that is not bound', () => {
    const host = new Host()
    for (const family of [abi.AF_INET, abi.AF_INET6]) {
      const fd = host.call((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))
      expect(host.call((sqe) => sqe.prepListen(fd, 1))).toBe(0)
      const { address, port } = host.kernel.files.socket(fd)!.bound!
      expect([address.unspecified, address.version]).toEqual([true, family === abi.AF_INET ? 4 : 6])
      expect(port).toBeGreaterThanOrEqual(49_152)
    }
  })
})

describe('a backlog', () => {
  it('is what listen(2) says last, at most 4096', () => {
    const host = new Host()
    const fd = host.bind('192.0.2.1')
    const backlog = (asked: number): number => {
      expect(host.call((sqe) => sqe.prepListen(fd, asked))).toBe(0)
      const info = new abi.TcpInfo()
      const get = abi.SOCKET_URING_OP_GETSOCKOPT
      host.call((sqe) => sqe.prepCmdSock(get, fd, abi.IPPROTO_TCP, abi.TCP_INFO, info.bytes))
      expect([info.get('state'), info.get('unacked')]).toEqual([abi.TCP_LISTEN, 0])
      return info.get('sacked')
    }
    expect([7, 0, 100_000, 3, -1].map(backlog)).toEqual([7, 0, 4096, 3, 4096])
  })

  it.each([0, 1, 3])('of %i lets one more wait', (backlog) => {
    const pair = new RingPair()
    const listener = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    const address = abi.sockaddrOf(pair.serverAddress, 9000)
    expect(pair.call((sqe) => sqe.prepBind(listener, address))).toBe(0)
    expect(pair.call((sqe) => sqe.prepListen(listener, backlog))).toBe(0)
    for (let i = 0; i < backlog + 3; i++) {
      const client = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
      pair.call((sqe) => sqe.prepBind(client, abi.sockaddrOf(pair.clientAddress, 0)))
      pair.submit((sqe) => sqe.prepConnect(client, address), 100 + i)
    }
    pair.settle()
    expect(pair.kernel.files.socket(listener)!.listener!.ready.length).toBe(backlog + 1)
  })
})

describe('a listener that is shut', () => {
  it('for reading ends, resets who waits, keeps its port, and can listen again', () => {
    const pair = new RingPair()
    const { listener } = pair.connect()
    const address = abi.sockaddrOf(pair.serverAddress, 9000)
    const connect = (): number => {
      const client = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
      pair.call((sqe) => sqe.prepBind(client, abi.sockaddrOf(pair.clientAddress, 0)))
      return pair.call((sqe) => sqe.prepConnect(client, address)) || client
    }
    const waiting = connect()
    expect(pair.call((sqe) => sqe.prepShutdown(listener, abi.SHUT_WR))).toBe(0)
    expect(connect()).toBeGreaterThan(0)
    expect(pair.call((sqe) => sqe.prepShutdown(listener, abi.SHUT_RD))).toBe(0)
    expect(pair.call((sqe) => sqe.prepRecv(waiting, new Uint8Array(1), 0))).toBe(-abi.ECONNRESET)
    expect(pair.call((sqe) => sqe.prepAccept(listener))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepShutdown(listener, abi.SHUT_RD))).toBe(-abi.ENOTCONN)
    expect(connect()).toBe(-abi.ECONNREFUSED)
    expect(pair.call((sqe) => sqe.prepBind(listener, address))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepListen(listener, 4))).toBe(0)
    // An accept that waits is answered.
    pair.submit((sqe) => sqe.prepAccept(listener), 9)
    expect(pair.call((sqe) => sqe.prepShutdown(listener, abi.SHUT_RDWR))).toBe(0)
    pair.settle()
    expect(pair.early.concat(pair.reap())).toMatchObject([{ userData: 9, res: -abi.EINVAL }])
  })
})

describe('after SHUT_RD', () => {
  it('data that comes is delivered, then the end', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    expect(pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RD))).toBe(0)
    const got = new Uint8Array(100)
    const recv = (): number => pair.call((sqe) => sqe.prepRecv(server, got, 0))
    expect(recv()).toBe(0)
    pair.send(client, bytesOf(30))
    expect([recv(), recv()]).toEqual([30, 0])
    expect(got.subarray(0, 30)).toEqual(bytesOf(30))
    pair.send(client, bytesOf(50))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    expect(pair.drain().map(({ res }) => res)).toEqual([50, 0])
    // The other direction goes on.
    pair.send(server, bytesOf(20))
    expect(pair.call((sqe) => sqe.prepRecv(client, got, 0))).toBe(20)
  })

  it('and SHUT_WR it resets the connection, in whichever order', () => {
    for (const hows of [[abi.SHUT_RDWR], [abi.SHUT_RD, abi.SHUT_WR], [abi.SHUT_WR, abi.SHUT_RD]]) {
      const pair = new RingPair({ nodev: true })
      const { client, server } = pair.connect()
      for (const how of hows) pair.call((sqe) => sqe.prepShutdown(server, how))
      const got = new Uint8Array(100)
      const recv = (fd: number): number => pair.call((sqe) => sqe.prepRecv(fd, got, 0))
      pair.send(client, bytesOf(30))
      expect([recv(server), recv(server)]).toEqual([-abi.ECONNRESET, 0])
      expect(pair.server.counters.dropAfterShutdown).toBe(1)
      // The FIN had come before.
      expect(recv(client)).toBe(0)
    }
  })
})
