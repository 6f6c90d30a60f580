import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import { DELAY, PROBE, REACHABLE, STALE } from '../../../stack/ip/neighbours.ts'
import { CLOSED, EHOSTUNREACH, ESTABLISHED, SYN_SENT } from '../../../stack/tcp/state.ts'
import { checksumOk, ether, type IpSpec, icmp, ip6, type Parsed, parse } from '../../support/ip-frames.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { CLIENT6, SERVER6, StackPair } from '../../support/stack-pair.ts'

const GROUP = IpAddress.parse('ff02::1:ff00:2')!
const ALL = IpAddress.parse('ff02::1')!
const ANY = IpAddress.any6
const GROUP_MAC = [0x33, 0x33, 0xff, 0, 0, 2]
const SOURCE_LINK = [1, 1, 2, 0, 0, 0, 0, 1]
const targetLink = (last: number): number[] => [2, 1, 2, 0, 0, 0, 0, last]

function ndp(
  type: number,
  flags: number,
  target: IpAddress,
  options: number[],
  spec: IpSpec = {},
): Uint8Array {
  const all = { protocol: 58, hopLimit: 255, ...spec }
  const message = icmp(6, type, 0, flags << 24, [...target.bytes(), ...options], all)
  const destination =
    all.destination?.multicast === true ? [0x33, 0x33, ...all.destination.bytes().slice(12)] : undefined
  return ether(0x86dd, ip6(message, all), destination === undefined ? {} : { destination })
}

const solicit = (spec: IpSpec = {}, options = SOURCE_LINK, target = SERVER6): Uint8Array =>
  ndp(135, 0, target, options, { destination: GROUP, ...spec })

function sent(peer: RawPeer): Parsed[] {
  const packets = peer.others.splice(0).map(parse)
  for (const packet of packets) expect([checksumOk(packet), packet.hopLimit]).toEqual([true, 255])
  return packets
}

describe('neighbour discovery (RFC 4861)', () => {
  it('answers who asks for an address of our own, solicited and overriding', () => {
    const peer = new RawPeer()
    peer.inject(solicit())
    const [answer] = sent(peer)
    expect([answer!.mac, answer!.source, answer!.destination]).toEqual([
      '02:00:00:00:00:01',
      SERVER6.toString(),
      CLIENT6.toString(),
    ])
    expect([...answer!.payload.subarray(4)]).toEqual([0x60, 0, 0, 0, ...SERVER6.bytes(), ...targetLink(2)])
    // The asker is known now, but not that it hears us.
    expect(peer.stack.link.neighbours.lookup(CLIENT6)!.state).toBe(STALE)
    peer.inject(solicit({ destination: SERVER6 }, []))
    expect(sent(peer).length).toBe(1)
  })

  it('tells everybody when somebody wants one of our addresses for itself (RFC 4862 5.4)', () => {
    const peer = new RawPeer()
    peer.inject(solicit({ source: ANY }, []))
    const [answer] = sent(peer)
    expect([answer!.mac, answer!.destination, answer!.payload[4]]).toEqual([
      '33:33:00:00:00:01',
      'ff02::1',
      0x20,
    ])
    peer.inject(solicit({ source: ANY }))
    expect(sent(peer)).toEqual([])
    expect(dropsByCause(peer.stack.counters)).toEqual({ ndp: 1 })
  })

  it.each<[string, Uint8Array, Record<string, number>]>([
    ['a router has forwarded it', solicit({ hopLimit: 254 }), { ndp: 1 }],
    [
      'its code is not 0',
      ether(0x86dd, ip6(icmp(6, 135, 1, 0, SERVER6.bytes()), { protocol: 58, hopLimit: 255 })),
      { ndp: 1 },
    ],
    [
      'it is short',
      ether(0x86dd, ip6(icmp(6, 135, 0, 0, [1, 2, 3, 4]), { protocol: 58, hopLimit: 255 })),
      { ndp: 1 },
    ],
    ['an option has length 0', solicit({}, [1, 0, 2, 0, 0, 0, 0, 1]), { ndp: 1 }],
    ['an option is cut', solicit({}, [1, 2, 2, 0, 0, 0, 0, 1]), { ndp: 1 }],
    ['the hardware address is a group', solicit({}, [1, 1, 3, 0, 0, 0, 0, 1]), { ndp: 1 }],
    ['the target is a group', solicit({}, SOURCE_LINK, ALL), { ndp: 1 }],
    ['it says it comes from us', solicit({ source: SERVER6 }), { ndp: 1 }],
    [
      'the target is of somebody else',
      solicit({ destination: SERVER6 }, SOURCE_LINK, CLIENT6),
      { notForUs: 1 },
    ],
    [
      'it asks a group that is not ours',
      solicit({ destination: IpAddress.parse('ff02::1:ff00:3')! }),
      { notForUs: 1 },
    ],
    ['an advertisement claims our address', ndp(136, 0x20, SERVER6, targetLink(9)), { ndp: 1 }],
    [
      'a solicited one comes to a group',
      ndp(136, 0x60, CLIENT6, targetLink(9), { destination: ALL }),
      { ndp: 1 },
    ],
  ])('drops a message when %s', (_what, frame, counted) => {
    const peer = new RawPeer()
    peer.inject(frame)
    expect([sent(peer), dropsByCause(peer.stack.counters)]).toEqual([[], counted])
    expect(peer.stack.link.neighbours.lookup(CLIENT6)).toBeNull()
  })

  it('an address of the host is not answered for', () => {
    const peer = new RawPeer({ own: false })
    peer.inject(solicit())
    peer.inject(solicit({ destination: SERVER6 }))
    expect(sent(peer)).toEqual([])
  })

  it('asks three times for a neighbour that is silent, then the attempt to connect ends', () => {
    const peer = new RawPeer()
    const tcb = peer.stack.tcp.connect(SERVER6, 0, CLIENT6, 80, peer.clock.now())!
    peer.stack.kick()
    peer.pass(2_999_000)
    expect(tcb.state).toBe(SYN_SENT)
    const asked = sent(peer)
    expect(asked.map(({ mac, destination }) => [mac, destination])).toEqual(
      Array.from({ length: 3 }, () => ['33:33:ff:00:00:01', 'ff02::1:ff00:1']),
    )
    expect([...asked[0]!.payload.subarray(8)]).toEqual([...CLIENT6.bytes(), 1, 1, 2, 0, 0, 0, 0, 2])
    peer.pass(10_000)
    expect([tcb.state, tcb.error]).toEqual([CLOSED, EHOSTUNREACH])
    expect(peer.stack.counters.neighbourFailed).toBe(1)
  })

  it('the answer lets the SYN go', () => {
    const peer = new RawPeer()
    peer.stack.tcp.connect(SERVER6, 0, CLIENT6, 80, peer.clock.now())
    peer.inject(ndp(136, 0x60, CLIENT6, targetLink(1), { source: CLIENT6 }))
    const syn = peer.others.map(parse).find(({ protocol }) => protocol === 6)!
    expect([syn.mac, syn.hopLimit, checksumOk(syn)]).toEqual(['02:00:00:00:00:01', 64, true])
    expect(peer.stack.link.neighbours.lookup(CLIENT6)!.state).toBe(REACHABLE)
  })

  it('keeps the states of 7.3.2: stale when old, delayed when used, probed when nothing comes, gone', () => {
    const peer = new RawPeer()
    const { neighbours } = peer.stack.link
    const use = (): number => peer.stack.link.resolve(SERVER6, CLIENT6, peer.clock.now())!.state
    peer.stack.link.resolve(SERVER6, CLIENT6, peer.clock.now())
    peer.inject(ndp(136, 0x60, CLIENT6, targetLink(1)))
    peer.pass(29_000_000)
    expect(use()).toBe(REACHABLE)
    peer.pass(2_000_000)
    expect(use()).toBe(DELAY)
    peer.stack.link.confirm(CLIENT6, peer.clock.now())
    expect(use()).toBe(REACHABLE)
    peer.pass(31_000_000)
    expect(use()).toBe(DELAY)
    sent(peer)
    peer.pass(4_900_000)
    expect(sent(peer)).toEqual([])
    peer.pass(200_000)
    expect(use()).toBe(PROBE)
    const [probe] = sent(peer)
    expect([probe!.mac, probe!.destination]).toEqual(['02:00:00:00:00:01', CLIENT6.toString()])
    peer.pass(3_000_000)
    expect(sent(peer).length).toBe(2)
    expect(neighbours.lookup(CLIENT6)).toBeNull()
  })

  it('an unsolicited advertisement moves a neighbour only with the override flag', () => {
    const peer = new RawPeer()
    const { link } = peer.stack
    link.resolve(SERVER6, CLIENT6, peer.clock.now())
    peer.inject(ndp(136, 0x60, CLIENT6, targetLink(1)))
    const entry = link.neighbours.lookup(CLIENT6)!
    peer.inject(ndp(136, 0, CLIENT6, targetLink(7), { destination: ALL }))
    expect([entry.macLow, entry.state]).toEqual([1, STALE])
    peer.inject(ndp(136, 0x20, CLIENT6, targetLink(7), { destination: ALL }))
    expect([entry.macLow, entry.state]).toEqual([7, STALE])
    // One that nobody asked about makes no entry.
    peer.inject(ndp(136, 0x20, IpAddress.parse('2001:db8::77')!, targetLink(7), { destination: ALL }))
    expect(link.neighbours.lookup(IpAddress.parse('2001:db8::77')!)).toBeNull()
  })

  it('a connection confirms its neighbour, and notices when it moves', () => {
    const pair = new StackPair({ version: 6 })
    const [client] = pair.open()
    expect(pair.client.link.neighbours.lookup(pair.serverAddress)!.state).toBe(REACHABLE)
    pair.link.b.inject(
      ether(
        0x86dd,
        ip6(
          icmp(6, 136, 0, 0x20 << 24, [...SERVER6.bytes(), ...targetLink(9)], {
            source: SERVER6,
            destination: CLIENT6,
          }),
          {
            protocol: 58,
            hopLimit: 255,
            source: SERVER6,
            destination: CLIENT6,
          },
        ),
        { destination: [2, 0, 0, 0, 0, 1] },
      ),
    )
    pair.settle()
    expect([client.state, client.remoteMacLow]).toEqual([ESTABLISHED, 9])
  })
})

describe('frames to groups', () => {
  it('reach IPv6 only at groups of ours', () => {
    const peer = new RawPeer()
    const echo = icmp(6, 128, 0, 0, [])
    peer.inject(ether(0x86dd, ip6(echo, { protocol: 58 }), { destination: [0x33, 0x33, 0, 0, 0, 0xfb] }))
    peer.inject(ether(0x86dd, ip6(echo, { protocol: 58 }), { destination: [1, 0, 0x5e, 0, 0, 1] }))
    peer.inject(
      ether(0x86dd, ip6(echo, { protocol: 58, destination: ALL }), { destination: [0x33, 0x33, 0, 0, 0, 1] }),
    )
    peer.inject(ether(0x86dd, ip6(echo, { protocol: 58, destination: GROUP }), { destination: GROUP_MAC }))
    expect(sent(peer)).toEqual([])
    expect(dropsByCause(peer.stack.counters)).toEqual({ notForUs: 2, icmpChecksum: 2 })
  })
})
