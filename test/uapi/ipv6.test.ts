import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../address.ts'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'
import { CLIENT, CLIENT6, SERVER, SERVER6 } from '../support/stack-pair.ts'

const socket = (pair: RingPair, family: number): number =>
  pair.call((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))

describe('sockets of AF_INET6', () => {
  it('have the kernel’s sockaddr_in6, byte for byte', () => {
    const bytes = abi.SockaddrIn6.of(IpAddress.parse('2001:db8::1')!, 9000)
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '0a00232800000000' + '20010db8000000000000000000000001' + '00000000',
    )
    const mapped = new abi.SockaddrIn6(abi.SockaddrIn6.of(IpAddress.parse('192.0.2.1')!, 1))
    expect(Buffer.from(mapped.bytes.subarray(8, 24)).toString('hex')).toBe('00000000000000000000ffffc0000201')
    expect([mapped.family, mapped.port, mapped.address.toString(), mapped.flowInfo, mapped.scopeId]).toEqual([
      abi.AF_INET6,
      1,
      '192.0.2.1',
      0,
      0,
    ])
    expect(abi.sockaddrOf(CLIENT, 1).length).toBe(16)
    expect(abi.sockaddrOf(CLIENT6, 1).length).toBe(28)
  })

  it('carry data into the area like any other', () => {
    const pair = new RingPair({ version: 6 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const data = bytesOf(20_000)
    pair.send(client, data)
    const found = pair.drain()
    expect(Buffer.concat(found.map((completion) => pair.bytes(completion)))).toEqual(Buffer.from(data))
    expect(pair.stats().copiedBytes).toBe(0)
  })

  it('report the peer with its sockaddr', () => {
    const pair = new RingPair({ version: 6 })
    const { listener } = pair.connect()
    const client = socket(pair, abi.AF_INET6)
    const remote = abi.SockaddrIn6.of(SERVER6, 9000)
    const local = abi.SockaddrIn6.of(CLIENT6, 5555)
    expect(pair.call((sqe) => sqe.prepBind(client, local))).toBe(0)
    pair.submit((sqe) => sqe.prepConnect(client, remote), 0xfffe)
    const bytes = new Uint8Array(28)
    expect(pair.call((sqe) => sqe.prepAccept(listener, bytes))).toBeGreaterThan(0)
    const peer = new abi.SockaddrIn6(bytes)
    expect([peer.family, peer.address.toString(), peer.port]).toEqual([abi.AF_INET6, '2001:db8::1', 5555])
  })

  it('take IPv4 at the wildcard, v4-mapped, as Linux does without IPV6_V6ONLY', () => {
    const pair = new RingPair()
    const stack = pair.server
    expect(stack.tcp.listen(IpAddress.any6, 9000, 4)).not.toBeNull()
    expect(stack.tcp.listen(IpAddress.any4, 9000, 4)).toBeNull()
    expect(stack.tcp.listen(SERVER, 9000, 4)).toBeNull()
    const only6 = stack.tcp.listen(IpAddress.any6, 9001, 4)!
    stack.tcp.unlisten(only6)
    const options = only6.options.with({ v6Only: true })
    expect(stack.tcp.listen(IpAddress.any6, 9001, 4, options)).not.toBeNull()
    expect(stack.tcp.listen(IpAddress.any4, 9001, 4)).not.toBeNull()
    expect(stack.tcp.listen(null, 9001, 4)).toBeNull()
    expect(stack.tcp.listen(SERVER6, 9002, 4)).not.toBeNull()
    expect(stack.tcp.listen(SERVER, 9002, 4)).not.toBeNull()

    const client = socket(pair, abi.AF_INET6)
    const local = abi.SockaddrIn6.of(CLIENT, 0)
    const remote = abi.SockaddrIn6.of(SERVER, 9000)
    expect(pair.call((sqe) => sqe.prepBind(client, local))).toBe(0)
    expect(pair.call((sqe) => sqe.prepConnect(client, remote))).toBe(0)
  })

  it('take IPV6_V6ONLY before BIND, and then no IPv4 (RFC 3493 5.3)', () => {
    const pair = new RingPair({ version: 6 })
    const fd = socket(pair, abi.AF_INET6)
    const value = Uint8Array.of(1, 0, 0, 0)
    const set = (fd: number): number =>
      pair.call((sqe) =>
        sqe.prepCmdSock(abi.SOCKET_URING_OP_SETSOCKOPT, fd, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, value),
      )
    expect(set(socket(pair, abi.AF_INET))).toBe(-abi.ENOPROTOOPT)
    expect(set(fd)).toBe(0)
    const read = new Uint8Array(4)
    const got = pair.call((sqe) =>
      sqe.prepCmdSock(abi.SOCKET_URING_OP_GETSOCKOPT, fd, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, read),
    )
    expect([got, read[0]]).toEqual([4, 1])
    const mapped = abi.SockaddrIn6.of(SERVER, 9000)
    expect(pair.call((sqe) => sqe.prepConnect(fd, mapped))).toBe(-abi.ENETUNREACH)
    expect(pair.call((sqe) => sqe.prepBind(fd, mapped))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepBind(fd, abi.SockaddrIn6.of(SERVER6, 9000)))).toBe(0)
    expect(set(fd)).toBe(-abi.EINVAL)
  })

  it('CONNECT refuses who cannot be one host (RFC 9293 3.9.2.3)', () => {
    for (const [version, texts] of [
      [4, ['224.0.0.1', '255.255.255.255', '0.0.0.0', '192.0.2.255']],
      [6, ['ff02::1', 'ff0e::1:2', '::']],
    ] as const) {
      const pair = new RingPair({ version })
      if (version === 4) pair.client.link.broadcasts.set(IpAddress.parse('192.0.2.1')!, 24)
      for (const text of texts) {
        const address = IpAddress.parse(text)!
        const fd = socket(pair, version === 4 ? abi.AF_INET : abi.AF_INET6)
        const to = version === 4 ? abi.SockaddrIn.of(address, 80) : abi.SockaddrIn6.of(address, 80)
        expect(
          pair.call((sqe) => sqe.prepConnect(fd, to)),
          text,
        ).toBe(-abi.ENETUNREACH)
      }
      expect(pair.client.counters.txFrames).toBe(0)
    }
  })

  it('CONNECT answers EHOSTUNREACH when nobody has the address, ENETUNREACH when no route leads there', () => {
    const pair = new RingPair({ version: 6 })
    const connect = (text: string): number => {
      const fd = socket(pair, abi.AF_INET6)
      const [local, remote] = [abi.SockaddrIn6.of(CLIENT6, 0), abi.SockaddrIn6.of(IpAddress.parse(text)!, 80)]
      expect(pair.call((sqe) => sqe.prepBind(fd, local))).toBe(0)
      return pair.call((sqe) => sqe.prepConnect(fd, remote))
    }
    const before = pair.clock.now()
    expect(connect('2001:db8::99')).toBe(-abi.EHOSTUNREACH)
    expect(pair.clock.now() - before).toBeLessThan(3_100_000)
    pair.client.addRoute(CLIENT6, 64, null)
    expect(connect('2001:db8:1::99')).toBe(-abi.ENETUNREACH)
    pair.client.setGateway(SERVER6)
    // The gateway answers for nobody else: it drops what is not for it, and the attempt times out.
    expect(connect('2001:db8:1::99')).toBe(-abi.ETIMEDOUT)
    expect(pair.server.counters.dropNotForUs).toBeGreaterThan(0)
  })

  it('answer misuse with the errno Linux has for it', () => {
    const pair = new RingPair({ version: 6 })
    const v6 = socket(pair, abi.AF_INET6)
    const v4 = socket(pair, abi.AF_INET)
    const [in4, in6] = [abi.SockaddrIn.of(SERVER, 1), abi.SockaddrIn6.of(SERVER6, 1)]
    const padded = new Uint8Array(28)
    padded.set(in4)
    expect(pair.call((sqe) => sqe.prepBind(v6, in4))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepBind(v6, padded))).toBe(-abi.EAFNOSUPPORT)
    expect(pair.call((sqe) => sqe.prepBind(v4, in6))).toBe(-abi.EAFNOSUPPORT)
    expect(pair.call((sqe) => sqe.prepConnect(v4, in6))).toBe(-abi.EAFNOSUPPORT)
    expect(
      pair.call((sqe) => sqe.prepBind(v6, abi.SockaddrIn6.of(IpAddress.parse('2001:db8::99')!, 1))),
    ).toBe(-abi.EADDRNOTAVAIL)
    expect(pair.call((sqe) => sqe.prepBind(v6, in6.subarray(0, 24)))).toBe(0)
    const mapped = abi.SockaddrIn6.of(SERVER, 1)
    expect(pair.call((sqe) => sqe.prepConnect(v6, mapped))).toBe(-abi.ENETUNREACH)
  })
})
