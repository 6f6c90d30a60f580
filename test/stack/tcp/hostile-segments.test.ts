import { describe, expect, it } from 'vitest'
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  ESTABLISHED,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_RECEIVED,
  TIME_WAIT,
} from '../../../stack/tcp/state.ts'
import { ACK, FIN, PSH, RST, SYN } from '../../../stack/wire/tcp.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { CLIENT, drain, SERVER, StackPair } from '../../support/stack-pair.ts'

const WSCALE = [3, 3, 7, 0]
const SACK_OK = [4, 2, 1, 1]

function expectWhole(peer: RawPeer, queued = 0): void {
  expect(peer.stack.census()).toMatchObject({ lost: 0, queued, user: 0 })
}

describe('RST (RFC 5961 section 3)', () => {
  it('resets only with the exact sequence number; in the window it is challenged, elsewhere dropped', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    expect(flow.segment({ flags: RST }, 1)[0]).toMatchObject({ flags: ACK, ack: flow.seq })
    expect(flow.segment({ flags: RST }, tcb.rcv.window() - 1)[0]).toMatchObject({ flags: ACK })
    expect(peer.stack.counters.challengeAcks).toBe(2)
    expect(flow.segment({ flags: RST }, tcb.rcv.window())).toEqual([])
    expect(flow.segment({ flags: RST }, -1)).toEqual([])
    expect(peer.stack.counters.dropOutOfWindow).toBe(2)
    expect(tcb.state).toBe(ESTABLISHED)
    expect(flow.segment({ flags: RST })).toEqual([])
    expect([tcb.state, tcb.error]).toEqual([CLOSED, 104])
  })

  it('leaves queued data readable, and its niovs come back', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.data(ascending(500))
    flow.segment({ payload: ascending(100) }, 300)
    flow.segment({ flags: RST })
    expect(tcb.state).toBe(CLOSED)
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(500)])
    expectWhole(peer)
  })

  it('challenges at a limited rate (RFC 5961 section 10)', () => {
    const peer = new RawPeer({ tcp: { challengeAcksPerSecond: 10 } })
    const { flow } = peer.open()
    let answers = 0
    for (let i = 0; i < 100; i++) answers += flow.segment({ flags: RST }, 1).length
    expect(answers).toBeGreaterThanOrEqual(5)
    expect(answers).toBeLessThan(15)
    peer.pass(1_000_000)
    expect(flow.segment({ flags: RST }, 1).length).toBe(1)
  })
})

describe('SYN and ACK out of place', () => {
  it('a SYN in an established connection is challenged, whatever its number (RFC 5961 section 4)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    for (const offset of [0, 100, -1, -500, 1 << 30]) {
      expect(flow.segment({ flags: SYN }, offset)[0]).toMatchObject({ flags: ACK, ack: flow.seq })
    }
    expect(tcb.state).toBe(ESTABLISHED)
  })

  it('an ACK of what was never sent, or long ago, is challenged and its data not taken (RFC 5961 section 5)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    for (const ack of [flow.ack + 1, flow.ack + (1 << 30), flow.ack - 70_000]) {
      const seen = flow.segment({ ack: ack | 0, payload: ascending(10) })
      expect(seen[0]).toMatchObject({ flags: ACK, ack: flow.seq, seq: flow.ack })
    }
    expect(peer.stack.counters.dropBadAck).toBe(3)
    expect(tcb.rcv.queuedBytes).toBe(0)
    expectWhole(peer)
  })

  it('a segment without ACK is dropped and counted (RFC 9293 3.10.7.4, fifth check)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    expect(flow.segment({ flags: PSH, payload: ascending(10) })).toEqual([])
    expect(peer.stack.counters.dropBadAck).toBe(1)
    expect(tcb.rcv.queuedBytes).toBe(0)
  })

  it('a bad ACK in SYN-RECEIVED is answered with RST and opens nothing', () => {
    const peer = new RawPeer()
    const [synAck] = peer.send({ seq: 10, flags: SYN })
    expect(peer.send({ seq: 11, ack: (synAck!.seq + 2) | 0 })[0]).toMatchObject({ flags: RST })
    expect(peer.stack.tcp.accept(peer.listener)).toBeNull()
    peer.send({ seq: 11, ack: (synAck!.seq + 1) | 0 })
    expect(peer.stack.tcp.accept(peer.listener)?.state).toBe(ESTABLISHED)
  })
})

describe('data', () => {
  it('beyond the window is cut at its edge, and what lies wholly beyond is dropped and answered', () => {
    const peer = new RawPeer({ tcp: { maxWindow: 3000 }, mtu: 9000 })
    const { tcb, flow } = peer.open()
    expect(tcb.rcv.window()).toBe(3000)
    flow.segment({ payload: ascending(100) }, 2950)
    expect(tcb.rcv.ooo.bytes).toBe(50)
    expect(flow.segment({ payload: ascending(10) }, 3000)[0]).toMatchObject({ ack: flow.seq })
    expect(peer.stack.counters.dropOutOfWindow).toBe(1)
    flow.segment({ payload: ascending(5000), flags: ACK | FIN })
    expect(drain(peer.stack, tcb).length).toBe(3000)
    expect(tcb.state).toBe(ESTABLISHED)
    expectWhole(peer)
  })

  it('that overlaps earlier data with other bytes changes none of it: the first arrival wins', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open({ options: SACK_OK })
    flow.segment({ payload: new Uint8Array(100).fill(1) }, 100)
    flow.segment({ payload: new Uint8Array(300).fill(2) }, 50)
    flow.segment({ payload: new Uint8Array(200).fill(3) }, 0)
    const bytes = [...drain(peer.stack, tcb)]
    expect(bytes).toEqual([
      ...new Array(50).fill(3),
      ...new Array(50).fill(2),
      ...new Array(100).fill(1),
      ...new Array(150).fill(2),
    ])
    expect(peer.stack.counters.dsackSent).toBeGreaterThan(0)
    expect(tcb.rcv.ooo.count).toBe(0)
    expectWhole(peer)
  })

  it('wholly known is answered with the duplicate range (RFC 2883), and not delivered again', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open({ options: SACK_OK })
    flow.data(ascending(100))
    const [answer] = flow.segment({ payload: ascending(60) }, -60)
    const view = new DataView(answer!.options.buffer)
    expect([view.getUint8(2), view.getUint8(3)]).toEqual([5, 10])
    expect([view.getInt32(4), view.getInt32(8)]).toEqual([(flow.seq - 60) | 0, flow.seq])
    expect(drain(peer.stack, tcb).length).toBe(100)
    expect(peer.stack.counters.dropDuplicate).toBe(1)
  })

  it.each([-1, -2, -100, 0x7fff_fff0])(
    'crosses sequence number wrap-around from ISN %i in and out of order',
    (isn) => {
      const peer = new RawPeer()
      const { tcb, flow } = peer.open({ seq: isn, options: SACK_OK })
      const bytes = ascending(600)
      flow.data(bytes.subarray(0, 50))
      flow.segment({ payload: bytes.subarray(150, 300) }, 100)
      flow.segment({ payload: bytes.subarray(300, 400) }, 250)
      expect(tcb.rcv.ooo.bytes).toBe(250)
      flow.data(bytes.subarray(50, 150))
      flow.seq = (flow.seq + 250) | 0
      flow.data(bytes.subarray(400, 600))
      flow.segment({ payload: bytes.subarray(500, 600) }, -100)
      expect([...drain(peer.stack, tcb)]).toEqual([...bytes])
      expect(peer.stack.counters.dropOutOfWindow).toBe(0)
      expectWhole(peer)
    },
  )

  it('in more holes than are allowed is dropped, counted, and holds no niov', () => {
    const peer = new RawPeer({ tcp: { maxHoles: 4 } })
    const { tcb, flow } = peer.open()
    for (let i = 1; i <= 10; i++) flow.segment({ payload: ascending(10) }, i * 100)
    expect(tcb.rcv.ooo.count).toBe(4)
    expect(peer.stack.counters.dropReassemblyLimit).toBe(6)
    expectWhole(peer, 4)
    peer.stack.tcp.close(tcb, peer.clock.now())
    flow.segment({ flags: RST })
    expectWhole(peer)
  })

  it('after SHUT_RD is queued as before, but not beyond the window', () => {
    const peer = new RawPeer({ mtu: 9000, tcp: { maxWindow: 3000 } })
    const { tcb, flow } = peer.open({ options: WSCALE })
    flow.data(ascending(100))
    peer.stack.tcp.shutdownReceive(tcb)
    const edge = tcb.rcv.adv
    const [answer] = flow.segment({ payload: ascending(8000), flags: ACK | FIN })
    expect(answer!.ack).toBe(edge)
    expect(tcb.rcv.window()).toBeGreaterThanOrEqual(0)
    expect(tcb.rcv.window()).toBeLessThanOrEqual(3000)
    expect(tcb.state).toBe(ESTABLISHED)
    expect(drain(peer.stack, tcb).length).toBe(3000)
    expect(peer.stack.counters.dropAfterShutdown).toBe(0)
    expectWhole(peer)
  })
})

describe('FIN', () => {
  it('out of order waits for the data before it', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.segment({ payload: ascending(50, 50), flags: ACK | FIN }, 50)
    expect([tcb.state, tcb.rcv.finished]).toEqual([ESTABLISHED, false])
    const [answer] = flow.segment({ payload: ascending(50) })
    expect(answer!.ack).toBe((flow.seq + 101) | 0)
    expect([tcb.state, tcb.rcv.finished]).toEqual([CLOSE_WAIT, true])
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(100)])
  })

  it('forged ahead of the stream neither ends it nor hides the true end', () => {
    for (const forged of [30, 500]) {
      const peer = new RawPeer()
      const { tcb, flow } = peer.open()
      flow.segment({ flags: ACK | FIN }, forged)
      flow.data(ascending(100))
      expect(tcb.state).toBe(ESTABLISHED)
      flow.segment({ flags: ACK | FIN })
      expect(tcb.state).toBe(CLOSE_WAIT)
      expect(drain(peer.stack, tcb).length).toBe(100)
    }
  })

  it('ends the stream once: data behind it is dropped and counted', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.segment({ flags: ACK | FIN })
    flow.segment({ payload: ascending(10) }, 1)
    flow.segment({ flags: ACK | FIN })
    expect(tcb.state).toBe(CLOSE_WAIT)
    expect(tcb.rcv.queuedBytes).toBe(0)
    expect(peer.stack.counters.dropAfterShutdown + peer.stack.counters.dropOutOfWindow).toBe(1)
    expectWhole(peer)
  })

  it('of both at once goes through CLOSING to TIME-WAIT (RFC 9293 figure 13)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    peer.stack.tcp.shutdownSend(tcb, peer.clock.now())
    expect(tcb.state).toBe(FIN_WAIT_1)
    flow.segment({ flags: ACK | FIN })
    expect(tcb.state).toBe(CLOSING)
    flow.segment({ ack: (flow.ack + 1) | 0 }, 1)
    expect(tcb.state).toBe(TIME_WAIT)
  })

  it('is sent again on RFC 6298 times until the connection is given up', () => {
    const peer = new RawPeer({ tcp: { dataRetries: 4 } })
    const { tcb, flow } = peer.open()
    flow.segment({ flags: ACK | FIN })
    peer.stack.tcp.close(tcb, peer.clock.now())
    expect(tcb.state).toBe(LAST_ACK)
    const [first] = peer.poll()
    const seen = peer.pass(60_000_000)
    const fins = seen.filter((segment) => (segment.flags & FIN) !== 0)
    expect(fins.every((segment) => segment.seq === first!.seq)).toBe(true)
    const times = fins.map((segment) => segment.at - first!.at)
    expect(times.length).toBe(4)
    for (let i = 1; i < times.length; i++) {
      const ratio = (times[i]! - times[i - 1]!) / (times[1]! - times[0]!)
      expect(ratio).toBeCloseTo(2 ** (i - 1), 1)
    }
    expect(tcb.state).toBe(CLOSED)
  })
})

describe('TIME-WAIT', () => {
  function inTimeWait() {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    peer.stack.tcp.shutdownSend(tcb, peer.clock.now())
    flow.ack = (flow.ack + 1) | 0
    flow.segment({})
    expect(tcb.state).toBe(FIN_WAIT_2)
    flow.segment({ flags: ACK | FIN })
    flow.seq = (flow.seq + 1) | 0
    expect(tcb.state).toBe(TIME_WAIT)
    return { peer, tcb, flow }
  }

  it('answers a repeated FIN, begins again, and ends after 60 s', () => {
    const { peer, tcb, flow } = inTimeWait()
    peer.pass(59_000_000)
    expect(flow.segment({ flags: ACK | FIN }, -1)[0]).toMatchObject({ flags: ACK, ack: flow.seq })
    peer.pass(59_000_000)
    expect(tcb.state).toBe(TIME_WAIT)
    peer.pass(2_000_000)
    expect([tcb.state, tcb.error, peer.stack.tcp.connections]).toEqual([CLOSED, 0, 0])
  })

  it('gives way to a SYN beyond what was received, not to an older one (RFC 9293 3.10.7.4)', () => {
    const { peer, tcb, flow } = inTimeWait()
    expect(peer.send({ seq: (flow.seq - 5) | 0, flags: SYN })[0]).toMatchObject({ flags: ACK })
    expect(tcb.state).toBe(TIME_WAIT)
    const [synAck] = peer.send({ seq: (flow.seq + 100) | 0, flags: SYN })
    expect(synAck).toMatchObject({ flags: SYN | ACK, ack: (flow.seq + 101) | 0 })
    expect(tcb.state).toBe(CLOSED)
    expect(peer.stack.tcp.connections).toBe(1)
    expectWhole(peer)
  })
})

describe('opening', () => {
  it('sends SYN,ACK again after 1, 3, 7, 15, 31 s and gives up (RFC 6298 5.5)', () => {
    const peer = new RawPeer()
    peer.send({ seq: 1, flags: SYN })
    const start = peer.clock.now()
    const seen = peer.pass(100_000_000)
    expect(seen.map((segment) => Math.round((segment.at - start) / 1e6))).toEqual([1, 3, 7, 15, 31])
    expect(seen.every((segment) => segment.flags === (SYN | ACK))).toBe(true)
    expect([peer.stack.counters.halfOpenExpired, peer.stack.tcp.connections, peer.listener.halfOpen]).toEqual(
      [1, 0, 0],
    )
  })

  it('a SYN flood stops at the half-open limit, shrinks nobody, expires, and leaves nothing behind', () => {
    const peer = new RawPeer({ tcp: { maxHalfOpen: 50, synCookies: false }, niovs: 1024 })
    const { tcb, flow } = peer.open({ sourcePort: 1 })
    const window = tcb.rcv.window()
    for (let port = 1000; port < 1200; port++) peer.send({ sourcePort: port, seq: port, flags: SYN })
    expect(peer.stack.counters.dropBacklog).toBe(150)
    expect([peer.stack.tcp.connections, peer.listener.halfOpen]).toEqual([51, 50])
    flow.data(ascending(1000))
    drain(peer.stack, tcb)
    flow.data(ascending(1000))
    drain(peer.stack, tcb)
    expect(tcb.rcv.window()).toBeGreaterThanOrEqual(window - 2000)
    peer.pass(100_000_000)
    expect([peer.stack.tcp.connections, peer.listener.halfOpen]).toEqual([1, 0])
    expect(peer.stack.tcp.window.slack()).toBe(peer.stack.memory.available() - tcb.rcv.promised)
    peer.open({ sourcePort: 2000 })
    expectWhole(peer)
  })

  it('connections nobody accepts fill the backlog, no more', () => {
    const peer = new RawPeer({ backlog: 2 })
    for (let port = 1; port <= 5; port++) {
      const [synAck] = peer.send({ sourcePort: port, flags: SYN, seq: 7 })
      if (synAck !== undefined) peer.send({ sourcePort: port, seq: 8, ack: (synAck.seq + 1) | 0 })
    }
    // One more than the backlog, as on Linux.
    expect(peer.listener.ready.length).toBe(3)
    expect(peer.stack.counters.dropBacklog).toBe(2)
    peer.stack.tcp.unlisten(peer.listener)
    expect([peer.stack.tcp.connections, peer.stack.counters.resetsSent]).toEqual([0, 3])
  })

  it('from both ends at once connects both (RFC 9293 figure 8)', () => {
    const pair = new StackPair()
    const now = pair.clock.now()
    const a = pair.client.tcp.connect(CLIENT, 5000, SERVER, 6000, now)!
    const b = pair.server.tcp.connect(SERVER, 6000, CLIENT, 5000, now)!
    expect(pair.runUntil(() => a.state === ESTABLISHED && b.state === ESTABLISHED)).toBe(true)
    expect([a.state, b.state]).not.toContain(SYN_RECEIVED)
    const connected = (tcb: typeof a) => (tcb.events & 4) !== 0
    expect([connected(a), connected(b)]).toEqual([true, true])
    pair.client.tcp.send(a, ascending(1000), 0, pair.clock.now())
    expect(pair.runUntil(() => b.rcv.queuedBytes === 1000)).toBe(true)
  })
})
