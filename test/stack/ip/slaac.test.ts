import { assert, property, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import { eui64Address, stableAddress } from '../../../stack/ip/interface-id.ts'
import type { AddressEvent } from '../../../stack/ip/link.ts'
import { readRouterAdvert } from '../../../stack/ip/router-advert.ts'
import { ether, type IpSpec, icmp, ip6 } from '../../support/ip-frames.ts'
import { PcapFile } from '../../support/pcap.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { captureDirectory, faults, tshark } from '../../support/tshark.ts'

const SECOND = 1_000_000
const HOUR = 3600
const of = (text: string): IpAddress => IpAddress.parse(text)!
const ROUTER = of('fe80::1')
const ROUTER2 = of('fe80::2')
const ALL = of('ff02::1')
const LINK_LOCAL = of('fe80::ff:fe00:2')
const ADDRESS = of('2001:db8:1::ff:fe00:2')
const SECRET = Uint8Array.from({ length: 16 }, (_, i) => i * 11)

const be16 = (value: number): number[] => [value >> 8, value & 255]
const be32 = (value: number): number[] => [...be16(Math.floor(value / 65_536)), ...be16(value & 0xffff)]

interface PrefixSpec {
  prefix?: string
  bits?: number
  flags?: number
  valid?: number
  preferred?: number
}

function prefixOption(spec: PrefixSpec = {}): number[] {
  const { prefix = '2001:db8:1::', bits = 64, flags = 0xc0, valid = 24 * HOUR, preferred = 4 * HOUR } = spec
  return [3, 4, bits, flags, ...be32(valid), ...be32(preferred), 0, 0, 0, 0, ...of(prefix).bytes()]
}

const MAC_OPTION = [1, 1, 2, 0, 0, 0, 0, 1]
const mtuOption = (mtu: number): number[] => [5, 1, 0, 0, ...be32(mtu)]

function advert(options: number[], lifetime = 1800, spec: IpSpec = {}): Uint8Array {
  const all = { protocol: 58, hopLimit: 255, source: ROUTER, destination: ALL, ...spec }
  const message = icmp(6, 134, 0, (64 << 24) | lifetime, [0, 0, 0, 0, 0, 0, 0, 0, ...options], all)
  return ether(0x86dd, ip6(message, all), { destination: [0x33, 0x33, 0, 0, 0, 1] })
}

class Host extends RawPeer {
  readonly events: string[] = []
  noRouter = 0

  constructor(options: { dad?: boolean; secret?: Uint8Array } = {}) {
    super({ ip: { dad: options.dad ?? false } })
    this.stack.onAddress = ({ address, what }: AddressEvent) => this.events.push(`${address} ${what}`)
    this.stack.autoconfigure(options.secret ?? null, () => this.noRouter++)
    this.poll()
  }

  /** IPv6 addresses of the stack beside the configured one. */
  configured(): string[] {
    const all = this.stack.link.addresses.filter(({ address }) => address.version === 6)
    return all.slice(1).map(({ address }) => address.toString())
  }

  hop(text: string): string | null {
    return this.stack.link.nextHop(of(text))?.toString() ?? null
  }

  solicits(): Uint8Array[] {
    return this.others.filter((frame) => frame[12] === 0x86 && frame[54] === 133)
  }
}

describe('stateless address autoconfiguration', () => {
  it('begins with a link-local address and asks for routers three times, four seconds apart (RFC 4861 6.3.7)', () => {
    const host = new Host()
    expect(host.configured()).toEqual([LINK_LOCAL.toString()])
    host.pass(SECOND)
    expect(host.solicits().length).toBe(1)
    const [solicit] = host.solicits()
    expect([...solicit!.subarray(0, 6)]).toEqual([0x33, 0x33, 0, 0, 0, 2])
    expect([...solicit!.subarray(22, 54)]).toEqual([...LINK_LOCAL.bytes(), ...of('ff02::2').bytes()])
    expect([...solicit!.subarray(62, 70)]).toEqual([1, 1, 2, 0, 0, 0, 0, 2])
    host.pass(8 * SECOND)
    expect([host.solicits().length, host.noRouter]).toEqual([3, 0])
    host.pass(20 * SECOND)
    expect([host.solicits().length, host.noRouter]).toEqual([3, 1])
  })

  it('takes address, prefix, router, its hardware address and MTU from an advertisement', () => {
    const host = new Host()
    host.inject(advert([...MAC_OPTION, ...mtuOption(1400), ...prefixOption()]))
    expect(host.configured()).toEqual([LINK_LOCAL.toString(), ADDRESS.toString()])
    expect(host.events).toContain(`${ADDRESS} usable`)
    expect(host.hop('2001:db8:1::77')).toBe('2001:db8:1::77')
    expect(host.hop('2001:db8:2::77')).toBe(ROUTER.toString())
    const { link } = host.stack
    expect([link.mtuOf(6), link.mtuOf(4)]).toEqual([1400, 1500])
    expect(link.neighbours.lookup(ROUTER)).toMatchObject({ macLow: 1, router: true })
    expect(link.localFor(of('2001:db8:1::77'))?.toString()).toBe(ADDRESS.toString())
    expect(link.localFor(ROUTER)?.toString()).toBe(LINK_LOCAL.toString())
    // Nobody is asked for what was said already.
    host.pass(20 * SECOND)
    expect([host.solicits().length, host.noRouter]).toEqual([0, 0])
    expect(host.stack.counters.routerAdvertsTaken).toBe(1)
  })

  it('is reached at the address, and answers from it', () => {
    const host = new Host()
    host.inject(advert([...MAC_OPTION, ...prefixOption()]))
    const spec = { source: of('2001:db8:1::77'), destination: ADDRESS, protocol: 58 }
    host.inject(ether(0x86dd, ip6(icmp(6, 128, 0, 1, [], spec), spec)))
    expect(host.stack.counters.icmpEchoReplies).toBe(1)
  })

  it.each<[string, Uint8Array]>([
    ['over a router', advert(prefixOption(), 1800, { hopLimit: 254 })],
    ['from no link-local address', advert(prefixOption(), 1800, { source: of('2001:db8::1') })],
    ['with an option of no length', advert([...prefixOption(), 3, 0])],
    ['with half an option', advert(prefixOption().slice(0, 24))],
    ['with a group for a hardware address', advert([1, 1, 3, 0, 0, 0, 0, 1])],
  ])('drops an advertisement that came %s (RFC 4861 6.1.2)', (_how, frame) => {
    const host = new Host()
    host.inject(frame)
    expect(host.configured().length).toBe(1)
    expect(dropsByCause(host.stack.counters)).toEqual({ ndp: 1 })
  })

  it.each<[string, PrefixSpec]>([
    ['that is link-local', { prefix: 'fe80::' }],
    ['preferred for longer than valid', { valid: 100, preferred: 101 }],
    ['of no lifetime', { valid: 0, preferred: 0 }],
    ['that is not for addresses', { flags: 0x80 }],
    ['that leaves no room for 64 bits', { bits: 72 }],
  ])('makes no address of a prefix %s (RFC 4862 5.5.3)', (_what, spec) => {
    const host = new Host()
    host.inject(advert(prefixOption(spec)))
    expect(host.configured().length).toBe(1)
  })

  it('does not shorten a life below two hours for anybody (RFC 4862 5.5.3 (e))', () => {
    const host = new Host()
    host.inject(advert(prefixOption()))
    host.inject(advert(prefixOption({ valid: 10, preferred: 10 })))
    host.pass(11 * SECOND)
    // Deprecated as it was told, but there.
    const entry = () => host.stack.link.addresses.find(({ address }) => address.equals(ADDRESS))
    expect(entry()?.deprecated).toBe(true)
    // Of two hours less is left than the next one says, which therefore counts for nothing but its preference.
    host.inject(advert(prefixOption({ valid: HOUR, preferred: HOUR })))
    expect(entry()?.deprecated).toBe(false)
    host.pass((2 * HOUR - 20) * SECOND)
    expect(entry()).toBeDefined()
    host.pass(30 * SECOND)
    expect(entry()).toBeUndefined()
    expect(host.events.at(-1)).toBe(`${ADDRESS} lost`)
  })

  it('prefers an address that is not deprecated (RFC 6724 rule 3), and lets routes and routers end', () => {
    const host = new Host()
    host.inject(advert([...prefixOption({ valid: 3 * HOUR, preferred: 10 })], 30))
    host.inject(advert([...prefixOption({ prefix: '2001:db8:2::' })], 60, { source: ROUTER2 }))
    expect(host.stack.link.localFor(of('2001:db8:1::77'))?.toString()).toBe(ADDRESS.toString())
    expect(host.hop('2001:db8:9::1')).toBe(ROUTER.toString())
    host.pass(31 * SECOND)
    // Now the configured one is the nearest that is not deprecated.
    expect(host.stack.link.localFor(of('2001:db8:1::77'))?.toString()).toBe('2001:db8::2')
    expect(host.hop('2001:db8:9::1')).toBe(ROUTER2.toString())
    host.pass(30 * SECOND)
    expect(host.hop('2001:db8:9::1')).toBeNull()
    host.inject(advert([], 1800))
    expect(host.hop('2001:db8:9::1')).toBe(ROUTER.toString())
    host.inject(advert([], 0))
    expect(host.hop('2001:db8:9::1')).toBeNull()
    expect(host.hop('2001:db8:2::1')).toBe('2001:db8:2::1')
    host.inject(advert(prefixOption({ prefix: '2001:db8:2::', valid: 0, preferred: 0 }), 0))
    expect(host.hop('2001:db8:2::1')).toBeNull()
  })

  it('goes to the next router when one does not answer (RFC 4861 6.3.6)', () => {
    const host = new Host()
    host.inject(advert([...MAC_OPTION, ...prefixOption()]))
    host.inject(advert([], 1800, { source: ROUTER2 }))
    const { link } = host.stack
    expect(host.hop('2001:db8:9::1')).toBe(ROUTER.toString())
    link.resolve(ADDRESS, of('2001:db8:9::1'), host.clock.now())
    host.pass(15 * SECOND)
    expect(host.hop('2001:db8:9::1')).toBe(ROUTER2.toString())
  })

  it('tests its addresses, and takes another where one is in use (RFC 7217 section 6)', () => {
    const host = new Host({ dad: true, secret: SECRET })
    const mac = host.link.b.info.mac
    host.pass(3 * SECOND)
    host.inject(advert(prefixOption()))
    const [first, second] = [0, 1].map((tries) => stableAddress(of('2001:db8:1::'), mac, tries, SECRET))
    expect(host.configured()).not.toContain(first!.toString())
    const spec = { protocol: 58, hopLimit: 255, source: first!, destination: ALL }
    const taken = icmp(6, 136, 0, 0x20 << 24, [...first!.bytes(), 2, 1, 2, 0, 0, 0, 0, 9], spec)
    host.inject(ether(0x86dd, ip6(taken, spec), { destination: [0x33, 0x33, 0, 0, 0, 1] }))
    host.pass(3 * SECOND)
    expect(host.configured()).toContain(second!.toString())
    expect(host.configured()).not.toContain(first!.toString())
  })

  it('makes addresses that are stable, differ by prefix and interface, and say nothing (RFC 7217)', () => {
    const [a, b] = [of('2001:db8:1::'), of('2001:db8:2::')]
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 2)
    const one = stableAddress(a, mac, 0, SECRET)
    expect(one.equals(stableAddress(a, mac, 0, SECRET))).toBe(true)
    const others = [
      stableAddress(b, mac, 0, SECRET),
      stableAddress(a, mac.with(5, 3), 0, SECRET),
      stableAddress(a, mac, 1, SECRET),
      stableAddress(a, mac, 0, SECRET.with(0, 1)),
      stableAddress(a, mac, 0, SECRET.with(15, 1)),
    ]
    for (const other of others) expect([other.w2, other.w3]).not.toEqual([one.w2, one.w3])
    expect(one.within(a, 64)).toBe(true)
    expect(eui64Address(a, mac).equals(ADDRESS)).toBe(true)
  })

  it('holds no more than so many routers, prefixes and addresses, whatever is said', () => {
    const host = new Host()
    for (let i = 0; i < 100; i++) {
      const prefix = `2001:db8:${(i + 16).toString(16)}::`
      host.inject(advert(prefixOption({ prefix }), 1800, { source: of(`fe80::${i + 16}`) }))
    }
    expect(host.configured().length).toBe(1 + 8)
    expect(host.stack.link.routes.all.length).toBe(16 + 1)
  })

  it('reads any bytes, or says that they are malformed', () => {
    assert(
      property(uint8Array({ minLength: 8, maxLength: 160 }), (bytes) => {
        const read = readRouterAdvert(bytes, 0, bytes.length)
        for (const { prefix, prefixLength } of read?.prefixes ?? []) {
          expect(prefixLength).toBeLessThanOrEqual(128)
          expect(prefix.multicast || prefix.linkLocal).toBe(false)
        }
      }),
      { numRuns: 2000, seed: 7 },
    )
  })

  it('sends what tshark takes for it', () => {
    const host = new Host({ dad: true, secret: SECRET })
    host.pass(4 * SECOND)
    const directory = captureDirectory()
    try {
      const file = new PcapFile(`${directory.path}/slaac.pcap`)
      for (const frame of host.others) file.add(frame, 0)
      file.close()
      expect(faults(file.path)).toEqual([])
      const seen = tshark(file.path, '-T', 'fields', '-e', '_ws.col.Info')
      expect(seen).toContain('Router Solicitation from 02:00:00:00:00:02')
    } finally {
      directory.remove()
    }
  })

  it('is off unless it was asked for', () => {
    const peer = new RawPeer()
    peer.inject(advert(prefixOption()))
    expect(dropsByCause(peer.stack.counters)).toEqual({ routing: 1 })
  })
})
