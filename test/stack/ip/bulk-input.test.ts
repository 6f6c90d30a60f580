import { expect, test } from 'vitest'
import type { PayloadSink } from '../../../stack/tcp/sink.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import { ascending, buildFrame, RawPeer } from '../../support/raw-peer.ts'

const MSS = 1000
const OPTIONS = [2, 4, MSS >> 8, MSS & 255, 4, 2]

test.each([0, 1, 2, 3])(
  'what has no room from piece %i on is counted as queued, also behind what others brought in between',
  (room) => {
    const peer = new RawPeer({ niovs: 1024 })
    const { fragments, memory, tcp } = peer.stack
    const flows = [41_000, 41_001].map((sourcePort) => peer.open({ options: OPTIONS, sourcePort }))
    const [direct, queued] = flows as [(typeof flows)[0], (typeof flows)[0]]
    for (const { flow, tcb } of flows) {
      // Past its beginning, and in a row.
      for (let i = 0; i < 20; i++) flow.data(ascending(MSS))
      tcp.dropQueue(tcb)
    }
    peer.pass(100_000)
    let taken = 0
    const target = {
      slot: 0,
      turn: 0,
      post: (
        _offset: unknown,
        _length: unknown,
        _rowOf: unknown,
        _sinks: unknown,
        from: number,
        to: number,
      ) => {
        const most = Math.min(to, from + room - taken)
        taken += most - from
        return most
      },
    }
    const sink: PayloadSink = { ready: () => target, userDataLow: 0, userDataHigh: 0 }
    direct.tcb.sink = sink
    for (const { flow } of [direct, queued, direct, queued, direct]) {
      peer.link.a.inject(buildFrame(flow.next({ payload: ascending(MSS) })))
      flow.seq = (flow.seq + MSS) | 0
    }
    peer.stack.poll()
    const held = ({ rcv }: Tcb): number => {
      let bytes = 0
      for (let node = rcv.head; node >= 0; node = fragments.next[node]!) bytes += fragments.length[node]!
      return bytes
    }
    expect(taken).toBe(room)
    for (const [tcb, pieces] of [
      [direct.tcb, 3 - room],
      [queued.tcb, 2],
    ] as const) {
      expect([held(tcb), tcb.rcv.queuedBytes, tcb.rcv.niovs]).toEqual([pieces * MSS, pieces * MSS, pieces])
    }
    expect(memory.handed).toBe(0)
  },
)
