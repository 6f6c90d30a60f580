import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import type { Steering } from '../../../driver/nic.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import type { AddressEvent } from '../../../stack/ip/link.ts'
import { ESTABLISHED, SYN_SENT } from '../../../stack/tcp/state.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import {
  ether,
  fragment6,
  framed,
  type IpSpec,
  icmp,
  ip4,
  ip6,
  PEER_MAC,
  tcpSegment,
} from '../../support/ip-frames.ts'
import { runs } from '../../support/long.ts'
import { Spread } from '../../support/spread.ts'
import { CLIENT, drain, SERVER } from '../../support/stack-pair.ts'

type Version = 4 | 6
const SECOND = 1_000_000
const PORT = 9000
const ROUTER = IpAddress.parse('fe80::1')!
const ALL = IpAddress.parse('ff02::1')!
const NOBODY = IpAddress.any4
const be32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
]

/** A connection from the stack of a queue, whatever the hash says: all TCP comes there. */
function connected(spread: Spread, queue: number): Tcb {
  const { stacks, peer, address, peerAddress, clock } = spread
  peer.tcp.listen(peerAddress, PORT, 16)
  const before = spread.route
  spread.route = (frame) => before(frame) ?? (isTcp(frame) ? queue : null)
  const tcb = stacks[queue]!.tcp.connect(address, 0, peerAddress, PORT, clock.now())!
  expect(spread.runUntil(() => tcb.state === ESTABLISHED)).toBe(true)
  return tcb
}

function isTcp(frame: Uint8Array): boolean {
  return frame[12] === 8 ? frame[13] === 0 && frame[23] === 6 : frame[20] === 6
}

function arp(operation: number, mac: number[], sender: IpAddress, target: IpAddress): Uint8Array {
  const packet = [0, 1, 8, 0, 6, 4, 0, operation, ...mac, ...sender.bytes()]
  return ether(0x806, [...packet, 0, 0, 0, 0, 0, 0, ...target.bytes()], { destination: Array(6).fill(255) })
}

/** An ICMP error about a segment of a connection's. */
function error(version: Version, type: number, code: number, word: number, tcb: Tcb): Uint8Array {
  const { localPort, remotePort, local, remote, snd } = tcb
  const quoted = { source: local, destination: remote }
  const segment = tcpSegment(
    version,
    { sourcePort: localPort, destinationPort: remotePort, seq: snd.una },
    quoted,
  )
  const packet = version === 4 ? ip4(segment, quoted) : ip6(segment, quoted)
  return framed(version, icmp(version, type, code, word, packet), { protocol: version === 4 ? 1 : 58 })
}

describe.each<[Version]>([[4], [6]])('what one queue learns all learn: IPv%i', (version) => {
  it('an answer to who has an address', () => {
    const spread = new Spread({ queues: 3, version })
    // All that is no TCP comes to queue 2.
    spread.route = (frame) => (isTcp(frame) ? null : 2)
    const tcb = connected(spread, 0)
    expect(spread.stacks[0]!.link.neighbours.lookup(spread.peerAddress)).not.toBeNull()
    const [first, , third] = spread.stacks
    expect(third!.counters.siblingTold).toBeGreaterThan(0)
    expect(first!.counters.siblingHeard).toBe(third!.counters.siblingTold)
    expect([first!.counters.siblingTold, third!.counters.siblingHeard]).toEqual([0, 0])
    first!.tcp.send(tcb, new Uint8Array(1000), 0, spread.clock.now())
    expect(spread.runUntil(() => tcb.snd.una === tcb.snd.max && tcb.snd.buffered === 0)).toBe(true)
  })

  it('who asks for us, and is answered once', () => {
    const spread = new Spread({ queues: 3, version })
    const from = spread.peer.tcp.connect(spread.peerAddress, 0, spread.address, PORT, spread.clock.now())!
    spread.settle()
    expect(from.remoteMacHigh).toBe(0x0200)
    for (const { link } of spread.stacks) {
      expect(link.neighbours.lookup(spread.peerAddress)).not.toBeNull()
    }
    const { stacks } = spread
    const sent = (name: 'arpRepliesSent' | 'neighbourAdvertsSent'): number =>
      stacks.reduce((sum, { counters }) => sum + counters[name], 0)
    expect([sent('arpRepliesSent'), sent('neighbourAdvertsSent')]).toEqual(version === 4 ? [1, 0] : [0, 1])
  })

  it('that a path takes smaller packets', () => {
    const spread = new Spread({ queues: 2, version })
    spread.route = (frame) => (isTcp(frame) ? null : 0)
    const tcb = connected(spread, 1)
    const [first, second] = spread.stacks
    spread.peerLink.bToA.impairments = { loss: 1 }
    second!.tcp.send(tcb, new Uint8Array(3000), 0, spread.clock.now())
    const mss = tcb.snd.mss
    const told = first!.counters.siblingTold
    spread.inject(version === 4 ? error(4, 3, 4, 1300, tcb) : error(6, 2, 0, 1300, tcb))
    spread.settle()
    expect(tcb.snd.mss).toBe(mss - 200)
    expect(second!.link.mtuTo(spread.peerAddress, spread.clock.now())).toBe(1300)
    expect(first!.link.mtuTo(spread.peerAddress, spread.clock.now())).toBe(1500)
    expect([first!.counters.siblingTold - told, second!.counters.icmpErrorsTaken]).toEqual([1, 1])
    expect([dropsByCause(first!.counters), dropsByCause(second!.counters)]).toEqual([{}, {}])
    // About a number that was never sent (RFC 5927) it is not believed, whoever tells.
    const forged = { ...tcb, snd: { una: (tcb.snd.max + 5) | 0 } } as Tcb
    spread.inject(version === 4 ? error(4, 3, 4, 1000, forged) : error(6, 2, 0, 1280, forged))
    spread.settle()
    expect([tcb.snd.mss, first!.counters.siblingTold - told]).toEqual([mss - 200, 2])
  })

  it('that nobody is reached: the attempt ends', () => {
    const spread = new Spread({ queues: 2, version })
    const [, second] = spread.stacks
    const { address, peerAddress, clock } = spread
    connected(spread, 1)
    spread.route = () => 0
    spread.peerLink.bToA.impairments = { loss: 1 }
    const tcb = second!.tcp.connect(address, 0, peerAddress, 80, clock.now())!
    spread.settle()
    expect(tcb.state).toBe(SYN_SENT)
    spread.inject(version === 4 ? error(4, 3, 1, 0, tcb) : error(6, 1, 3, 0, tcb))
    spread.settle()
    expect(tcb.error).toBe(113)
    expect(second!.tcp.ready).toContain(tcb)
    expect(spread.ports[1]!.count).toBe(1)
  })

  it('an error about nothing of anybody is told, believed by none, and answered by none', () => {
    const spread = new Spread({ queues: 3, version })
    const tcb = connected(spread, 1)
    const frames = (): number => spread.stacks.reduce((sum, { counters }) => sum + counters.txFrames, 0)
    const before = frames()
    const stray = { ...tcb, localPort: tcb.localPort ^ 1 } as Tcb
    spread.inject(version === 4 ? error(4, 3, 4, 600, stray) : error(6, 2, 0, 1280, stray))
    spread.settle()
    expect(frames()).toBe(before)
    for (const { counters } of spread.stacks) expect(counters.icmpErrorsTaken).toBe(0)
  })

  it('a fragmented segment of a connection elsewhere is not answered with a reset', () => {
    const spread = new Spread({ queues: 2, version })
    for (const stack of spread.stacks) stack.tcp.listen(spread.address, PORT, 4)
    const segment = tcpSegment(version, { flags: 0x10, payload: new Uint8Array(40) })
    spread.route = () => 1
    if (version === 4) {
      spread.inject(ether(0x800, ip4(segment.subarray(0, 32), { fragment: 0x2000, identification: 7 })))
      spread.inject(ether(0x800, ip4(segment.subarray(32), { fragment: 4, identification: 7 })))
    } else {
      spread.inject(ether(0x86dd, ip6(segment.subarray(0, 32), {}, [fragment6(0, true, 7)])))
      spread.inject(ether(0x86dd, ip6(segment.subarray(32), {}, [fragment6(32, false, 7)])))
    }
    spread.settle()
    expect([dropsByCause(spread.stacks[1]!.counters), spread.resets]).toEqual([{ otherQueue: 1 }, 0])
    expect(spread.stacks[1]!.census().lost).toBe(0)
  })
})

describe('neighbours and addresses over several queues', () => {
  it('a neighbour that moves, moves for all', () => {
    const spread = new Spread({ queues: 2 })
    const tcb = connected(spread, 0)
    spread.route = (frame) => (isTcp(frame) ? 0 : 1)
    spread.inject(arp(1, [2, 0, 0, 0, 0, 9], spread.peerAddress, spread.peerAddress))
    spread.settle()
    expect([tcb.remoteMacHigh, tcb.remoteMacLow]).toEqual([0x0200, 9])
  })

  it('what others ask each other is not told, unless it is news', () => {
    const spread = new Spread({ queues: 2 })
    spread.route = () => 0
    spread.inject(arp(1, PEER_MAC, IpAddress.parse('192.0.2.7')!, IpAddress.parse('192.0.2.8')!))
    spread.settle()
    expect(spread.stacks[0]!.counters.siblingTold).toBe(0)
  })

  it('a flood is told within a limit', () => {
    const spread = new Spread({ queues: 2 })
    spread.route = () => 0
    for (let i = 0; i < 800; i++) spread.inject(arp(2, PEER_MAC, spread.peerAddress, SERVER))
    spread.settle()
    const { siblingTold, siblingUntold } = spread.stacks[0]!.counters
    expect([siblingTold, siblingUntold, spread.stacks[1]!.counters.siblingHeard]).toEqual([500, 300, 500])
    // Which strangers' errors have no part in.
    const stray = framed(
      4,
      icmp(4, 3, 1, 0, ip4(tcpSegment(4, {}), { source: SERVER, destination: CLIENT })),
      {
        protocol: 1,
      },
    )
    for (let i = 0; i < 800; i++) spread.inject(stray)
    spread.settle()
    const { dropIcmp } = spread.stacks[0]!.counters
    expect([spread.stacks[0]!.counters.siblingTold, dropIcmp]).toEqual([1000, 300])
  })

  it('only the first tests an IPv4 address; a conflict that comes to another queue ends its test', () => {
    const spread = new Spread({ queues: 2, bare: true, firstIp: { dad: true } })
    const events: string[] = []
    const [first] = spread.stacks
    first!.onAddress = ({ address, what }: AddressEvent) => events.push(`${address} ${what}`)
    first!.addAddress(SERVER, true)
    spread.pass(1.5 * SECOND)
    spread.route = () => 1
    spread.inject(arp(1, PEER_MAC, NOBODY, SERVER))
    spread.settle()
    expect(events).toEqual([`${SERVER} taken`])
  })

  it('and claims it on every queue while it tests; then, and without a test, each on its own', () => {
    for (const version of [4, 6] as const) {
      const spread = new Spread({ queues: 2, bare: true, version, firstIp: { dad: true } })
      const [first, second] = spread.stacks
      const claims = spread.stacks.map(({ nic }) => {
        const log: [string, boolean][] = []
        const steering: Steering = {
          steer: () => {},
          unsteer: () => {},
          claim: (_address, everyQueue = false) => log.push(['claim', everyQueue]),
          unclaim: (_address, everyQueue = false) => log.push(['unclaim', everyQueue]),
        }
        Object.assign(nic, { roles: { ...nic.roles, steering } })
        return log
      })
      const address = spread.address
      first!.addAddress(address, true)
      expect(claims[0]!.splice(0)).toEqual([['claim', true]])
      spread.pass(20 * SECOND)
      expect(first!.link.isLocal(address)).toBe(true)
      // The one before the other: in between, too, all comes here.
      expect(claims[0]!.splice(0)).toEqual([
        ['claim', false],
        ['unclaim', true],
      ])
      second!.addAddress(address, true)
      for (const stack of spread.stacks) stack.removeAddress(address)
      expect(claims.splice(0)).toEqual([
        [['unclaim', false]],
        [
          ['claim', false],
          ['unclaim', false],
        ],
      ])
    }
  })

  it('and claims it no longer when it is taken away, or is somebody else’s, before it was tested', () => {
    for (const taken of [false, true]) {
      const spread = new Spread({ queues: 2, bare: true, firstIp: { dad: true } })
      const [first] = spread.stacks
      let held = 0
      const count = (by: number) => (_address: Uint8Array, everyQueue?: boolean) => {
        expect(everyQueue).toBe(true)
        held += by
      }
      const steering: Steering = { steer: () => {}, unsteer: () => {}, claim: count(1), unclaim: count(-1) }
      Object.assign(first!.nic, { roles: { ...first!.nic.roles, steering } })
      first!.addAddress(SERVER, true)
      spread.pass(1.5 * SECOND)
      expect(held).toBe(1)
      if (taken) spread.inject(arp(1, PEER_MAC, NOBODY, SERVER))
      else first!.removeAddress(SERVER)
      spread.settle()
      expect(held).toBe(0)
      first!.removeAddress(SERVER)
      expect(held).toBe(0)
    }
  })

  it('and defends it, told by another queue, but not for ever', () => {
    const spread = new Spread({ queues: 2, bare: true, firstIp: { dad: true } })
    const events: string[] = []
    const [first, second] = spread.stacks
    // What drives the stacks does this.
    first!.onAddress = ({ address, what }: AddressEvent) => {
      events.push(what)
      if (what === 'usable') second!.addAddress(address, true)
      else second!.removeAddress(address)
    }
    first!.addAddress(SERVER, true)
    spread.pass(20 * SECOND)
    spread.route = () => 1
    const before = spread.others.length
    spread.inject(arp(1, PEER_MAC, SERVER, SERVER))
    spread.settle()
    expect([events, spread.others.length - before]).toEqual([['usable'], 1])
    spread.inject(arp(1, PEER_MAC, SERVER, SERVER))
    spread.settle()
    expect([events, second!.link.addresses.length]).toEqual([['usable', 'lost'], 0])
  })

  it('an IPv6 address that somebody else tests or has is found out, whichever queue hears of it', () => {
    for (const type of [135, 136]) {
      const spread = new Spread({ queues: 2, bare: true, version: 6, firstIp: { dad: true } })
      const events: string[] = []
      const [first] = spread.stacks
      first!.onAddress = ({ what }: AddressEvent) => events.push(what)
      first!.addAddress(spread.address, true)
      spread.pass(10_000)
      spread.route = () => 1
      const destination = type === 135 ? IpAddress.parse('ff02::1:ff00:2')! : ALL
      const source = type === 135 ? IpAddress.any6 : spread.address
      const spec: IpSpec = { protocol: 58, hopLimit: 255, source, destination }
      const message = icmp(6, type, 0, 0x20 << 24, spread.address.bytes(), spec)
      const group = [0x33, 0x33, ...destination.bytes().slice(12)]
      spread.inject(ether(0x86dd, ip6(message, spec), { destination: group }))
      spread.settle()
      expect(events).toEqual(['taken'])
    }
  })

  it('routes from router advertisements, addresses from the first queue alone', () => {
    const spread = new Spread({ queues: 3, bare: true, version: 6 })
    const [first, ...others] = spread.stacks
    first!.onAddress = ({ address, what }: AddressEvent) => {
      for (const stack of others) {
        if (what === 'usable') stack.addAddress(address, true)
        else stack.removeAddress(address)
      }
    }
    first!.autoconfigure(null)
    for (const stack of others) stack.followRouters()
    spread.pass(10_000)
    const spec: IpSpec = { protocol: 58, hopLimit: 255, source: ROUTER, destination: ALL }
    const prefix = IpAddress.parse('2001:db8:1::')!
    const advert = (preferred: number): Uint8Array => {
      const options = [3, 4, 64, 0xc0, ...be32(7200), ...be32(preferred), 0, 0, 0, 0, ...prefix.bytes()]
      const body = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, ...PEER_MAC, ...options]
      const message = icmp(6, 134, 0, (64 << 24) | 600, body, spec)
      return ether(0x86dd, ip6(message, spec), { destination: [0x33, 0x33, 0, 0, 0, 1] })
    }
    const far = IpAddress.parse('2001:db8:9::9')!
    for (const queue of [1, 0, 2]) {
      spread.route = () => queue
      spread.inject(advert(3600))
      spread.settle()
    }
    for (const { link } of spread.stacks) {
      expect(link.addresses.map(({ address }) => address.toString())).toEqual([
        'fe80::ff:fe00:2',
        '2001:db8:1::ff:fe00:2',
      ])
      expect(link.nextHop(far)?.toString()).toBe('fe80::1')
      expect(link.nextHop(IpAddress.parse('2001:db8:1::7')!)?.toString()).toBe('2001:db8:1::7')
      expect(link.neighbours.lookup(ROUTER)).not.toBeNull()
    }
    // Who is asked for, and answers, comes to any queue; the addresses' ends come to all.
    spread.inject(advert(0))
    spread.settle()
    for (const { link } of spread.stacks) expect(link.addresses[1]!.deprecated).toBe(true)
    spread.pass(601 * SECOND)
    for (const { link } of spread.stacks) expect(link.nextHop(far)).toBeNull()
    spread.pass(7200 * SECOND)
    for (const { link } of spread.stacks) expect(link.addresses.length).toBe(1)
    for (const { counters } of others) {
      expect([counters.routerSolicitsSent, counters.neighbourSolicitsSent]).toEqual([0, 0])
    }
  })
})

describe('what a stack hears', () => {
  const version4 = ip4(tcpSegment(4, { flags: 2 }))
  const seeds: Uint8Array[] = [
    arp(1, PEER_MAC, IpAddress.parse('192.0.2.1')!, SERVER),
    arp(2, PEER_MAC, IpAddress.parse('192.0.2.1')!, SERVER),
    ether(0x800, version4),
    ether(0x86dd, ip6(tcpSegment(6, { flags: 2 }))),
    ether(0x800, ip4(icmp(4, 8, 0, 1, new Uint8Array(40)), { protocol: 1 })),
    ether(0x86dd, ip6(icmp(6, 128, 0, 1, new Uint8Array(40)), { protocol: 58 })),
    ether(0x800, ip4(icmp(4, 3, 4, 1000, version4), { protocol: 1 })),
    ether(0x86dd, ip6(icmp(6, 2, 0, 1300, ip6(tcpSegment(6, {}))), { protocol: 58 })),
    ether(0x86dd, ip6(icmp(6, 135, 0, 0, new Uint8Array(28)), { protocol: 58, hopLimit: 255 })),
    ether(0x800, ip4(new Uint8Array(64), { protocol: 99 })),
    ether(0x800, ip4(new Uint8Array(64), { fragment: 0x2000 })),
    ether(0x86dd, ip6(new Uint8Array(64), {}, [[0, [0, 0, 0xc1, 4, 0, 0, 0, 0]], fragment6(8, true, 3)])),
  ]

  it('is not answered and not told on, whatever it is', () => {
    const spread = new Spread({ queues: 2 })
    const [stack] = spread.stacks
    stack!.tcp.listen(null, 9000, 4)
    spread.stacks[0]!.addAddress(IpAddress.parse('2001:db8::2')!, true)
    for (const seed of seeds) stack!.hear(seed)
    for (let i = 0; i < 5; i++) stack!.hear(new Uint8Array(i * 7))
    spread.pass(61 * SECOND)
    const { siblingHeard, siblingTold, txFrames } = stack!.counters
    // The one who asks for us is known now, and was not asked for.
    expect([siblingHeard, siblingTold, txFrames]).toEqual([seeds.length + 5, 0, 0])
    expect(stack!.link.neighbours.lookup(IpAddress.parse('192.0.2.1')!)).not.toBeNull()
    expect([stack!.tcp.connections, stack!.reassembling, stack!.census().lost]).toEqual([0, 0, 0])
  })

  it('never throws, is never answered, and leaves what is received alone', () => {
    const anything = fc.uint8Array({ maxLength: 1600 })
    const damaged = fc
      .tuple(
        fc.nat(seeds.length - 1),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
        fc.nat(160),
      )
      .map(([seed, changes, length]) => {
        const frame = seeds[seed]!.slice(0, length === 0 ? undefined : length)
        for (const [at, value] of changes) if (at < frame.length) frame[at] = value
        return frame
      })
    fc.assert(
      fc.property(fc.array(fc.oneof(anything, damaged), { maxLength: 20 }), (frames) => {
        const spread = new Spread({ queues: 2 })
        const [stack] = spread.stacks
        stack!.tcp.listen(SERVER, 9000, 4)
        for (const frame of frames) stack!.hear(frame)
        spread.pass(61 * SECOND)
        expect([stack!.counters.txFrames, spread.told.length, stack!.counters.siblingTold]).toEqual([0, 0, 0])
        expect([stack!.tcp.connections, stack!.reassembling, stack!.census().lost]).toEqual([0, 0, 0])
      }),
      { numRuns: runs(500) },
    )
  })

  it('between two bursts does not disturb a transfer', () => {
    const spread = new Spread({ queues: 2 })
    const tcb = connected(spread, 0)
    const [stack] = spread.stacks
    const server = [...spread.peer.tcp][0]!
    const bytes = Uint8Array.from({ length: 40_000 }, (_, i) => i * 7)
    let sent = 0
    const parts: Uint8Array[] = []
    const got = (): number => parts.reduce((sum, part) => sum + part.length, 0)
    spread.runUntil(() => {
      sent += spread.peer.tcp.send(server, bytes, sent, spread.clock.now())
      for (const seed of seeds) stack!.hear(seed)
      parts.push(drain(stack!, tcb))
      stack!.kick()
      return got() === bytes.length
    })
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    expect(stack!.census().lost).toBe(0)
  })
})
