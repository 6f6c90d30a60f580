import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../address.ts'
import { stateName } from '../../stack/tcp/state.ts'
import * as abi from '../../uapi/abi/index.ts'
import { RingPair } from '../support/ring-pair.ts'

/** What was answered: the result, the length written back, and the bytes that may hold a sockaddr. */
interface Named {
  res: number
  length: number
  bytes: Uint8Array
}

function ask(pair: RingPair, fd: number, peer = 0, room = 28, flags = 0): Named {
  const bytes = new Uint8Array(28).fill(0xaa)
  const length = new Int32Array([room])
  const res = pair.call((sqe) =>
    sqe.prepCmdGetsockname(fd, bytes, new Uint8Array(length.buffer), peer as 0 | 1).setFlags(flags),
  )
  return { res, length: length[0]!, bytes }
}

function named(sockaddr: Uint8Array, length = sockaddr.length): Named {
  const bytes = new Uint8Array(28).fill(0xaa)
  bytes.set(sockaddr.subarray(0, length))
  return { res: 0, length: sockaddr.length, bytes }
}

function socketOf(pair: RingPair): number {
  return pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
}

describe.each([4, 6] as const)('names of sockets, IPv%i', (version) => {
  const any = version === 4 ? IpAddress.any4 : IpAddress.any6

  it('are a connection’s two addresses, from either end', () => {
    const pair = new RingPair({ version })
    const { client, server, listener } = pair.connect(9000)
    const near = abi.sockaddrOf(pair.serverAddress, 9000)
    const far = abi.sockaddrOf(pair.clientAddress, pair.kernel.files.socket(client)!.tcb!.localPort)
    expect(ask(pair, server)).toEqual(named(near))
    expect(ask(pair, server, 1)).toEqual(named(far))
    expect(ask(pair, client)).toEqual(named(far))
    expect(ask(pair, client, 1)).toEqual(named(near))
    expect(ask(pair, listener)).toEqual(named(near))
    expect(ask(pair, listener, 1).res).toBe(-abi.ENOTCONN)
  })

  it('are zero of a socket that is not bound, and the port that was chosen of one bound to port 0', () => {
    const pair = new RingPair({ version })
    const fd = socketOf(pair)
    expect(ask(pair, fd)).toEqual(named(abi.sockaddrOf(any, 0)))
    expect(ask(pair, fd, 1)).toEqual({
      res: -abi.ENOTCONN,
      length: 28,
      bytes: new Uint8Array(28).fill(0xaa),
    })
    const local = abi.sockaddrOf(pair.serverAddress, 0)
    expect(pair.call((sqe) => sqe.prepBind(fd, local))).toBe(0)
    const port = pair.kernel.files.socket(fd)!.bound!.port
    expect(port).toBeGreaterThan(0)
    expect(ask(pair, fd)).toEqual(named(abi.sockaddrOf(pair.serverAddress, port)))
  })

  it('are cut to the length that is given, and the whole length is told', () => {
    const pair = new RingPair({ version })
    const { server } = pair.connect()
    const near = abi.sockaddrOf(pair.serverAddress, 9000)
    for (const room of [0, 1, 8]) expect(ask(pair, server, 0, room)).toEqual(named(near, room))
  })

  it('go on being told through a slot of fixed files, and of a peer that has gone not at all', () => {
    const pair = new RingPair({ version })
    expect(pair.ring.registerFilesSparse(1)).toBe(0)
    const local = abi.sockaddrOf(pair.serverAddress, 9000)
    pair.call((sqe) => sqe.prepSocketDirect(pair.family, abi.SOCK_STREAM, 0, 0))
    pair.call((sqe) => sqe.prepBind(0, local).setFlags(abi.IOSQE_FIXED_FILE))
    expect(ask(pair, 0, 0, 28, abi.IOSQE_FIXED_FILE)).toEqual(named(local))
    const { client, server } = pair.connect(9001)
    pair.kernel.files.socket(client)!.setOptions({ lingerUs: 0 })
    pair.call((sqe) => sqe.prepClose(client))
    pair.settle()
    expect(ask(pair, server, 1).res).toBe(-abi.ENOTCONN)
    expect(ask(pair, server).res).toBe(0)
  })

  it('of a peer are told from the SYN’s answer on until TIME-WAIT, as Linux has it', () => {
    const pair = new RingPair({ version })
    const { client, server, listener } = pair.connect(9000)
    for (const fd of [client, server]) pair.call((sqe) => sqe.prepShutdown(fd, abi.SHUT_WR))
    pair.settle()
    const states = [client, server].map((fd) => stateName(pair.kernel.files.socket(fd)!.tcb!.state))
    expect(states).toEqual(['TIME-WAIT', 'TIME-WAIT'])
    expect([client, server].map((fd) => ask(pair, fd, 1).res)).toEqual([-abi.ENOTCONN, -abi.ENOTCONN])
    const opening = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
    pair.kernel.files.socket(opening)!.nonBlocking = true
    const near = abi.sockaddrOf(pair.clientAddress, 40_000)
    const far = abi.sockaddrOf(pair.serverAddress, 9000)
    expect(pair.call((sqe) => sqe.prepBind(opening, near))).toBe(0)
    expect(pair.call((sqe) => sqe.prepConnect(opening, far))).toBe(-abi.EINPROGRESS)
    expect(stateName(pair.kernel.files.socket(opening)!.tcb!.state)).toBe('SYN-SENT')
    expect(ask(pair, opening, 1).res).toBe(-abi.ENOTCONN)
    expect(ask(pair, opening)).toEqual(named(near))
    expect(pair.call((sqe) => sqe.prepAccept(listener))).toBeGreaterThan(0)
    expect(ask(pair, opening, 1)).toEqual(named(far))
  })
})

describe('an entry for the name of a socket that is wrong', () => {
  const pair = new RingPair()
  const { server } = pair.connect()
  const { SOCKET_URING_OP_GETSOCKNAME: GETSOCKNAME, IORING_OP_URING_CMD: CMD } = abi
  const bytes = new Uint8Array(16)
  const length = (room: number): Uint8Array => new Uint8Array(new Int32Array([room]).buffer)
  const good = (sqe: abi.Sqe): abi.Sqe => sqe.prepCmdGetsockname(server, bytes, length(16))
  const wrong: [string, number, (sqe: abi.Sqe) => abi.Sqe][] = [
    [
      'neither socket nor peer',
      abi.EINVAL,
      (sqe) => sqe.prepCmdGetsockname(server, bytes, length(16), 2 as 1),
    ],
    ['a negative length', abi.EINVAL, (sqe) => sqe.prepCmdGetsockname(server, bytes, length(-1))],
    ['flags', abi.EINVAL, (sqe) => good(sqe).setOpFlags(1)],
    ['ioprio', abi.EINVAL, (sqe) => good(sqe).setIoprio(1)],
    ['len', abi.EINVAL, (sqe) => sqe.prepRw(CMD, server, 0, 1, GETSOCKNAME)],
    [
      'the word behind the command',
      abi.EINVAL,
      (sqe) => sqe.prepRw(CMD, server, 0, 0, GETSOCKNAME + 2 ** 32),
    ],
    ['no length', abi.EFAULT, (sqe) => sqe.prepRw(CMD, server, 0, 0, GETSOCKNAME)],
    ['no socket', abi.EBADF, (sqe) => sqe.prepCmdGetsockname(99, bytes, length(16))],
  ]

  it.each(wrong)('%s', (_name, error, prepare) => {
    expect(pair.call(prepare)).toBe(-error)
  })

  it('the length is told before the sockaddr turns out to be nowhere', () => {
    const there = length(16)
    // As `prepCmdGetsockname`, at an address that is not mapped.
    const at = (address: number): number =>
      pair.call((sqe) => sqe.prepCmdSock(GETSOCKNAME, server, address, 0, there).setTargetFixedFile(-1))
    expect([at(0x10), ...there]).toEqual([-abi.EFAULT, 16, 0, 0, 0])
    // Nowhere is good enough for nothing.
    there.fill(0)
    expect([at(0x10), ...there]).toEqual([0, 16, 0, 0, 0])
  })

  it('memory that was made read-only is not written', () => {
    const locked = length(16)
    pair.kernel.space.makeReadOnly(locked.buffer)
    expect(pair.call((sqe) => sqe.prepCmdGetsockname(server, bytes, locked))).toBe(-abi.EFAULT)
    expect(pair.call((sqe) => sqe.prepCmdGetsockname(server, locked, length(4)))).toBe(-abi.EFAULT)
    expect([...locked]).toEqual([16, 0, 0, 0])
  })
})
