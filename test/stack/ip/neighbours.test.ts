import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED, Neighbours } from '../../../stack/ip/neighbours.ts'
import { CLOSED, EHOSTUNREACH, ESTABLISHED } from '../../../stack/tcp/state.ts'
import { TimerWheel } from '../../../stack/timers.ts'
import { SYN } from '../../../stack/wire/tcp.ts'
import { ether } from '../../support/ip-frames.ts'
import { RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, drain, SERVER, StackPair } from '../../support/stack-pair.ts'

const silent = { solicit: () => {}, resolved: () => {}, failed: () => {} }
const WRONG = Uint8Array.of(2, 0, 0, 0, 0, 77)

describe('where frames go', () => {
  function answers(own: boolean): (number | undefined)[] {
    const peer = new RawPeer({ own })
    const macs: (number | undefined)[] = []
    const sent = peer.link.b.txCommit.bind(peer.link.b)
    peer.link.b.txCommit = (offset, length) => {
      const type = peer.link.b.txMemory[offset + 13]
      macs.push(type === 6 ? -1 : peer.link.b.txMemory[offset + 5])
      sent(offset, length)
    }
    peer.send({ flags: SYN, seq: 100, sourceMac: 77 })
    peer.send({ flags: SYN, seq: 100 })
    return macs
  }

  it('at an address of the host, a repeated SYN is answered where it came from', () => {
    expect(answers(false)).toEqual([77, 1])
  })

  it('at an address of our own, a repeated SYN makes us ask ARP (-1)', () => {
    expect(answers(true)).toEqual([77, -1, 77])
  })

  it('an unanswered SYN makes us ask for the neighbour again (RFC 1122 2.3.2.1)', () => {
    const pair = new StackPair()
    pair.client.link.neighbours.learn(SERVER, WRONG, CLIENT, LEARN_CREATE | LEARN_OVERRIDE, 0)
    const [client, server] = pair.open()
    expect(client.state).toBe(ESTABLISHED)
    expect(pair.client.counters.arpRequestsSent).toBe(1)
    expect([client.remoteMacHigh, client.remoteMacLow]).toEqual([0x0200, 0x0002])
    expect(drain(pair.server, server).length).toBe(0)
  })

  it('a neighbour that does not answer is still sent to, and asked for at most once a second', () => {
    const pair = new StackPair({ impairments: { aToB: { loss: 1 } } })
    pair.client.link.neighbours.learn(SERVER, WRONG, CLIENT, LEARN_CREATE | LEARN_OVERRIDE, 0)
    const start = pair.clock.now()
    const tcb = pair.client.tcp.connect(CLIENT, 0, SERVER, 9000, start)!
    expect(pair.runUntil(() => tcb.state === CLOSED)).toBe(true)
    const seconds = (pair.clock.now() - start) / 1e6
    const { arpRequestsSent, retransmits } = pair.client.counters
    expect(tcb.error).toBe(EHOSTUNREACH)
    expect(retransmits).toBe(2)
    expect(arpRequestsSent).toBe(3)
    expect(arpRequestsSent).toBeLessThanOrEqual(seconds)
  })

  it.each<[string, number, string, string, number | null]>([
    ['gratuitous ARP moves a neighbour that is known', 1, '192.0.2.1', '192.0.2.1', 9],
    ['so does an unsolicited reply', 2, '192.0.2.1', '192.0.2.2', 9],
    ['one about our own address changes nothing', 1, '192.0.2.2', '192.0.2.2', 1],
    ['a probe (RFC 5227) says nothing of its sender', 1, '0.0.0.0', '192.0.2.2', 1],
  ])('%s', (_what, operation, sender, target, expected) => {
    const peer = new RawPeer()
    const { neighbours } = peer.stack.link
    neighbours.learn(
      CLIENT,
      Uint8Array.of(2, 0, 0, 0, 0, 1),
      SERVER,
      LEARN_CREATE | LEARN_SOLICITED | LEARN_OVERRIDE,
      0,
    )
    const of = (text: string): Uint8Array => IpAddress.parse(text)!.bytes()
    const arp = [
      0,
      1,
      8,
      0,
      6,
      4,
      0,
      operation,
      2,
      0,
      0,
      0,
      0,
      9,
      ...of(sender),
      0,
      0,
      0,
      0,
      0,
      0,
      ...of(target),
    ]
    peer.inject(ether(0x806, arp, { destination: [255, 255, 255, 255, 255, 255] }))
    expect(neighbours.lookup(CLIENT)?.macLow ?? null).toBe(expected)
    expect(neighbours.lookup(SERVER)).toBeNull()
    expect(neighbours.lookup(IpAddress.any4)).toBeNull()
  })

  it.each<[4 | 6, number, number]>([
    [4, 1500, 1460],
    [6, 1500, 1440],
    [4, 9000, 8960],
    [4, 65_535, 65_495],
    [6, 65_535, 65_475],
  ])('over IPv%i at an MTU of %i the MSS is %i (RFC 6691)', (version, mtu, mss) => {
    const pair = new StackPair({ version, mtu, tcp: { timestamps: false } })
    expect(pair.open()[0].snd.mss).toBe(mss)
  })

  it('the table is bounded, and the oldest entry goes first', () => {
    const table = new Neighbours(new TimerWheel(0), silent, 2)
    const addresses = ['192.0.2.1', '2001:db8::2', '192.0.2.3'].map((text) => IpAddress.parse(text)!)
    for (const address of addresses) table.learn(address, WRONG, CLIENT, LEARN_CREATE | LEARN_OVERRIDE, 0)
    expect(addresses.map((address) => table.lookup(address) !== null)).toEqual([false, true, true])
  })

  it('asks once a second for the same address, three times', () => {
    const asked: number[] = []
    const wheel = new TimerWheel(0)
    const table = new Neighbours(wheel, {
      ...silent,
      solicit: () => asked.push(at),
      failed: () => asked.push(-at),
    })
    let at = 0
    for (; at <= 4_000_000; at += 100_000) {
      wheel.advance(at)
      if (at < 3_000_000) expect(table.use(SERVER, CLIENT, at)).toBeNull()
    }
    expect(asked).toEqual([0, 1_000_000, 2_000_000, -3_000_000])
  })
})
