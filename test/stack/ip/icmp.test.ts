import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED } from '../../../stack/ip/neighbours.ts'
import { CLOSED, ESTABLISHED, SYN_SENT } from '../../../stack/tcp/state.ts'
import { checksumOk, ether, framed, icmp, ip4, ip6, parse, tcpSegment } from '../../support/ip-frames.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, CLIENT6, SERVER, SERVER6, StackPair } from '../../support/stack-pair.ts'

type Version = 4 | 6
const ROUTER = IpAddress.parse('192.0.2.254')!
const ROUTER6 = IpAddress.parse('2001:db8::fe')!
const protocolOf = (version: Version): number => (version === 4 ? 1 : 58)

function echo(version: Version, bytes: number): Uint8Array {
  const message = icmp(version, version === 4 ? 8 : 128, 0, 0x0a0b0001, ascending(bytes))
  return framed(version, message, { protocol: protocolOf(version) })
}

describe.each<[Version]>([[4], [6]])('ICMP for IPv%i', (version) => {
  it.each([0, 1, 56, 1400])('answers an echo request of %i bytes', (bytes) => {
    const peer = new RawPeer()
    peer.inject(echo(version, bytes))
    const reply = parse(peer.others[0]!)
    expect(checksumOk(reply)).toBe(true)
    expect(reply.source).toBe((version === 4 ? SERVER : SERVER6).toString())
    expect([reply.protocol, reply.payload[0], reply.payload[1]]).toEqual([
      protocolOf(version),
      version === 4 ? 0 : 129,
      0,
    ])
    expect([...reply.payload.subarray(4)]).toEqual([10, 11, 0, 1, ...ascending(bytes)])
    expect(peer.stack.census().lost).toBe(0)
  })

  it('answers no more echo requests than the limit, in the long run too', () => {
    const peer = new RawPeer({ ip: { echoPerSecond: 10 } })
    for (let i = 0; i < 50; i++) peer.inject(echo(version, 8))
    expect(peer.others.length).toBe(10)
    peer.pass(500_000)
    for (let i = 0; i < 50; i++) peer.inject(echo(version, 8))
    expect(peer.others.length).toBe(15)
    expect(dropsByCause(peer.stack.counters)).toEqual({ icmpLimit: 85 })
  })

  it('drops a damaged or cut message, and does not answer at an address of the host', () => {
    const peer = new RawPeer()
    const damaged = echo(version, 20)
    damaged[damaged.length - 1]! ^= 1
    peer.inject(damaged)
    const short = new Uint8Array(7)
    peer.inject(framed(version, short, { protocol: protocolOf(version) }))
    expect(dropsByCause(peer.stack.counters)).toEqual({ icmpChecksum: 1, malformed: 1 })
    const shared = new RawPeer({ own: false })
    shared.inject(echo(version, 20))
    expect([peer.others.length, shared.others.length]).toEqual([0, 0])
  })

  it('says that nobody speaks a protocol, rate-limited, and never about an error', () => {
    const peer = new RawPeer({ ip: { icmpErrorsPerSecond: 5 } })
    const packet = framed(version, ascending(2000), { protocol: 200 })
    peer.inject(packet.slice(0, 60))
    expect(peer.others).toEqual([])
    const fits = framed(version, ascending(1300), { protocol: 200 })
    for (let i = 0; i < 20; i++) peer.inject(fits)
    expect(peer.others.length).toBe(5)
    const error = parse(peer.others[0]!)
    expect(checksumOk(error)).toBe(true)
    expect([...error.payload.subarray(0, 2)]).toEqual(version === 4 ? [3, 2] : [4, 1])
    // The packet in full, as far as 576 or 1280 bytes go.
    expect(error.payload.length).toBe(version === 4 ? 556 : 1240)
    expect([...error.payload.subarray(8)]).toEqual([...fits.subarray(14, 14 + error.payload.length - 8)])
    if (version === 6) expect(new DataView(error.payload.buffer).getUint32(4)).toBe(6)
  })

  it('never answers a group, the unspecified address or a broadcast frame with an error', () => {
    const peer = new RawPeer()
    const payload = ascending(40)
    const groups = version === 4 ? ['224.0.0.1', '0.0.0.0', '255.255.255.255'] : ['ff02::1', '::']
    for (const text of groups) {
      peer.inject(framed(version, payload, { protocol: 200, source: IpAddress.parse(text)! }))
    }
    const whole = framed(version, payload, { protocol: 200 })
    peer.inject(whole.with(0, 255))
    expect(peer.others).toEqual([])
  })

  /** An established connection of ours with data in flight, and the peer's router. */
  function flight(bytes = 4000): {
    pair: StackPair
    error: (type: number, code: number, word: number, change?: (quoted: Uint8Array) => void) => void
    client: ReturnType<StackPair['open']>[0]
  } {
    const pair = new StackPair({ version })
    const [client] = pair.open()
    pair.link.aToB.impairments = { loss: 1 }
    pair.client.tcp.send(client, new Uint8Array(bytes), 0, pair.clock.now())
    const error = (
      type: number,
      code: number,
      word: number,
      change: (quoted: Uint8Array) => void = () => {},
    ): void => {
      const tcp = tcpSegment(version, {
        sourcePort: client.localPort,
        destinationPort: 9000,
        seq: client.snd.una,
        payload: ascending(20),
      })
      const from = { source: pair.clientAddress, destination: pair.serverAddress }
      const quoted = version === 4 ? ip4(tcp, from) : ip6(tcp, from)
      if (version === 4) quoted.set([1500 >> 8, 1500 & 255], 2)
      change(quoted)
      const back = {
        source: version === 4 ? ROUTER : ROUTER6,
        destination: pair.clientAddress,
        protocol: protocolOf(version),
      }
      const frame = framed(version, icmp(version, type, code, word, quoted, back), back)
      frame[5] = 1
      frame[11] = 9
      pair.link.b.inject(frame)
      pair.settle()
    }
    return { pair, error, client }
  }

  const TOO_BIG: [number, number] = version === 4 ? [3, 4] : [2, 0]
  const headers = version === 4 ? 52 : 72

  it('lowers the path MTU: smaller segments from the lost one on, for later connections too', () => {
    const { pair, error, client } = flight()
    expect(client.snd.mss).toBe(1500 - headers)
    const sent: number[] = []
    pair.link.aToB.impairments = {}
    const commit = pair.client.nic.txCommit.bind(pair.client.nic)
    pair.client.nic.txCommit = (offset, length) => {
      sent.push(length)
      commit(offset, length)
    }
    error(...TOO_BIG, 1400)
    expect(client.snd.mss).toBe(1400 - headers)
    expect(sent[0]).toBe(1414)
    expect(pair.runUntil(() => client.snd.una === client.snd.max)).toBe(true)
    expect(Math.max(...sent)).toBe(1414)
    const counters = pair.client.counters
    expect([counters.pathMtuLowered, counters.icmpErrorsTaken]).toEqual([1, 1])
    const other = pair.client.tcp.connect(pair.clientAddress, 0, pair.serverAddress, 9000, pair.clock.now())!
    pair.runUntil(() => other.state === ESTABLISHED)
    expect(other.snd.mss).toBe(1400 - headers)
    pair.clock.advance(600_000_000)
    expect(pair.client.link.mtuTo(pair.serverAddress, pair.clock.now())).toBe(1500)
  })

  it('believes no path MTU below the least there is, and none that is more than known', () => {
    const { error, client } = flight()
    error(...TOO_BIG, 9000)
    expect(client.snd.mss).toBe(1500 - headers)
    error(...TOO_BIG, version === 4 ? 68 : 100)
    expect(client.snd.mss).toBe((version === 4 ? 552 : 1280) - headers)
  })

  if (version === 4) {
    it('guesses what a router does not say (RFC 1191 7.1)', () => {
      const { error, client } = flight()
      error(...TOO_BIG, 0)
      expect(client.snd.mss).toBe(1492 - headers)
    })
  }

  it('believes nothing about what is not in flight (RFC 5927)', () => {
    const { pair, error, client } = flight()
    const seqAt = (version === 4 ? 20 : 40) + 4
    const put = (quoted: Uint8Array, seq: number): void => new DataView(quoted.buffer).setInt32(seqAt, seq)
    error(...TOO_BIG, 1300, (quoted) => put(quoted, client.snd.una - 1))
    error(...TOO_BIG, 1300, (quoted) => put(quoted, client.snd.max))
    error(...TOO_BIG, 1300, (quoted) => {
      quoted[seqAt - 1]! ^= 1
    })
    error(...TOO_BIG, 1300, (quoted) => {
      quoted[seqAt - 5]! ^= 1
    })
    error(...TOO_BIG, 1300, (quoted) => {
      quoted[version === 4 ? 9 : 6] = 17
    })
    expect(client.snd.mss).toBe(1500 - headers)
    expect(pair.client.counters.dropIcmp).toBe(5)
  })

  it.each(
    version === 4
      ? [
          [3, 2],
          [3, 3],
          [3, 1],
          [11, 0],
          [12, 0],
        ]
      : [
          [1, 4],
          [1, 0],
          [3, 0],
          [4, 1],
        ],
  )('ends no connection for type %i code %i, and is the reason when it times out', (type, code) => {
    const { pair, error, client } = flight(100)
    error(type!, code!, 0)
    expect(client.state).toBe(ESTABLISHED)
    expect(client.softError).toBeGreaterThan(0)
    const { softError } = client
    expect(pair.runUntil(() => client.state === CLOSED, 4_000_000_000)).toBe(true)
    expect([client.error, softError === client.error || client.error === 113]).toEqual([client.error, true])
  })

  it.each(
    version === 4
      ? [
          [3, 0, 101],
          [3, 1, 113],
          [3, 2, 92],
          [3, 3, 111],
          [3, 13, 113],
        ]
      : [
          [1, 0, 101],
          [1, 1, 13],
          [1, 3, 113],
          [1, 4, 111],
        ],
  )('ends an attempt to connect for type %i code %i with errno %i, as Linux does', (type, code, errno) => {
    const peer = new RawPeer()
    const [local, remote] = version === 4 ? [SERVER, CLIENT] : [SERVER6, CLIENT6]
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1)
    peer.stack.link.neighbours.learn(
      remote!,
      mac,
      local!,
      LEARN_CREATE | LEARN_SOLICITED | LEARN_OVERRIDE,
      peer.clock.now(),
    )
    const tcb = peer.stack.tcp.connect(local!, 0, remote!, 80, peer.clock.now())!
    expect(tcb.state).toBe(SYN_SENT)
    const tcp = tcpSegment(version, { sourcePort: tcb.localPort, destinationPort: 80, seq: tcb.snd.iss })
    const ends = { source: local!, destination: remote! }
    const quoted = version === 4 ? ip4(tcp, ends) : ip6(tcp, ends)
    const message = icmp(version, type!, code!, 0, quoted, {})
    peer.inject(framed(version, message, { protocol: protocolOf(version) }))
    expect([tcb.state, tcb.error]).toEqual([CLOSED, errno])
  })

  it('takes no quote that is shorter than it says, or absent', () => {
    const peer = new RawPeer()
    for (const bytes of [0, 1, 19, 20, 27, 39, 40, 47]) {
      const quoted = Uint8Array.from({ length: bytes }, (_, i) =>
        i === 0 ? (version === 4 ? 0x45 : 0x60) : 6,
      )
      for (const type of version === 4 ? [3, 11, 12] : [1, 2, 3, 4]) {
        peer.inject(framed(version, icmp(version, type, 4, 1000, quoted), { protocol: protocolOf(version) }))
      }
    }
    expect(Object.keys(dropsByCause(peer.stack.counters))).toEqual(['icmp'])
    expect(peer.others).toEqual([])
  })
})

describe('what ICMP is not listened to', () => {
  it('source quench (RFC 6633), redirects, router advertisements', () => {
    const peer = new RawPeer()
    peer.inject(framed(4, icmp(4, 4, 0, 0, new Uint8Array(28)), { protocol: 1 }))
    peer.inject(framed(4, icmp(4, 5, 1, 0, new Uint8Array(28)), { protocol: 1 }))
    peer.inject(framed(6, icmp(6, 134, 0, 0, new Uint8Array(8)), { protocol: 58, hopLimit: 255 }))
    peer.inject(framed(6, icmp(6, 137, 0, 0, new Uint8Array(32)), { protocol: 58, hopLimit: 255 }))
    expect(dropsByCause(peer.stack.counters)).toEqual({ icmp: 1, routing: 3 })
  })

  it('a packet that was source-routed to us', () => {
    const peer = new RawPeer()
    peer.inject(ether(0x800, ip4(tcpSegment(4, { flags: 2 }), { options: [131, 7, 4, 192, 0, 2, 9, 0] })))
    peer.inject(ether(0x800, ip4(tcpSegment(4, { flags: 2 }), { options: [7, 1, 0, 0] })))
    expect(dropsByCause(peer.stack.counters)).toEqual({ extension: 2 })
    expect(peer.seen()).toEqual([])
  })
})
