import { describe, expect, it } from 'vitest'
import { ascending, buildFrame, type Flow, RawPeer, type Seen } from '../../support/raw-peer.ts'

const MSS = 1000
/** SYN options: MSS 1000, SACK permitted. */
const OPTIONS = [2, 4, MSS >> 8, MSS & 255, 4, 2]

describe('ACKs within a burst', () => {
  /** Segments that arrive together, by their number; what is sent meanwhile. */
  function burst(peer: RawPeer, flow: Flow, numbers: number[]): Seen[] {
    const base = flow.seq
    for (const number of numbers) {
      const payload = ascending(MSS)
      peer.link.a.inject(buildFrame(flow.next({ seq: (base + number * MSS) | 0, payload, options: [] })))
    }
    return peer.poll()
  }

  /** A connection that has received enough not to be at its start any more. */
  function settled(): { peer: RawPeer; flow: Flow } {
    const peer = new RawPeer()
    const { flow, tcb } = peer.open({ options: OPTIONS })
    for (let i = 0; i < 20; i++) flow.data(ascending(MSS))
    peer.stack.tcp.dropQueue(tcb)
    peer.pass(100_000)
    return { peer, flow }
  }

  it('one, when nothing is missing', () => {
    const { peer, flow } = settled()
    const seen = burst(peer, flow, [0, 1, 2, 3, 4, 5])
    expect(seen.map(({ ack }) => (ack - flow.seq) / MSS)).toEqual([6])
  })

  it('RFC 5681 4.2: one for each segment behind a hole, and one for what fills it', () => {
    const { peer, flow } = settled()
    const seen = burst(peer, flow, [0, 1, 3, 4, 5, 2])
    expect(seen.map(({ ack }) => (ack - flow.seq) / MSS)).toEqual([2, 2, 2, 6])
    expect(seen.map(({ options }) => options.length > 0)).toEqual([true, true, true, false])
  })

  it('after a hole every second segment, for a while', () => {
    const { peer, flow } = settled()
    burst(peer, flow, [1, 0])
    flow.seq = (flow.seq + 2 * MSS) | 0
    const seen = burst(peer, flow, [0, 1, 2, 3, 4])
    expect(seen.map(({ ack }) => (ack - flow.seq) / MSS)).toEqual([2, 4, 5])
  })
})

describe('ACKs of bursts that follow each other', () => {
  const FLOWS = 8
  const BYTES = 20
  /** Frames of a burst that is full enough for another to follow. */
  const BURST = 256

  /** Connections past their beginning; `bring` puts `count` of their segments on the wire in turn. */
  function crowd(stretchAckBytes: number): { peer: RawPeer; bring(count: number): void; arrived(): number } {
    const peer = new RawPeer({ niovs: 4096, tcp: { stretchAckBytes, moderateWindow: false } })
    const flows = Array.from({ length: FLOWS }, (_, i) =>
      peer.open({ options: OPTIONS, sourcePort: 41_000 + i }),
    )
    for (const { flow } of flows) for (let i = 0; i < 20; i++) flow.data(ascending(BYTES))
    peer.pass(100_000)
    let turn = 0
    const bring = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const { flow } = flows[turn++ % FLOWS]!
        peer.link.a.inject(buildFrame(flow.next({ payload: ascending(BYTES) })))
        flow.seq = (flow.seq + BYTES) | 0
      }
    }
    const arrived = (): number => flows.filter(({ tcb, flow }) => tcb.rcv.nxt === flow.seq).length
    return { peer, bring, arrived }
  }

  it('wait until a connection has brought its bytes, or nothing follows', () => {
    const { peer, bring, arrived } = crowd(1000)
    // 32 segments each: less than 1000 bytes, then more.
    bring(BURST)
    expect(peer.stack.poll()).toBe(BURST)
    expect(peer.seen()).toEqual([])
    bring(BURST)
    expect(peer.stack.poll()).toBe(BURST)
    const both = peer.seen()
    expect(both).toHaveLength(FLOWS)
    expect(new Set(both.map(({ destinationPort }) => destinationPort)).size).toBe(FLOWS)
    bring(BURST)
    expect(peer.stack.poll()).toBe(BURST)
    expect(peer.seen()).toEqual([])
    expect(peer.stack.poll()).toBe(0)
    expect(peer.seen()).toHaveLength(FLOWS)
    expect(arrived()).toBe(FLOWS)
  })

  it('leave with a burst that is not full, its own and those of before', () => {
    const { peer, bring } = crowd(1000)
    bring(BURST)
    peer.stack.poll()
    bring(3)
    peer.stack.poll()
    const seen = peer.seen()
    expect(seen).toHaveLength(FLOWS)
    const [most] = seen.map(({ ack }) => ack).sort((a, b) => b - a)
    expect(seen.filter(({ ack }) => ack === most)).toHaveLength(3)
  })

  it('wait for a few bursts at the most', () => {
    const { peer, bring } = crowd(1_000_000_000)
    // With so much asked for no window is large enough for an ACK to wait.
    bring(BURST)
    peer.stack.poll()
    expect(peer.seen()).toHaveLength(FLOWS)
    const patient = crowd(12_000)
    const sent: number[] = []
    for (let i = 0; i < 5; i++) {
      patient.bring(BURST)
      patient.peer.stack.poll()
      sent.push(patient.peer.seen().length)
    }
    expect(sent).toEqual([0, 0, 0, 0, FLOWS])
  })

  it('leave by a timer where nobody polls for another burst at once', () => {
    const { peer, bring } = crowd(12_000)
    bring(BURST)
    expect(peer.stack.poll()).toBe(BURST)
    expect(peer.seen()).toEqual([])
    // Whoever has what he waited for sleeps now, until then.
    const deadline = peer.stack.nextDeadline()
    expect(deadline).toBeLessThanOrEqual(peer.clock.now() + 2000)
    peer.clock.advanceTo(deadline)
    bring(BURST)
    peer.stack.poll()
    expect(peer.seen()).toHaveLength(FLOWS)
  })

  it('answer each burst where that is asked for', () => {
    const { peer, bring } = crowd(0)
    bring(BURST)
    peer.stack.poll()
    expect(peer.seen()).toHaveLength(FLOWS)
  })

  it('are not sent to a connection that ended meanwhile', () => {
    const { peer, bring } = crowd(1000)
    bring(BURST)
    peer.stack.poll()
    const tcbs = [...peer.stack.tcp]
    peer.stack.tcp.abort(tcbs[0]!)
    peer.seen()
    peer.stack.poll()
    expect(peer.seen()).toHaveLength(FLOWS - 1)
  })
})
