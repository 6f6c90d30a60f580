import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dropsByCause } from '../../../stack/counters.ts'
import type { Stack } from '../../../stack/stack.ts'
import { SocketOptions } from '../../../stack/tcp/socket-options.ts'
import { CLOSED, ESTABLISHED, ETIMEDOUT, SYN_SENT } from '../../../stack/tcp/state.ts'
import type { Listener, Tcb } from '../../../stack/tcp/tcb.ts'
import { framed, tcpSegment } from '../../support/ip-frames.ts'
import { runs } from '../../support/long.ts'
import { Spread, tcpAt } from '../../support/spread.ts'
import { drain } from '../../support/stack-pair.ts'

const SECOND = 1_000_000
const PORT = 9000

function connect(spread: Spread, stack: Stack, port = PORT, localPort = 0, options?: SocketOptions): Tcb {
  const { address, peerAddress, clock } = spread
  return stack.tcp.connect(address, localPort, peerAddress, port, clock.now(), options)!
}

function listen(spread: Spread, port = PORT): Listener {
  return spread.peer.tcp.listen(spread.peerAddress, port, 100)!
}

/** The local port of a frame to the interface. */
function portOf(frame: Uint8Array): number {
  const at = tcpAt(frame)
  return at < 0 ? -1 : (frame[at + 2]! << 8) | frame[at + 3]!
}

/** The local port of a frame from it. */
function portFrom(frame: Uint8Array): number {
  const at = tcpAt(frame)
  return at < 0 ? -1 : (frame[at]! << 8) | frame[at + 1]!
}

function flagsAndSequence(frame: Uint8Array): [number, number] {
  const at = tcpAt(frame)
  return [frame[at + 13]!, new DataView(frame.buffer, frame.byteOffset).getUint32(at + 4)]
}

const sum = (spread: Spread, name: 'portMoves' | 'dropOtherQueue' | 'resetsSent' | 'dropNoSocket'): number =>
  spread.stacks.reduce((total, { counters }) => total + counters[name], 0)

/** All connections end in order, and every port is given back in time. */
function finish(spread: Spread, tcbs: readonly Tcb[]): void {
  for (const [i, tcb] of tcbs.entries())
    spread.stacks[i % spread.stacks.length]!.tcp.close(tcb, spread.clock.now())
  spread.settle()
  for (const tcb of [...spread.peer.tcp])
    if (tcb.state >= ESTABLISHED) spread.peer.tcp.close(tcb, spread.clock.now())
  spread.pass(200 * SECOND)
  expect(spread.ports.map(({ count }) => count)).toEqual(spread.ports.map(() => 0))
  for (let port = 49_152; port < 65_536; port++) {
    for (const ports of spread.ports) {
      if (ports.sibling(port) >= 0 || ports.awaits(port)) throw new Error(`port ${port} is still taken`)
    }
  }
}

describe.each<[4 | 6]>([[4], [6]])('connecting from one of several queues: IPv%i', (version) => {
  it('comes home though most answers go elsewhere, and nothing is left of these at the peer', () => {
    const spread = new Spread({ queues: 4, version, hashSeed: 7 })
    const listener = listen(spread)
    const tcbs = Array.from({ length: 24 }, (_, i) => connect(spread, spread.stacks[i % 4]!))
    expect(spread.runUntil(() => tcbs.every(({ state }) => state === ESTABLISHED), 100_000)).toBe(true)
    const servers = Array.from({ length: 24 }, () => spread.peer.tcp.accept(listener)!)
    expect(servers.map(({ remotePort }) => remotePort).sort()).toEqual(
      tcbs.map((tcb) => tcb.localPort).sort(),
    )
    expect(new Set(tcbs.map((tcb) => tcb.localPort)).size).toBe(24)
    // A reset for each attempt that was left, and no connection half open.
    expect([...spread.peer.tcp].map(({ state }) => state)).toEqual(Array(24).fill(ESTABLISHED))
    const moves = sum(spread, 'portMoves')
    expect([spread.resets, sum(spread, 'resetsSent')]).toEqual([moves, moves])
    // Every one has data both ways.
    for (const [i, tcb] of tcbs.entries())
      spread.stacks[i % 4]!.tcp.send(tcb, Uint8Array.of(i), 0, spread.clock.now())
    spread.runUntil(() => servers.every((server) => server.rcv.queuedBytes > 0), SECOND)
    for (const server of servers) {
      const [i] = drain(spread.peer, server)
      expect(tcbs[i!]!.localPort).toBe(server.remotePort)
    }
    expect(moves).toBeGreaterThan(24)
    expect([sum(spread, 'dropOtherQueue'), spread.wakes]).toEqual([moves, moves])
    // The peer repeats no answer that nobody wanted.
    spread.pass(63 * SECOND)
    expect([sum(spread, 'dropOtherQueue'), spread.wakes]).toEqual([moves, moves])
    expect([spread.resets, sum(spread, 'dropNoSocket')]).toEqual([moves, 0])
    for (const { counters } of spread.stacks) {
      expect(Object.keys(dropsByCause(counters)).filter((cause) => cause !== 'otherQueue')).toEqual([])
    }
    expect(tcbs.every(({ state }) => state === ESTABLISHED)).toBe(true)
    finish(spread, tcbs)
  })
})

describe('a connection that is to come home', () => {
  it('succeeds for any hash and number of queues, and leaves no port behind', () => {
    const cases = fc.record({
      queues: fc.integer({ min: 2, max: 12 }),
      hashSeed: fc.integer(),
      version: fc.constantFrom(4 as const, 6 as const),
      loss: fc.constantFrom(0, 0, 0.2),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(cases, ({ loss, ...options }) => {
        const spread = new Spread({ ...options, impairments: { loss, delayUs: 300 } })
        listen(spread)
        const tcbs = spread.stacks.map((stack) => connect(spread, stack))
        // Where every SYN of one is lost, time is up for it.
        const over = (state: number): boolean => state === ESTABLISHED || (loss > 0 && state === CLOSED)
        expect(spread.runUntil(() => tcbs.every(({ state }) => over(state)), 250 * SECOND)).toBe(true)
        if (loss > 0) return
        expect(spread.resets).toBe(sum(spread, 'portMoves'))
        expect(spread.peer.tcp.connections).toBe(tcbs.length)
        finish(spread, tcbs)
      }),
      {
        numRuns: runs(100, 12),
        examples: [[{ queues: 10, hashSeed: 561605534, version: 4, loss: 0.2, seed: 12 }]],
      },
    )
  })

  it('is reset with the number behind its SYN where it was answered elsewhere, and no other', () => {
    const spread = new Spread({ queues: 2 })
    listen(spread)
    const [stack] = spread.stacks
    const sent: Uint8Array[] = []
    const { bToA } = spread.peerLink
    const { send } = bToA
    bToA.send = (...args) => {
      sent.push(args[0].slice(args[1], args[1] + args[2]))
      send.apply(bToA, args)
    }
    // The first answer goes elsewhere.
    let first = -1
    spread.route = (frame) => {
      if (tcpAt(frame) < 0) return null
      if (first < 0) first = portOf(frame)
      return portOf(frame) === first ? 1 : 0
    }
    const tcb = connect(spread, stack!)
    expect(spread.runUntil(() => tcb.state === ESTABLISHED, SECOND)).toBe(true)
    expect([...spread.peer.tcp].map(({ remotePort }) => remotePort)).toEqual([tcb.localPort])
    expect([first === tcb.localPort, stack!.counters.portMoves]).toEqual([false, 1])
    const left = sent.filter((frame) => portFrom(frame) === first).map(flagsAndSequence)
    const [syn] = left
    // RST without ACK: whose number could not be known.
    expect(left).toEqual([syn, [0x04, (syn![1] + 1) >>> 0]])
  })

  it('whose reset was lost is reset once more by whoever gets the next answer', () => {
    const spread = new Spread({ queues: 2 })
    listen(spread)
    const [stack] = spread.stacks
    const { portMoves } = stack!.counters
    let first = -1
    spread.route = (frame) => {
      if (tcpAt(frame) < 0) return null
      if (first < 0) {
        first = portOf(frame)
        // What leaves for the peer now is the reset, and the SYN from the next port.
        spread.peerLink.bToA.impairments = { loss: 1 }
      }
      return portOf(frame) === first ? 1 : 0
    }
    const tcb = connect(spread, stack!)
    spread.settle()
    expect(stack!.counters.portMoves - portMoves).toBe(1)
    spread.peerLink.bToA.impairments = {}
    expect(spread.runUntil(() => tcb.state === ESTABLISHED, 5 * SECOND)).toBe(true)
    expect(spread.peer.tcp.connections).toBe(2)
    spread.pass(20 * SECOND)
    expect([...spread.peer.tcp].map(({ state }) => state)).toEqual([ESTABLISHED])
    expect([stack!.counters.resetsSent, spread.stacks[1]!.counters.resetsSent]).toEqual([1, 1])
    expect(tcb.state).toBe(ESTABLISHED)
  })

  it('is remembered by its port: the next to the same peer come home at once', () => {
    const spread = new Spread({ queues: 8, hashSeed: 3 })
    const listener = listen(spread)
    const [stack] = spread.stacks
    const once = (): number => {
      const tcb = connect(spread, stack!)
      expect(spread.runUntil(() => tcb.state === ESTABLISHED, SECOND)).toBe(true)
      const server = spread.peer.tcp.accept(listener)!
      const { localPort } = tcb
      // The peer closes first, and has TIME-WAIT.
      spread.peer.tcp.close(server, spread.clock.now())
      spread.settle()
      stack!.tcp.close(tcb, spread.clock.now())
      spread.settle()
      expect(tcb.state).toBe(CLOSED)
      return localPort
    }
    const port = once()
    const moves = stack!.counters.portMoves
    expect([once(), once(), stack!.counters.portMoves]).toEqual([port, port, moves])
    // The device shares out otherwise now: what was known is forgotten.
    spread.route = (frame) => (portOf(frame) === port ? 1 : null)
    expect(once()).not.toBe(port)
    expect(stack!.counters.portMoves).toBeGreaterThan(moves)
  })

  it('tells whoever steers of each port before it sends from there', () => {
    const spread = new Spread({ queues: 4, hashSeed: 11 })
    listen(spread)
    const [stack] = spread.stacks
    const seen: number[] = []
    stack!.tcp.onPortChange = (tcb, old) => {
      seen.push(old)
      expect(tcb.localPort).not.toBe(old)
    }
    const tcb = connect(spread, stack!)
    const first = tcb.localPort
    spread.runUntil(() => tcb.state === ESTABLISHED, SECOND)
    expect([seen.length, seen[0]]).toEqual([stack!.counters.portMoves, first])
    expect(new Set([...seen, tcb.localPort]).size).toBe(seen.length + 1)
    // Whoever can't steer it ends it, and no SYN leaves, but the reset of the one that was answered.
    const other = connect(spread, stack!, PORT + 1)
    listen(spread, PORT + 1)
    stack!.tcp.onPortChange = (moved) => stack!.tcp.abort(moved)
    spread.route = (frame) => (tcpAt(frame) < 0 ? null : 2)
    const frames = stack!.counters.txFrames
    spread.pass(10 * SECOND)
    expect([other.state, stack!.counters.txFrames - frames]).toEqual([CLOSED, 1])
    expect(spread.resets).toBe(stack!.counters.portMoves)
  })

  it('stays where the program has bound it, and times out', () => {
    const spread = new Spread({ queues: 2 })
    listen(spread)
    const [stack] = spread.stacks
    spread.route = (frame) => (tcpAt(frame) < 0 ? null : 1)
    const tcb = connect(spread, stack!, PORT, 40_000)
    spread.pass(300 * SECOND)
    expect([tcb.localPort, tcb.state, tcb.error]).toEqual([40_000, CLOSED, ETIMEDOUT])
    expect([spread.resets, stack!.counters.portMoves, spread.ports[0]!.count]).toEqual([0, 0, 0])
    expect(spread.stacks[1]!.counters.dropOtherQueue).toBeGreaterThan(0)
  })

  it('that never does gives up moving, and times out', () => {
    const spread = new Spread({ queues: 2 })
    listen(spread)
    const [stack] = spread.stacks
    spread.route = (frame) => (tcpAt(frame) < 0 ? null : 1)
    const tcb = connect(spread, stack!)
    spread.settle()
    expect([stack!.counters.portMoves, tcb.state]).toEqual([256, SYN_SENT])
    spread.pass(400 * SECOND)
    expect([tcb.state, tcb.error, spread.ports[0]!.count]).toEqual([CLOSED, ETIMEDOUT, 0])
  })

  it('is tried again from every port when no answer ever came here', () => {
    const spread = new Spread({ queues: 2 })
    listen(spread)
    const [stack] = spread.stacks
    spread.route = (frame) => (tcpAt(frame) < 0 ? null : 1)
    // 16384 ports, 257 of them for each attempt.
    for (let i = 0; i < 70; i++) {
      const tcb = connect(spread, stack!)
      expect(tcb).not.toBeNull()
      spread.settle()
      stack!.tcp.abort(tcb)
      // Peers forget what they have half of.
      for (const half of [...spread.peer.tcp]) spread.peer.tcp.end(half, 0)
    }
    expect(stack!.counters.portMoves).toBeGreaterThan(16_384)
    spread.route = () => null
    const last = connect(spread, stack!)
    expect(spread.runUntil(() => last.state === ESTABLISHED, SECOND)).toBe(true)
  })

  it('is not believed to have gone elsewhere by who did not see the SYN', () => {
    const spread = new Spread({ queues: 2 })
    const [stack] = spread.stacks
    // The neighbour is known, the peer silent.
    listen(spread)
    const first = connect(spread, stack!)
    spread.runUntil(() => first.state === ESTABLISHED, SECOND)
    const moves = stack!.counters.portMoves
    spread.peerLink.bToA.impairments = { loss: 1 }
    const tcb = connect(spread, stack!)
    spread.settle()
    spread.route = () => 1
    const { localPort, snd } = tcb
    for (const ack of [snd.iss, (snd.iss + 2) | 0, 0]) {
      for (const flags of [0x12, 0x14, 0x10]) {
        const segment = { sourcePort: PORT, destinationPort: localPort, ack, flags }
        spread.inject(framed(4, tcpSegment(4, segment)))
      }
    }
    spread.settle()
    expect([tcb.localPort, stack!.counters.portMoves, spread.wakes]).toEqual([localPort, moves, moves])
    expect(spread.stacks[1]!.counters.dropOtherQueue).toBeGreaterThanOrEqual(9)
  })

  it('hears that it is refused where the refusal comes home', () => {
    const spread = new Spread({ queues: 4, hashSeed: 5 })
    const tcbs = spread.stacks.map((stack) => connect(spread, stack, 81))
    spread.runUntil(() => tcbs.every(({ state }) => state === CLOSED), SECOND)
    expect(tcbs.map(({ error }) => error)).toEqual([111, 111, 111, 111])
    expect(sum(spread, 'portMoves')).toBeGreaterThan(0)
    expect(spread.resets).toBe(sum(spread, 'portMoves'))
    finish(spread, [])
  })

  it('keeps what was given to it to send before', () => {
    const spread = new Spread({ queues: 6, hashSeed: 9 })
    const listener = listen(spread)
    const [stack] = spread.stacks
    const tcb = connect(spread, stack!)
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i)
    stack!.tcp.send(tcb, bytes.subarray(0, 4000), 0, spread.clock.now())
    stack!.tcp.send(tcb, bytes.subarray(4000), 0, spread.clock.now(), true)
    spread.runUntil(() => tcb.state === ESTABLISHED, SECOND)
    expect(stack!.counters.portMoves).toBeGreaterThan(0)
    const server = spread.peer.tcp.accept(listener)!
    expect(spread.runUntil(() => server.rcv.queuedBytes === 5000, SECOND)).toBe(true)
    expect(server.urgentBytes()).toBe(5000)
    expect(drain(spread.peer, server)).toEqual(bytes)
  })

  it('goes on where it is when there are no siblings any more', () => {
    const spread = new Spread({ queues: 2, hashSeed: 5 })
    listen(spread)
    const [stack] = spread.stacks
    const one = connect(spread, stack!)
    spread.runUntil(() => one.state === ESTABLISHED, SECOND)
    const two = connect(spread, stack!)
    stack!.siblings = null
    spread.settle()
    const three = connect(spread, stack!)
    for (const tcb of [one, two, three]) stack!.tcp.abort(tcb)
    spread.ports[1]!.abandon(0)
    expect(spread.ports[1]!.sibling(one.localPort)).toBe(-1)
  })

  it('is served by a sibling’s listener at the port that it would have taken', () => {
    const spread = new Spread({ queues: 2 })
    for (const stack of spread.stacks) stack.tcp.listen(spread.address, 80, 8)
    const clients = Array.from({ length: 8 }, () =>
      spread.peer.tcp.connect(spread.peerAddress, 0, spread.address, 80, spread.clock.now()),
    )
    expect(spread.runUntil(() => clients.every((tcb) => tcb!.state === ESTABLISHED), SECOND)).toBe(true)
    expect(spread.stacks.every(({ tcp }) => tcp.connections > 0)).toBe(true)
    expect(spread.ports.map(({ count }) => count)).toEqual([0, 0])
    // And a port that nobody has is still answered with a reset.
    spread.peer.tcp.connect(spread.peerAddress, 0, spread.address, 4711, spread.clock.now())
    spread.settle()
    expect([spread.resets, sum(spread, 'dropOtherQueue')]).toEqual([1, 0])
  })

  it('shares a port with others of its stack, to other peers, but not with a sibling', () => {
    const spread = new Spread({ queues: 2 })
    const [first, second] = spread.stacks
    const one = connect(spread, first!, 81, 50_000, SocketOptions.default)
    const two = connect(spread, first!, 82, 50_000, SocketOptions.default)
    expect([one.portTaken, two.portTaken, spread.ports[0]!.count]).toEqual([true, true, 1])
    const theirs = connect(spread, second!, 83, 50_000, SocketOptions.default)
    expect(theirs.portTaken).toBe(false)
    for (const tcb of [one, two]) first!.tcp.abort(tcb)
    second!.tcp.abort(theirs)
    expect(spread.ports.map(({ count }) => count)).toEqual([0, 0])
  })
})
