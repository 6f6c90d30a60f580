import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { seededEntropy } from '../../../stack/entropy.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED } from '../../../stack/ip/neighbours.ts'
import { SYN } from '../../../stack/wire/tcp.ts'
import { runs } from '../../support/long.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { drain, StackPair } from '../../support/stack-pair.ts'

const WSCALE = [3, 3, 7, 0]
const SECOND = 1_000_000
/** 16 MiB. */
const NIOVS = 4096

/** A connection that sends and is read: the window that it comes to. */
function windowOf(peer: RawPeer, sourcePort: number, rounds = 40): number {
  const { tcb, flow } = peer.open({ sourcePort, options: WSCALE })
  let window = 0
  for (let round = 0; round < rounds; round++) {
    for (let left = Math.min(tcb.rcv.window(), 400_000); left >= 1400; left -= 1400)
      flow.data(ascending(1400))
    drain(peer.stack, tcb)
    peer.pass(10_000)
    window = Math.max(window, tcb.rcv.window())
  }
  return window
}

/** Sends full segments for as long as the window takes them. */
function fill({ tcb, flow }: ReturnType<RawPeer['open']>): void {
  for (let i = 0; i < 500 && tcb.rcv.window() >= 1400; i++) {
    flow.seq = tcb.rcv.nxt
    flow.data(ascending(1400))
  }
}

describe('the area is shared by niovs', () => {
  it('half-open connections are promised nothing, however many', () => {
    const peer = new RawPeer({ niovs: NIOVS, backlog: 2048 })
    const alone = windowOf(new RawPeer({ niovs: NIOVS }), 1)
    for (let port = 10_000; port < 11_000; port++) peer.send({ flags: SYN, seq: port, sourcePort: port })
    expect(peer.stack.tcp.window.promised).toBe(0)
    expect(windowOf(peer, 1)).toBeGreaterThan(alone * 0.9)
  })

  it('connections that have sent nothing are promised little, and leave the one that sends nearly all', () => {
    const alone = windowOf(new RawPeer({ niovs: NIOVS }), 1)
    const peer = new RawPeer({ niovs: NIOVS, backlog: 2048 })
    const idle = []
    for (let port = 10_000; port < 10_500; port++)
      idle.push(peer.open({ sourcePort: port, options: WSCALE }).tcb)
    // Half of the area, as two segments are charged with two niovs each before their size is known.
    expect(peer.stack.tcp.window.promised).toBeLessThanOrEqual(NIOVS * 0.65)
    expect(idle[499]!.rcv.promised).toBeLessThanOrEqual(4)
    expect(windowOf(peer, 1)).toBeGreaterThan(alone * 0.9)
    expect(peer.stack.counters.dropNoMemory).toBe(0)
  })

  it('connections that send a byte a second take no share from the one that sends', () => {
    const alone = windowOf(new RawPeer({ niovs: NIOVS }), 1)
    const peer = new RawPeer({ niovs: NIOVS, backlog: 2048 })
    const drips = Array.from({ length: 400 }, (_, i) =>
      peer.open({ sourcePort: 10_000 + i, options: WSCALE }),
    )
    for (let i = 0; i < 3; i++) {
      for (const { flow, tcb } of drips) {
        flow.data(ascending(1))
        drain(peer.stack, tcb)
      }
      peer.pass(SECOND)
    }
    expect(windowOf(peer, 1)).toBeGreaterThan(alone * 0.9)
  })

  it('who has sent and is idle lends what it was promised, and is charged again when it sends', () => {
    const peer = new RawPeer({ niovs: 512 })
    const first = peer.open({ sourcePort: 1, options: WSCALE })
    for (let i = 0; i < 200; i++) {
      first.flow.data(ascending(1400))
      drain(peer.stack, first.tcb)
      peer.pass(1000)
    }
    const before = first.tcb.rcv.promised
    const edge = first.tcb.rcv.adv
    expect(before).toBeGreaterThan(30)
    // Others come, and are not read.
    const others = Array.from({ length: 12 }, (_, i) => peer.open({ sourcePort: 100 + i, options: WSCALE }))
    for (let i = 0; i < 6; i++) {
      for (const each of others) fill(each)
      peer.pass(SECOND)
    }
    expect(first.tcb.rcv.promised).toBeLessThanOrEqual(4)
    expect(first.tcb.rcv.adv).toBe(edge)
    first.flow.data(ascending(1400))
    expect(drain(peer.stack, first.tcb).length).toBe(1400)
    for (const { tcb } of others) drain(peer.stack, tcb)
    peer.poll()
    // A segment or two make no sender of it, and the others are idle now.
    for (let i = 0; i < 40; i++) {
      first.flow.data(ascending(1400))
      drain(peer.stack, first.tcb)
      peer.pass(100_000)
    }
    expect([first.tcb.rcv.lent, peer.stack.counters.dropNoMemory]).toEqual([false, 0])
    expect(first.tcb.rcv.promised).toBeGreaterThan(20)
  })

  it('a sender among many idle ones keeps the share of the ring in front of the stack', () => {
    const peer = new RawPeer({ niovs: NIOVS, backlog: 2048 })
    const { memory } = peer.stack
    Object.assign(memory, { ringPackets: 256 })
    for (let port = 10_000; port < 10_400; port++) peer.open({ sourcePort: port, options: WSCALE })
    expect(windowOf(peer, 1)).toBeGreaterThan(40 * 1400)
  })

  it('promises never exceed what is there, but for two segments to each', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(256, 1024),
        fc.array(
          fc.record({
            who: fc.nat({ max: 9 }),
            length: fc.integer({ min: 1, max: 1400 }),
            times: fc.integer({ min: 1, max: 30 }),
            drain: fc.boolean(),
            us: fc.constantFrom(0, 1000, SECOND),
          }),
          { maxLength: 40 },
        ),
        (niovs, steps) => {
          const peer = new RawPeer({ niovs })
          const flows = Array.from({ length: 10 }, (_, i) =>
            peer.open({ sourcePort: i + 1, options: WSCALE }),
          )
          for (const step of steps) {
            const { tcb, flow } = flows[step.who]!
            for (let i = 0; i < step.times && tcb.rcv.window() >= step.length; i++) {
              flow.seq = tcb.rcv.nxt
              const { dropNoMemory } = peer.stack.counters
              const { lent } = tcb.rcv
              flow.data(ascending(step.length))
              // Only who has lent its promise may have to wait.
              if (!lent) expect(peer.stack.counters.dropNoMemory).toBe(dropNoMemory)
            }
            if (step.drain) drain(peer.stack, tcb)
            peer.pass(step.us)
            const { memory } = peer.stack
            const { window } = peer.stack.tcp
            const least = flows.length * Math.ceil((2 * 1448) / 700)
            expect(window.promised).toBeLessThanOrEqual(Math.max(0, memory.available()) + least)
            let queued = 0
            for (const each of flows) queued += each.tcb.rcv.niovs + each.tcb.rcv.ooo.niovs
            expect(queued).toBe(peer.stack.fragments.niovs)
          }
        },
      ),
      { numRuns: runs(60) },
    )
  })
})

describe('what one connection can pin', () => {
  const kinds: [string, (i: number) => number][] = [
    ['one-byte segments behind one missing byte', (i) => 1 + i],
    ['one-byte segments with a byte missing between any two', (i) => 1 + 2 * i],
    ['one-byte segments in reverse order', (i) => 20_000 - i],
  ]
  it.each(kinds)('%s: a part of the area, and all of it is given back', (_what, at) => {
    const peer = new RawPeer({ niovs: 1024 })
    const { tcb, flow } = peer.open({ options: WSCALE })
    const start = flow.seq
    for (let i = 0; i < 5000; i++) flow.segment({ seq: (start + at(i)) | 0, payload: Uint8Array.of(i) })
    // A sixteenth of it, and what it takes packed.
    expect(peer.stack.census().queued).toBeLessThanOrEqual(64 + 10)
    expect(tcb.rcv.ooo.niovs).toBeGreaterThan(0)
    expect(peer.stack.census().lost).toBe(0)
    peer.pass(29 * SECOND)
    expect(tcb.rcv.ooo.count).toBeGreaterThan(0)
    peer.pass(3 * SECOND)
    expect(tcb.rcv.ooo.count).toBe(0)
    expect(peer.stack.counters.reneged).toBeGreaterThan(900)
    expect(peer.stack.census()).toMatchObject({ queued: 0, lost: 0 })
  })

  it('bytes packed beyond a hole are delivered as they were sent', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 100, maxLength: 160 }),
        fc.integer(),
        (sizes, seed) => {
          const peer = new RawPeer({ niovs: 64 })
          const { tcb, flow } = peer.open({ options: WSCALE })
          const start = flow.seq
          let end = 0
          const pieces = sizes.map((size) => {
            const from = end
            end += size
            return { from, size }
          })
          const all = ascending(Math.min(end, 30_000), 3)
          const random = seededEntropy(seed)
          const order = pieces
            .filter(({ from, size }) => from > 0 && from + size <= all.length)
            .map((piece) => ({ piece, key: random() }))
            .sort((a, b) => a.key - b.key)
          for (const { piece } of order) {
            flow.segment({
              seq: (start + piece.from) | 0,
              payload: all.slice(piece.from, piece.from + piece.size),
            })
          }
          // What was dropped for want of memory comes again, in order.
          for (let sent = 0; tcb.rcv.queuedBytes < all.length && sent < 400; sent++) {
            const at = (tcb.rcv.nxt - start) | 0
            flow.segment({ seq: tcb.rcv.nxt, payload: all.slice(at, at + 500) })
          }
          expect([...drain(peer.stack, tcb)]).toEqual([...all])
          expect(peer.stack.fragments.used).toBe(0)
          expect(peer.stack.census()).toMatchObject({ lost: 0 })
          return true
        },
      ),
      { numRuns: runs(30) },
    )
  })

  it('small segments that nobody reads are packed, also beside a hole', () => {
    for (const hole of [false, true]) {
      const peer = new RawPeer({ niovs: 1024 })
      const { tcb, flow } = peer.open({ options: WSCALE })
      if (hole) flow.segment({ payload: ascending(1) }, 60_000)
      let sent = 0
      for (; sent < 5000; sent++) flow.data(Uint8Array.of(sent))
      expect(tcb.rcv.queuedBytes).toBe(sent)
      expect(peer.stack.census().queued).toBeLessThanOrEqual(64 + 10)
      expect([...drain(peer.stack, tcb)]).toEqual([...ascending(sent)])
    }
  })

  it('what stands behind holes is given up after a second when others wait for memory', () => {
    const peer = new RawPeer({ niovs: 256 })
    const { tcb, flow } = peer.open({ sourcePort: 1, options: WSCALE })
    for (let i = 1; i < 40; i++) flow.segment({ seq: (flow.seq + i * 1400) | 0, payload: ascending(1400) })
    expect(tcb.rcv.ooo.niovs).toBeGreaterThan(20)
    const others = [2, 3, 4, 5, 6, 7].map((sourcePort) => peer.open({ sourcePort, options: WSCALE }))
    for (let i = 0; i < 8; i++) {
      for (const other of others) fill(other)
      peer.pass(400_000)
    }
    expect(tcb.rcv.ooo.count).toBe(0)
    expect(peer.stack.counters.reneged).toBeGreaterThan(20_000)
  })
})

describe('numbers of segments without data', () => {
  it('lie within the window of a peer that does not read: Linux discards what lies beyond, and all it acknowledges', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    const una = tcb.snd.una
    flow.segment({ window: 0 })
    peer.stack.tcp.send(tcb, ascending(1000), 0, peer.clock.now())
    // The probe carries the byte behind the window.
    const probe = peer.pass(2 * SECOND).find((segment) => segment.payload.length === 1)
    expect(probe).toMatchObject({ seq: una })
    for (const answer of [
      ...flow.data(ascending(1400), { window: 0 }),
      ...flow.data(ascending(1400), { window: 0 }),
    ])
      if (answer.payload.length === 0) expect(answer.seq).toBe(una)
    peer.stack.tcp.abort(tcb)
    const reset = peer.poll().find((segment) => (segment.flags & 4) !== 0)
    expect(reset).toMatchObject({ seq: una })
  })
})

describe('neighbours', () => {
  it('that live connections go through survive a flood of solicitations, and so does who is asked for', () => {
    const pair = new StackPair({ ip: { maxNeighbours: 64 } })
    const [, server] = pair.open()
    const hop = server.remote
    const { neighbours } = pair.server.link
    neighbours.learn(
      hop,
      Uint8Array.of(2, 0, 0, 0, 0, 1),
      server.local,
      LEARN_CREATE | LEARN_OVERRIDE,
      pair.clock.now(),
    )
    const asked = IpAddress.parse('192.0.2.77')!
    neighbours.use(asked, server.local, pair.clock.now())
    const flood = (from: number): void => {
      for (let i = from; i < from + 1000; i++)
        neighbours.learn(
          IpAddress.v4(0x0a00_0000 + i),
          Uint8Array.of(2, 0, 0, 0, 1, i),
          server.local,
          LEARN_CREATE | LEARN_OVERRIDE,
          pair.clock.now(),
        )
    }
    flood(0)
    neighbours.learn(
      asked,
      Uint8Array.of(2, 0, 0, 0, 0, 7),
      server.local,
      LEARN_SOLICITED | LEARN_OVERRIDE,
      pair.clock.now(),
    )
    expect(neighbours.lookup(asked)).not.toBeNull()
    expect(neighbours.lookup(hop)).not.toBeNull()
    pair.clock.advanceTo(pair.clock.now() + 5 * SECOND)
    flood(1000)
    expect(neighbours.lookup(hop)).not.toBeNull()
    // Bounded all the same.
    expect(neighbours.size).toBe(64)
  })
})
