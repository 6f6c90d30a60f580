import { describe, expect, it } from 'vitest'
import type { EcnMode } from '../../../stack/tcp/ecn.ts'
import { SocketOptions } from '../../../stack/tcp/socket-options.ts'
import { CLOSE_WAIT, ESTABLISHED, SYN_RECEIVED, TIME_WAIT } from '../../../stack/tcp/state.ts'
import { ACK, CWR, ECE, FIN, RST, SYN } from '../../../stack/wire/tcp.ts'
import { ascending, RawPeer, type Seen } from '../../support/raw-peer.ts'
import { drain } from '../../support/stack-pair.ts'

const MSS = [2, 4, 5, 180]
const SACK_OK = [4, 2, 1, 1]
const SCALE = [1, 3, 3, 9]

function stamp(value: number, echo = 0): number[] {
  const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
  return [1, 1, 8, 10, ...word(value), ...word(echo)]
}

/** TSval of a segment, -1 without. */
function tsVal(segment: Seen): number {
  const at = segment.options.findIndex((byte, i) => byte === 8 && segment.options[i + 1] === 10)
  return at < 0 ? -1 : new DataView(segment.options.buffer, segment.options.byteOffset).getInt32(at + 2)
}

describe('SYN cookies (RFC 4987 section 3.6)', () => {
  function flooded(tcp: { ecn?: EcnMode } = {}): RawPeer {
    const peer = new RawPeer({ tcp: { maxHalfOpen: 4, ...tcp } })
    for (let port = 1000; port < 1004; port++) peer.send({ sourcePort: port, seq: port, flags: SYN })
    return peer
  }

  it('open connections that nothing was remembered of, with the options that timestamps carry', () => {
    const peer = flooded()
    const syn = {
      sourcePort: 5000,
      seq: 77,
      flags: SYN,
      options: [...MSS, ...SACK_OK, ...SCALE, ...stamp(1)],
    }
    const [answer] = peer.send(syn)
    expect(answer!.flags).toBe(SYN | ACK)
    expect(peer.stack.counters.synCookiesSent).toBe(1)
    expect([peer.stack.tcp.connections, peer.listener.halfOpen]).toEqual([4, 4])
    const options = stamp(2, tsVal(answer!))
    peer.send({ sourcePort: 5000, seq: 78, ack: (answer!.seq + 1) | 0, options })
    const tcb = peer.stack.tcp.accept(peer.listener)!
    expect(tcb.state).toBe(ESTABLISHED)
    expect([tcb.sack, tcb.timestamps, tcb.windowScaling, tcb.snd.shift]).toEqual([true, true, true, 9])
    expect(tcb.snd.peerMss).toBe(1460)
    peer.send({ sourcePort: 5000, seq: 78, ack: (answer!.seq + 1) | 0, options, payload: ascending(20) })
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(20)])
  })

  it('do without scaling and SACK when there are no timestamps', () => {
    const peer = flooded()
    const [answer] = peer.send({
      sourcePort: 5000,
      seq: 7,
      flags: SYN,
      options: [...MSS, ...SACK_OK, ...SCALE],
    })
    expect([...answer!.options]).toEqual([2, 4, 5, 180])
    peer.send({ sourcePort: 5000, seq: 8, ack: (answer!.seq + 1) | 0 })
    const tcb = peer.stack.tcp.accept(peer.listener)!
    expect([tcb.state, tcb.sack, tcb.windowScaling]).toEqual([ESTABLISHED, false, false])
  })

  it.each<[EcnMode, string, number, number[], number]>([
    ['accept', 'ECN is remembered in the timestamp', 0, stamp(1), ECE],
    ['accept', 'ECN is declined without one', 0, [], 0],
    ['accurate', 'AccECN becomes ECN', 1, stamp(1), ECE],
  ])('agree only to what they remember (%s): %s', (ecn, _what, reserved, options, agreed) => {
    const peer = flooded({ ecn })
    const syn = { sourcePort: 5000, seq: 7, flags: SYN | ECE | CWR, reserved, options: [...MSS, ...options] }
    const [answer] = peer.send(syn)
    expect(peer.stack.counters.synCookiesSent).toBe(1)
    expect(answer!.flags).toBe(SYN | ACK | agreed)
    const echoed = options.length > 0 ? stamp(2, tsVal(answer!)) : []
    peer.send({ sourcePort: 5000, seq: 8, ack: (answer!.seq + 1) | 0, options: echoed })
    const tcb = peer.stack.tcp.accept(peer.listener)!
    expect(tcb.ecn?.accurate).toBe(agreed === 0 ? undefined : false)
  })

  it('are believed for two minutes, and only with every bit right', () => {
    const peer = flooded()
    const [answer] = peer.send({ sourcePort: 5000, seq: 7, flags: SYN, options: MSS })
    for (const [seq, ack] of [
      [9, answer!.seq + 1],
      [8, answer!.seq + 2],
      [8, answer!.seq ^ (1 << 25)],
    ] as const) {
      expect(peer.send({ sourcePort: 5000, seq, ack: ack | 0 })[0]!.flags & RST).toBe(RST)
    }
    peer.pass(129_000_000)
    expect(peer.send({ sourcePort: 5000, seq: 8, ack: (answer!.seq + 1) | 0 })[0]!.flags & RST).toBe(RST)
    expect(peer.stack.counters.synCookiesTaken).toBe(0)
  })

  it('are not sent when switched off', () => {
    const peer = new RawPeer({ tcp: { maxHalfOpen: 1, synCookies: false } })
    peer.send({ sourcePort: 1, flags: SYN })
    expect(peer.send({ sourcePort: 2, flags: SYN })).toEqual([])
    expect(peer.stack.counters.dropBacklog).toBe(1)
  })

  it('promise no memory', () => {
    const peer = flooded()
    const before = peer.stack.tcp.window.promised
    for (let port = 2000; port < 2100; port++) peer.send({ sourcePort: port, flags: SYN, options: MSS })
    expect(peer.stack.tcp.window.promised).toBe(before)
    expect(peer.stack.counters.synCookiesSent).toBe(100)
  })
})

describe('TCP Fast Open (RFC 7413)', () => {
  function server(): RawPeer {
    const peer = new RawPeer()
    peer.listener.options = SocketOptions.default.with({ fastOpen: 2 })
    return peer
  }
  /** The cookie the server gives. */
  function cookie(peer: RawPeer): number[] {
    const [answer] = peer.send({ sourcePort: 1, flags: SYN, options: [...MSS, 34, 2, 1, 1] })
    const options = [...answer!.options]
    const at = options.findIndex((byte, i) => byte === 34 && options[i + 1] === 10)
    expect(at).toBeGreaterThan(0)
    return options.slice(at, at + 10)
  }

  it('gives a cookie, and takes the data of a SYN that carries it before the handshake is over', () => {
    const peer = server()
    const options = [...MSS, ...cookie(peer), 1, 1]
    const [answer] = peer.send({ sourcePort: 2, seq: 99, flags: SYN, options, payload: ascending(50) })
    expect([answer!.flags, answer!.ack]).toEqual([SYN | ACK, 150])
    const tcb = peer.stack.tcp.accept(peer.listener)!
    expect(tcb.state).toBe(SYN_RECEIVED)
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(50)])
    peer.stack.tcp.send(tcb, ascending(30), 0, peer.clock.now())
    const sent = peer.poll()
    expect([...sent[0]!.payload]).toEqual([...ascending(30)])
    peer.send({ sourcePort: 2, seq: 150, ack: (answer!.seq + 31) | 0 })
    expect([tcb.state, peer.listener.halfOpen, peer.listener.fastOpens]).toEqual([ESTABLISHED, 1, 0])
    expect(tcb.snd.buffered).toBe(0)
  })

  it('treats a wrong cookie as a request for one, and its data as not received', () => {
    const peer = server()
    const wrong = cookie(peer)
    wrong[9]! ^= 1
    const options = [...MSS, ...wrong, 1, 1]
    const [answer] = peer.send({ sourcePort: 2, seq: 99, flags: SYN, options, payload: ascending(50) })
    expect(answer!.ack).toBe(100)
    expect(answer!.options.includes(34)).toBe(true)
    expect(peer.stack.tcp.accept(peer.listener)).toBeNull()
  })

  it('takes no more at a time than the listener allows', () => {
    const peer = server()
    const options = [...MSS, ...cookie(peer), 1, 1]
    const acks = [2, 3, 4].map(
      (sourcePort) => peer.send({ sourcePort, seq: 0, flags: SYN, options, payload: ascending(5) })[0]!.ack,
    )
    expect(acks).toEqual([6, 6, 1])
  })

  it('is off unless the listener asks', () => {
    const peer = new RawPeer()
    const [answer] = peer.send({ flags: SYN, options: [...MSS, 34, 2, 1, 1] })
    expect(answer!.options.includes(34)).toBe(false)
  })
})

describe('TIME-WAIT', () => {
  function timeWait(options: number[]): { peer: RawPeer; seq: number; last: number } {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open({ options })
    peer.stack.tcp.shutdownSend(tcb, peer.clock.now())
    peer.poll()
    flow.segment({ flags: ACK | FIN, ack: (flow.ack + 1) | 0 })
    expect(tcb.state).toBe(TIME_WAIT)
    return { peer, seq: (flow.seq + 1) | 0, last: (flow.ack + 1) | 0 }
  }

  it('gives way to a SYN with a later timestamp, whatever its sequence number (RFC 6191)', () => {
    const { peer, seq, last } = timeWait(stamp(10))
    const answer = peer.send({ flags: SYN, seq: (seq - 5000) | 0, options: stamp(11) }).at(-1)!
    expect(answer.flags).toBe(SYN | ACK)
    expect((answer.seq - last) | 0).toBeGreaterThan(65_535)
  })

  it('stays for a SYN with an older timestamp', () => {
    const { peer, seq } = timeWait(stamp(10))
    expect(peer.send({ flags: SYN, seq: (seq + 5000) | 0, options: stamp(9) })[0]!.flags).toBe(ACK)
  })

  it('without timestamps gives way to a higher sequence number only (RFC 9293 3.10.7.4)', () => {
    const { peer, seq } = timeWait([])
    expect(peer.send({ flags: SYN, seq: (seq - 1) | 0 })[0]!.flags).toBe(ACK)
    expect(peer.send({ flags: SYN, seq: (seq + 1) | 0 })[0]!.flags).toBe(SYN | ACK)
  })
})

describe('SYN,ACK with text (RFC 9293 3.10.7.3)', () => {
  it('delivers data and FIN that came with it', () => {
    const peer = new RawPeer()
    const tcb = peer.connect()
    const [syn] = peer.poll()
    const flags = SYN | ACK | FIN
    peer.send({
      sourcePort: 9000,
      destinationPort: tcb.localPort,
      seq: 50,
      ack: (syn!.seq + 1) | 0,
      flags,
      payload: ascending(9),
    })
    expect(tcb.state).toBe(CLOSE_WAIT)
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(9)])
  })
})

describe('ECN negotiation (RFC 3168 6.1.1, RFC 9768 3.1)', () => {
  const AE_IN_OFFSET = 1

  it('is accepted when a peer asks, and not otherwise', () => {
    const peer = new RawPeer()
    expect(peer.send({ sourcePort: 1, flags: SYN | ECE | CWR })[0]!.flags).toBe(SYN | ACK | ECE)
    expect(peer.send({ sourcePort: 2, flags: SYN | ECE })[0]!.flags).toBe(SYN | ACK)
    expect(peer.send({ sourcePort: 3, flags: SYN })[0]!.flags).toBe(SYN | ACK)
  })

  it('is refused when switched off', () => {
    const peer = new RawPeer({ tcp: { ecn: 'off' } })
    expect(peer.send({ flags: SYN | ECE | CWR })[0]!.flags).toBe(SYN | ACK)
  })

  it('asks once: a SYN sent again does without (RFC 3168 6.1.1.1)', () => {
    const peer = new RawPeer({ tcp: { ecn: 'request' } })
    peer.connect()
    expect(peer.poll()[0]!.flags).toBe(SYN | ECE | CWR)
    expect(peer.pass(1_100_000)[0]!.flags).toBe(SYN)
  })

  it('a SYN that asks for AccECN gets classic ECN from who does not know it (RFC 9768 table 2)', () => {
    const peer = new RawPeer()
    const [answer] = peer.send({ flags: SYN | ECE | CWR, reserved: AE_IN_OFFSET })
    expect(answer!.flags).toBe(SYN | ACK | ECE)
    const accurate = new RawPeer({ tcp: { ecn: 'accurate' } })
    // Not-ECT on the SYN: 010, that is CWR alone.
    expect(accurate.send({ flags: SYN | ECE | CWR, reserved: AE_IN_OFFSET })[0]!.flags).toBe(SYN | ACK | CWR)
  })
})
