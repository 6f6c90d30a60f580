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
