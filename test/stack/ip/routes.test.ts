import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { LEARN_OVERRIDE, LEARN_SOLICITED } from '../../../stack/ip/neighbours.ts'
import { PathMtus } from '../../../stack/ip/path-mtus.ts'
import { Routes } from '../../../stack/ip/routes.ts'
import { TokenBucket } from '../../../stack/ip/token-bucket.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, SERVER } from '../../support/stack-pair.ts'

const of = (text: string): IpAddress => IpAddress.parse(text)!

describe('routes', () => {
  it('the longest prefix decides, whatever the order; the versions don’t meet', () => {
    const routes = new Routes()
    const add = (prefix: string, prefixLength: number, gateway: string | null, mtu = 0): void =>
      routes.add({ prefix: of(prefix), prefixLength, gateway: gateway === null ? null : of(gateway), mtu })
    add('0.0.0.0', 0, '192.0.2.254')
    add('192.0.2.0', 24, null)
    add('198.51.100.0', 24, '192.0.2.9')
    add('198.51.100.128', 25, '192.0.2.8', 1400)
    add('2001:db8::', 32, null)
    const via = (text: string): string | null | undefined => {
      const route = routes.find(of(text))
      return route === null ? undefined : (route.gateway?.toString() ?? null)
    }
    expect(via('192.0.2.77')).toBeNull()
    expect(via('198.51.100.1')).toBe('192.0.2.9')
    expect(via('198.51.100.129')).toBe('192.0.2.8')
    expect(via('8.8.8.8')).toBe('192.0.2.254')
    expect(via('2001:db8:ffff::1')).toBeNull()
    expect(via('2001:db9::1')).toBeUndefined()
    add('0.0.0.0', 0, '192.0.2.253')
    expect([via('8.8.8.8'), routes.all.length]).toEqual(['192.0.2.253', 5])
  })

  it('a connection beyond the link asks for the gateway', () => {
    const peer = new RawPeer()
    const { stack } = peer
    stack.addAddress(SERVER, true, 24)
    const asked = (): string[] =>
      peer.others.splice(0).map((frame) => IpAddress.from(frame.subarray(38, 42)).toString())
    stack.tcp.connect(SERVER, 0, of('198.51.100.1'), 80, peer.clock.now())
    peer.poll()
    expect(asked()).toEqual([])
    stack.setGateway(of('192.0.2.254'))
    const tcb = stack.tcp.connect(SERVER, 0, of('198.51.100.1'), 80, peer.clock.now())!
    stack.tcp.connect(SERVER, 0, CLIENT, 80, peer.clock.now())
    peer.poll()
    expect(asked()).toEqual(['192.0.2.254', '192.0.2.1'])
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 9)
    const { link } = stack
    link.onResolved(
      link.neighbours.learn(of('192.0.2.254'), mac, SERVER, LEARN_SOLICITED | LEARN_OVERRIDE, 0)!,
      peer.clock.now(),
    )
    expect(tcb.remoteMacLow).toBe(9)
  })

  it('have MTUs, and the choice of source address follows scope and prefix (RFC 6724)', () => {
    const peer = new RawPeer({ mtu: 9000 })
    const { stack } = peer
    stack.addRoute(of('198.51.100.0'), 24, CLIENT, 1400)
    stack.addRoute(of('203.0.113.0'), 24, CLIENT, 65_000)
    const mtu = (text: string): number => stack.link.mtuTo(of(text), 0)
    expect([mtu('198.51.100.1'), mtu('203.0.113.1'), mtu('192.0.2.1')]).toEqual([1400, 9000, 9000])
    for (const text of ['fe80::2', '2001:db8:1::2', '198.51.100.9']) stack.addAddress(of(text), true)
    const local = (text: string): string | undefined => stack.link.localFor(of(text))?.toString()
    expect(local('fe80::1')).toBe('fe80::2')
    expect(local('2001:db8:1::1')).toBe('2001:db8:1::2')
    expect(local('2001:db8::1')).toBe('2001:db8::2')
    expect(local('198.51.100.1')).toBe('198.51.100.9')
    expect(new RawPeer().stack.link.localFor(of('2001:db8::1'))?.toString()).toBe('2001:db8::2')
  })
})

describe('small parts', () => {
  it('path MTUs are forgotten in time, and the oldest for a new one', () => {
    const table = new PathMtus(2, 100)
    const get = (now: number): number[] => ['::1', '::2', '::3'].map((text) => table.get(of(text), now))
    table.set(of('::1'), 1300, 0)
    table.set(of('::2'), 1400, 50)
    expect(get(99)).toEqual([1300, 1400, Number.POSITIVE_INFINITY])
    table.set(of('::3'), 1500, 60)
    expect(get(99)).toEqual([Number.POSITIVE_INFINITY, 1400, 1500])
    expect(get(160)).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])
  })

  it('a token bucket saves up no more than its burst', () => {
    const bucket = new TokenBucket(10, 3)
    const take = (count: number, now: number): number =>
      Array.from({ length: count }, () => bucket.take(now)).filter(Boolean).length
    expect([take(5, 0), take(5, 100_000), take(5, 10_000_000), take(1, 10_050_000)]).toEqual([3, 1, 3, 0])
    expect(new TokenBucket(0, 50).take(1e9)).toBe(false)
  })
})
