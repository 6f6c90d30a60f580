import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CLOSE_WAIT, CLOSED, FIN_WAIT_1 } from '../../../stack/tcp/state.ts'
import { ACK } from '../../../stack/wire/tcp.ts'
import { ascending, buildFrame as buildFrameOf, RawPeer } from '../../support/raw-peer.ts'
import { drain, plainMemory, SERVER, StackPair } from '../../support/stack-pair.ts'

const WSCALE = [3, 3, 7, 0]

describe('receive windows', () => {
  it.each([4, 8, 16, 64])(
    'of an area of %i niovs close before it is full and open when it is read',
    (niovs) => {
      const peer = new RawPeer({ niovs })
      const { tcb, flow } = peer.open({ options: WSCALE })
      let sent = 0
      for (let i = 0; i < 4 * niovs && tcb.rcv.window() >= 1400; i++) {
        flow.data(ascending(1400, sent))
        sent += 1400
      }
      expect(sent).toBeGreaterThanOrEqual(1400)
      expect(tcb.rcv.queuedBytes).toBe(sent)
      expect([peer.stack.counters.dropNoMemory, peer.link.b.stats().rxFillEmpty]).toEqual([0, 0])
      expect(peer.stack.memory.available()).toBeGreaterThanOrEqual(peer.stack.memory.reserve)
      expect([...drain(peer.stack, tcb)]).toEqual([...ascending(sent)])
      const updates = peer.poll()
      expect(tcb.rcv.window()).toBeGreaterThanOrEqual(1400)
      if (tcb.rcv.starved) expect(updates.length).toBeGreaterThan(0)
    },
  )

  it('close to one-byte segments although a scaled window cannot say so exactly; nothing taken is lost (RFC 7323 2.4)', () => {
    const peer = new RawPeer({ niovs: 16 })
    const { tcb, flow } = peer.open({ options: WSCALE })
    let sent = 0
    let last = 1
    // The peer honours what it is told, and sends a byte at a time.
    let edge = (flow.seq + (tcb.rcv.window() & ~127)) | 0
    const heard = (answers: ReturnType<typeof peer.pass>): void => {
      for (const answer of answers) {
        edge = Math.max(edge, answer.ack + (answer.window << 7))
        last = answer.window
      }
    }
    while (sent < 70_000) {
      if (flow.seq >= edge) heard(peer.pass(50_000))
      if (flow.seq >= edge) break
      heard(flow.data(Uint8Array.of(sent)))
      sent++
    }
    expect(last).toBe(0)
    expect(sent).toBeLessThan(16 * 4096)
    expect(tcb.rcv.queuedBytes).toBe(sent)
    expect([peer.stack.counters.dropNoMemory, peer.link.b.stats().rxFillEmpty]).toEqual([0, 0])
    expect(peer.stack.counters.packedBytes).toBeGreaterThan(0)
    expect(peer.stack.memory.available()).toBeGreaterThanOrEqual(peer.stack.memory.reserve)
    expect([...drain(peer.stack, tcb)]).toEqual([...ascending(sent)])
    expect(peer.poll().some((answer) => answer.window > 0)).toBe(true)
  })

  it('hold against a peer that ignores them: bytes beyond are dropped and counted, the reserve stays', () => {
    const peer = new RawPeer({ niovs: 16 })
    const { tcb, flow } = peer.open({ options: WSCALE })
    for (let i = 0; i < 20_000; i++) {
      flow.segment({ payload: Uint8Array.of(i) })
      if (tcb.rcv.nxt !== flow.seq) flow.seq = (flow.seq + 1) | 0
    }
    for (let i = 0; i < 50; i++) flow.data(ascending(1400))
    expect(peer.stack.memory.available()).toBeGreaterThanOrEqual(peer.stack.memory.reserve)
    expect(peer.stack.census()).toMatchObject({ lost: 0 })
    expect(peer.link.b.stats().rxFillEmpty).toBe(0)
  })

  it('that are closed answer a probe, and take its byte once there is room (RFC 9293 3.8.6.1)', () => {
    const peer = new RawPeer({ niovs: 8 })
    const { tcb, flow } = peer.open()
    while (tcb.rcv.window() >= 1400) flow.data(ascending(1400))
    if (tcb.rcv.window() > 0) flow.data(ascending(tcb.rcv.window()))
    expect(tcb.rcv.window()).toBe(0)
    expect(flow.segment({ payload: Uint8Array.of(1) })[0]).toMatchObject({ ack: flow.seq, window: 0 })
    drain(peer.stack, tcb)
    peer.poll()
    flow.segment({ payload: Uint8Array.of(1) })
    expect(tcb.rcv.queuedBytes).toBe(1)
  })

  it('take everything they promised even when it comes in one burst between ACKs and duplicates', () => {
    const peer = new RawPeer({ niovs: 64 })
    const { tcb, flow } = peer.open({ options: WSCALE })
    const window = tcb.rcv.window()
    const frames: Parameters<typeof flow.next>[0][] = []
    let left = window
    while (left > 0) {
      const length = Math.min(1400, left)
      frames.push({ payload: ascending(length), seq: (flow.seq + window - left) | 0 })
      left -= length
    }
    const acks = 64 - frames.length
    for (const frame of frames) peer.link.a.inject(buildFrameOf(flow.next(frame)))
    for (let i = 0; i < acks; i++) peer.link.a.inject(buildFrameOf(flow.next({})))
    peer.poll()
    expect(tcb.rcv.queuedBytes).toBe(window)
    expect(peer.stack.counters.dropNoMemory).toBe(0)
  })

  it('promise nothing for connections that have ended or finished, and tell those who waited', () => {
    const peer = new RawPeer({ niovs: 16 })
    const first = peer.open({ sourcePort: 1, options: WSCALE })
    const others = [2, 3, 4].map((sourcePort) => peer.open({ sourcePort, options: WSCALE }))
    const { window } = peer.stack.tcp
    expect(window.active).toBe(4)
    for (const { flow } of others.slice(0, 2)) flow.segment({ flags: ACK | 1 })
    expect(window.active).toBe(2)
    others[2]!.flow.segment({ flags: 4 })
    expect(window.active).toBe(1)
    expect(window.slack()).toBe(16 - first.tcb.rcv.promised)
    first.flow.segment({ flags: 4 })
    expect([window.active, window.slack()]).toEqual([0, 16])
    for (const { tcb } of others) peer.stack.tcp.close(tcb, peer.clock.now())
    peer.pass(700_000_000)
    peer.pass(7_000_000_000)
    expect([window.active, window.slack(), peer.stack.tcp.connections]).toEqual([0, 16, 0])
  })

  it('never shrink, are never NaN or negative, and add up, under any traffic over any area', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(4, 8, 16, 64),
        fc.constantFrom(2000, 65_535, 1 << 20, 1 << 30),
        fc.constantFrom([], WSCALE),
        fc.array(
          fc.record({
            who: fc.nat({ max: 2 }),
            length: fc.oneof(fc.constantFrom(1, 2, 127, 128, 129), fc.integer({ min: 0, max: 1400 })),
            drain: fc.boolean(),
            skip: fc.constantFrom(0, 0, 0, 10),
            us: fc.constantFrom(0, 0, 50_000),
          }),
          { maxLength: 80 },
        ),
        (niovs, maxWindow, options, steps) => {
          const peer = new RawPeer({ niovs, tcp: { maxWindow } })
          const flows = [1, 2, 3].map((sourcePort) => peer.open({ sourcePort, options }))
          for (const step of steps) {
            const { tcb, flow } = flows[step.who]!
            const edges = flows.map((each) => each.tcb.rcv.adv)
            flow.segment({ payload: ascending(step.length) }, step.skip)
            flow.seq = tcb.rcv.nxt
            if (step.drain) drain(peer.stack, tcb)
            peer.pass(step.us)
            peer.poll()
            for (const [i, each] of flows.entries()) {
              expect((each.tcb.rcv.adv - edges[i]!) | 0).toBeGreaterThanOrEqual(0)
              expect(each.tcb.rcv.window()).toBeGreaterThanOrEqual(0)
              expect(each.tcb.rcv.promised).toBeGreaterThanOrEqual(0)
            }
            const promised = flows.reduce((sum, each) => sum + each.tcb.rcv.promised, 0)
            expect(peer.stack.tcp.window.slack()).toBe(peer.stack.memory.available() - promised)
            expect(peer.stack.census().lost).toBe(0)
          }
          for (const { tcb } of flows) {
            drain(peer.stack, tcb)
            peer.stack.tcp.abort(tcb)
          }
          expect(peer.stack.tcp.window.slack()).toBe(niovs)
          expect(peer.stack.tcp.window.active).toBe(0)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('sending against windows', () => {
  it('probes a closed window for as long as the peer answers, and goes on when it opens', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.segment({ window: 0 })
    peer.stack.tcp.send(tcb, ascending(100), 0, peer.clock.now())
    let probes = 0
    for (let i = 0; i < 40; i++) {
      for (const probe of peer.pass(130_000_000)) {
        expect(probe.payload.length).toBe(1)
        probes++
        flow.segment({ window: 0 })
      }
    }
    expect(probes).toBeGreaterThan(20)
    expect(tcb.state).not.toBe(CLOSED)
    // The update comes with data, which the fast path would take.
    const seen = flow.data(ascending(10), { window: 1000 })
    expect(seen.find((segment) => segment.payload.length === 100)).toBeDefined()
  })

  it('a closed window keeps no orphan alive for ever', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.segment({ window: 0 })
    peer.stack.tcp.send(tcb, ascending(100), 0, peer.clock.now())
    peer.stack.tcp.close(tcb, peer.clock.now())
    expect(tcb.state).toBe(FIN_WAIT_1)
    for (let i = 0; i < 60 && tcb.state !== CLOSED; i++) {
      for (const _probe of peer.pass(120_000_000)) flow.segment({ window: 0 })
    }
    expect([tcb.state, peer.stack.counters.connectionsTimedOut]).toEqual([CLOSED, 1])
  })

  it('data with SACK blocks never exceeds the MTU', () => {
    const peer = new RawPeer()
    const timestamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1]
    const { tcb, flow } = peer.open({ options: [2, 4, 5, 180, 4, 2, 1, 1, ...timestamps] })
    for (const hole of [100, 300, 500, 700])
      flow.segment({ payload: ascending(10), options: timestamps }, hole)
    peer.stack.tcp.send(tcb, ascending(5000), 0, peer.clock.now())
    const seen = peer.poll().filter((segment) => segment.payload.length > 0)
    expect(seen.length).toBeGreaterThan(1)
    for (const segment of seen) {
      expect(40 + segment.options.length + segment.payload.length).toBeLessThanOrEqual(1500)
      expect(segment.options.length).toBe(40)
    }
    for (let i = 0; i < 3; i++) flow.segment({ options: timestamps })
    for (const segment of peer.pass(3_000_000)) {
      expect(40 + segment.options.length + segment.payload.length).toBeLessThanOrEqual(1500)
    }
  })
})

describe('restarting a queue', () => {
  it('leaves data received before readable in its old pool, and reuses a pool id only when nobody names it', () => {
    const pair = new StackPair({ niovs: 32 })
    const [client, server] = pair.open()
    const expected: number[] = []
    for (let round = 0; round < 6; round++) {
      const bytes = ascending(3000, round)
      pair.client.tcp.send(client, bytes, 0, pair.clock.now())
      expected.push(...bytes)
      expect(pair.runUntil(() => server.rcv.queuedBytes === expected.length)).toBe(true)
      pair.server.provide(plainMemory(16 + round))
    }
    expect(pair.server.memory.pools.length).toBe(7)
    for (const pool of pair.server.memory.pools) expect(pair.server.census(pool).lost).toBe(0)
    expect([...drain(pair.server, server)]).toEqual(expected)
    for (let round = 0; round < 300; round++) pair.server.provide(plainMemory(16))
    expect(pair.server.memory.pools.length).toBe(7)
    expect(pair.server.census()).toMatchObject({ total: 16, lost: 0, queued: 0 })
    pair.client.tcp.send(client, ascending(30_000), 0, pair.clock.now())
    let got = 0
    const done = pair.runUntil(() => {
      got += drain(pair.server, server).length
      return got === 30_000
    })
    expect(done).toBe(true)
  })

  it('that the NIC refuses changes nothing', () => {
    const pair = new StackPair({ niovs: 32 })
    const [client, server] = pair.open()
    expect(() => pair.server.provide(plainMemory(512, 256))).toThrow(/headroom/)
    expect(pair.server.census()).toMatchObject({ total: 32, lost: 0 })
    pair.client.tcp.send(client, ascending(5000), 0, pair.clock.now())
    expect(pair.runUntil(() => server.rcv.queuedBytes === 5000)).toBe(true)
    expect([server.state === CLOSE_WAIT, SERVER !== null]).toEqual([false, true])
  })
})

describe('dynamic right-sizing', () => {
  /** Sends `bytes` in pieces, one each `everyUs`, over a path with the given delay; the server's largest window. */
  function windowAfter(bytes: number, piece: number, everyUs: number, delayUs: number): number {
    const pair = new StackPair({ niovs: 8192, mtu: 9000, impairments: { delayUs, rate: 1e9 } })
    const [client, server] = pair.open()
    const data = new Uint8Array(piece)
    let given = 0
    let next = pair.clock.now()
    let received = 0
    let largest = 0
    for (let turn = 0; received < bytes; turn++) {
      expect(turn).toBeLessThan(1_000_000)
      while (given < bytes && pair.clock.now() >= next) {
        const taken = pair.client.tcp.send(client, data, 0, pair.clock.now())
        if (taken === 0) break
        given += taken
        next += everyUs
      }
      received += drain(pair.server, server).length
      largest = Math.max(largest, server.rcv.window())
      // Nothing under way: until the next piece is due.
      if (!pair.step()) pair.clock.advanceTo(next)
    }
    return largest
  }

  it('lets a fast sender fill a long path: twice what a round trip brings', () => {
    // 1 Gbit/s over 50 ms is 6.25 MB.
    const largest = windowAfter(60_000_000, 1 << 20, 0, 25_000)
    expect(largest).toBeGreaterThan(8_000_000)
    expect(largest).toBeLessThanOrEqual(65_535 << 8)
  })

  it('promises little to who sends little, however long', () => {
    expect(windowAfter(4_000_000, 10_000, 100_000, 25_000)).toBeLessThan(300_000)
  })
})
