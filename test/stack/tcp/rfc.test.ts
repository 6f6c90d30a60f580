import { describe, expect, it } from 'vitest'
import { ESTABLISHED } from '../../../stack/tcp/state.ts'
import { ACK, FIN, PSH, RST, SYN, URG } from '../../../stack/wire/tcp.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { StackPair } from '../../support/stack-pair.ts'

/** A timestamps option. */
function stamp(value: number): number[] {
  return [1, 1, 8, 10, value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255, 0, 0, 0, 0]
}

describe('rules of the RFCs that no other test shows', () => {
  it('PAWS: data with an older timestamp is dropped, counted and answered (RFC 7323 section 5)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open({ options: stamp(500) })
    flow.data(ascending(10), { options: stamp(501) })
    const answers = flow.segment({ payload: ascending(10, 99), options: stamp(400) })
    expect(peer.stack.counters.dropPaws).toBe(1)
    expect(answers.map((segment) => segment.flags)).toEqual([ACK])
    expect(tcb.rcv.queuedBytes).toBe(10)
  })

  it.each([
    ['MD5', [19, 18]],
    ['TCP-AO', [29, 16]],
  ] as const)(
    'a segment signed with %s, which nobody asked for, is dropped as by Linux',
    (_name, [kind, size]) => {
      const signature = [kind, size, ...new Array(size - 2).fill(7)]
      const peer = new RawPeer()
      expect(peer.send({ flags: SYN, seq: 1, options: signature })).toEqual([])
      const { tcb, flow } = peer.open()
      expect(flow.segment({ payload: ascending(10), options: signature })).toEqual([])
      expect(flow.segment({ flags: RST, options: signature })).toEqual([])
      expect([tcb.rcv.queuedBytes, tcb.state]).toEqual([0, ESTABLISHED])
      expect(peer.stack.counters.dropSignature).toBe(3)
      expect(flow.data(ascending(10))).toHaveLength(1)
    },
  )

  it('initial sequence numbers grow by 250000 a second for one peer, and tell nothing of another (RFC 6528)', () => {
    const isn = (seconds: number, sourcePort: number): number => {
      const peer = new RawPeer()
      peer.clock.advance(seconds * 1_000_000)
      return peer.send({ flags: SYN, seq: 1, sourcePort }).find((s) => s.flags === (SYN | ACK))!.seq
    }
    expect((isn(8, 40_000) - isn(0, 40_000)) | 0).toBe(8 * 250_000)
    const apart = Math.abs((isn(0, 40_001) - isn(0, 40_000)) | 0)
    expect(apart).toBeGreaterThan(1_000_000)
  })

  it('no more than ten segments leave before the first ACK (RFC 6928)', () => {
    const peer = new RawPeer()
    const { tcb } = peer.open({ options: [2, 4, 5, 180] })
    peer.stack.tcp.send(tcb, new Uint8Array(100_000), 0, peer.clock.now())
    const sent = peer.poll().filter((segment) => segment.payload.length > 0)
    expect(sent.map((segment) => segment.payload.length)).toEqual(new Array(10).fill(1460))
  })

  it('a lone segment is acknowledged after 40 ms, two at once, once the first sixteen are over (RFC 1122 4.2.3.2)', () => {
    const peer = new RawPeer()
    const { flow } = peer.open()
    for (let i = 0; i < 16; i++) expect(flow.data(ascending(10)).length).toBe(1)
    const began = peer.clock.now()
    expect(flow.data(ascending(10))).toEqual([])
    const late = peer.pass(100_000)
    expect(late.map((segment) => [segment.flags, segment.ack === flow.seq])).toEqual([[ACK, true]])
    expect(late[0]!.at - began).toBeGreaterThanOrEqual(40_000)
    expect(late[0]!.at - began).toBeLessThan(45_000)
    expect(flow.data(ascending(10))).toEqual([])
    expect(flow.data(ascending(10)).map((segment) => segment.ack === flow.seq)).toEqual([true])
  })

  it('urgent data is delivered in line', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.data(ascending(10), { flags: ACK | PSH | URG })
    flow.segment({ flags: ACK | FIN })
    expect(tcb.rcv.queuedBytes).toBe(10)
    expect(tcb.rcv.finished).toBe(true)
  })

  it('urgent data given before the connection is there ends where it ends', () => {
    const pair = new StackPair()
    const { client, server, clock, clientAddress, serverAddress } = pair
    const listener = server.tcp.listen(serverAddress, 9000, 1)!
    const tcb = client.tcp.connect(clientAddress, 0, serverAddress, 9000, clock.now())!
    client.tcp.send(tcb, ascending(10), 0, clock.now(), true)
    pair.settle()
    expect(server.tcp.accept(listener)!.urgentBytes()).toBe(10)
  })
})
