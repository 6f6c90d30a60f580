import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dropsByCause } from '../../../stack/counters.ts'
import { checksumOk, ether, fragment6, icmp, ip4, ip6, parse, tcpSegment } from '../../support/ip-frames.ts'
import { runs } from '../../support/long.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { drain, plainMemory, SERVER } from '../../support/stack-pair.ts'

type Version = 4 | 6

/** One fragment of a payload. */
function piece(
  version: Version,
  payload: Uint8Array,
  from: number,
  to: number,
  identification: number,
  protocol: number,
): Uint8Array {
  const more = to < payload.length
  const part = payload.subarray(from, to)
  if (version === 4) {
    return ether(0x800, ip4(part, { protocol, identification, fragment: (more ? 0x2000 : 0) | (from >> 3) }))
  }
  return ether(0x86dd, ip6(part, { protocol }, [fragment6(from, more, identification)]))
}

/** Every fragment of a payload cut at these multiples of eight. */
function cut(
  version: Version,
  payload: Uint8Array,
  cuts: number[],
  identification = 7,
  protocol = 6,
): Uint8Array[] {
  const edges = [0, ...[...new Set(cuts)].sort((a, b) => a - b).filter((at) => at > 0 && at < payload.length)]
  return edges.map((from, i) =>
    piece(version, payload, from, edges[i + 1] ?? payload.length, identification, protocol),
  )
}

function echo(version: Version, bytes: number): Uint8Array {
  return icmp(version, version === 4 ? 8 : 128, 0, 0x12340001, ascending(bytes))
}

/** Echo replies of the stack, put together again. */
function replies(peer: RawPeer, version: Version): Uint8Array[] {
  const whole: Uint8Array[] = []
  let parts: Uint8Array[] = []
  for (const frame of peer.others.splice(0)) {
    const packet = parse(frame)
    expect(packet.version).toBe(version)
    if (packet.fragment === null) expect(checksumOk(packet)).toBe(true)
    else expect(packet.fragment.offset).toBe(parts.reduce((sum, part) => sum + part.length, 0))
    parts.push(packet.payload)
    if (packet.fragment?.more === true) continue
    whole.push(Buffer.concat(parts))
    parts = []
  }
  return whole
}

function expectWhole(peer: RawPeer): void {
  const census = peer.stack.census()
  expect(census.lost).toBe(0)
  if (peer.stack.reassembling === 0) {
    expect(census.queued).toBe(0)
    expect(peer.stack.fragments.used).toBe(0)
  }
}

const version = fc.constantFrom<Version>(4, 6)

describe('fragments', () => {
  it('come together in any cut, order and number of copies; the answer is cut again', () => {
    fc.assert(
      fc.property(
        version,
        fc.integer({ min: 0, max: 9000 }),
        fc.array(fc.integer({ min: 0, max: 1100 }), { maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        fc.constantFrom('area' as const, 'side' as const),
        (version, bytes, cuts, order, placement) => {
          const peer = new RawPeer({ mtu: 9100, placement })
          const request = echo(version, bytes)
          const frames = cut(
            version,
            request,
            cuts.map((at) => at * 8),
            7,
            version === 4 ? 1 : 58,
          )
          // Every fragment once, in some order, copies of some in between.
          const last: Uint8Array[] = []
          for (const frame of frames) last.splice(order.next().value % (last.length + 1), 0, frame)
          let copies = 0
          for (const [i, frame] of last.entries()) {
            if (i > 0 && order.next().value % 3 === 0) {
              peer.inject(last[order.next().value % i]!)
              copies++
            }
            peer.inject(frame)
            expectWhole(peer)
          }
          const [reply, ...more] = replies(peer, version)
          expect(more).toEqual([])
          expect([...reply!.subarray(4)]).toEqual([...request.subarray(4)])
          expect(peer.stack.reassembling).toBe(0)
          if (frames.length > 1) {
            expect(dropsByCause(peer.stack.counters)).toEqual(copies > 0 ? { duplicate: copies } : {})
          }
        },
      ),
      { numRuns: runs(100) },
    )
  })

  it.each<[Version]>([[4], [6]])('of a TCP segment over IPv%i are delivered where they lie', (version) => {
    const peer = new RawPeer()
    const { listener, stack } = peer
    const listen = version === 6 ? stack.tcp.listen(null, 9100, 4)! : listener
    const destinationPort = version === 6 ? 9100 : 9000
    const frame = (tcp: object): Uint8Array => {
      const segment = tcpSegment(version, { destinationPort, ...tcp })
      return version === 4 ? ether(0x800, ip4(segment)) : ether(0x86dd, ip6(segment))
    }
    const syn = peer.inject(frame({ seq: 99, flags: 2 }))
    const answer =
      version === 4 ? syn[0]!.seq : new DataView(parse(peer.others.pop()!).payload.buffer).getInt32(4)
    peer.inject(frame({ seq: 100, ack: answer + 1 }))
    const tcb = stack.tcp.accept(listen)!
    const payload = ascending(1000)
    const segment = tcpSegment(version, { destinationPort, seq: 100, ack: answer + 1, payload })
    for (const part of cut(version, segment, [8, 400, 960]).reverse()) peer.inject(part)
    expect(stack.counters.reassembled).toBe(1)
    expect(stack.counters.copiedBytes).toBe(0)
    expect([...drain(stack, tcb)]).toEqual([...payload])
    // The second time all of it is old.
    for (const part of cut(version, segment, [16, 800])) peer.inject(part)
    expect(stack.counters.dropDuplicate).toBe(1)
    expectWhole(peer)
  })

  it('that overlap end the datagram, whatever still comes of it (RFC 5722)', () => {
    fc.assert(
      fc.property(
        version,
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        (version, from, length, otherFrom, otherLength) => {
          const overlap = from < otherFrom + otherLength && otherFrom < from + length
          const same = from === otherFrom && length === otherLength
          fc.pre(overlap && !same)
          const peer = new RawPeer()
          const whole = echo(version, 1000)
          const protocol = version === 4 ? 1 : 58
          peer.inject(piece(version, whole, from * 8, (from + length) * 8, 1, protocol))
          peer.inject(piece(version, whole, otherFrom * 8, (otherFrom + otherLength) * 8, 1, protocol))
          expect(dropsByCause(peer.stack.counters)).toEqual({ fragmentOverlap: 2 })
          expect(peer.stack.census().queued).toBe(0)
          for (const frame of cut(version, whole, [504], 1, protocol)) peer.inject(frame)
          expect(dropsByCause(peer.stack.counters)).toEqual({ fragmentOverlap: 2, fragment: 2 })
          expect(replies(peer, version)).toEqual([])
          peer.pass(61_000_000)
          expect(peer.stack.reassembling).toBe(0)
          expectWhole(peer)
        },
      ),
      { numRuns: runs(60) },
    )
  })

  it.each<[Version, number]>([
    [4, 30],
    [6, 60],
  ])('of IPv%i wait %i seconds; whose first came is told', (version, seconds) => {
    const peer = new RawPeer()
    const whole = echo(version, 100)
    const [first, second] = cut(version, whole, [48], 3, version === 4 ? 1 : 58)
    peer.inject(first!)
    peer.inject(cut(version, whole, [48], 4, version === 4 ? 1 : 58)[1]!)
    peer.pass(seconds * 1_000_000 - 10_000)
    expect([peer.others.length, peer.stack.reassembling]).toEqual([0, 2])
    peer.pass(20_000)
    expect(peer.stack.reassembling).toBe(0)
    expect(peer.others.length).toBe(1)
    const error = parse(peer.others.pop()!)
    expect(checksumOk(error)).toBe(true)
    expect([...error.payload.subarray(0, 2)]).toEqual([version === 4 ? 11 : 3, 1])
    expect([...error.payload.subarray(8)]).toEqual([...first!.subarray(14, 14 + error.payload.length - 8)])
    expect(dropsByCause(peer.stack.counters)).toEqual({ fragmentTimeout: 2 })
    // Too late: it is the beginning of another one.
    peer.inject(second!)
    expect(peer.stack.reassembling).toBe(1)
    expectWhole(peer)
  })

  it.each<[Version, string, number, boolean]>([
    [4, 'an echo reply', 0, true],
    [4, 'an unreachable', 3, false],
    [4, 'a source quench', 4, false],
    [4, 'a redirect', 5, false],
    [4, 'a time exceeded', 11, false],
    [4, 'a parameter problem', 12, false],
    [6, 'an echo reply', 129, true],
    [6, 'an unreachable', 1, false],
    [6, 'an error of no known type', 127, false],
    [6, 'a redirect', 137, false],
  ])(
    'of IPv%i that were %s, type %i, are told: %s (RFC 1122 3.2.2, RFC 4443 2.4 (e))',
    (version, _what, type, told) => {
      const peer = new RawPeer()
      const message = icmp(version, type, 0, 0, ascending(100))
      peer.inject(cut(version, message, [48], 3, version === 4 ? 1 : 58)[0]!)
      peer.pass(70_000_000)
      expect(dropsByCause(peer.stack.counters)).toEqual({ fragmentTimeout: 1 })
      expect(peer.others.length).toBe(told ? 1 : 0)
      expect(peer.stack.counters.icmpErrorsSent).toBe(told ? 1 : 0)
    },
  )

  it('are bounded per source, over all, and in number', () => {
    const peer = new RawPeer({ ip: { maxDatagrams: 4, maxDatagramsPerSource: 2, maxFragments: 3 } })
    const whole = echo(4, 400)
    for (let id = 0; id < 10; id++) peer.inject(cut(4, whole, [48], id, 1)[0]!)
    expect(peer.stack.reassembling).toBe(2)
    expect(dropsByCause(peer.stack.counters)).toEqual({ fragmentLimit: 8 })
    for (let id = 0; id < 10; id++) peer.inject(cut(6, echo(6, 400), [48], id, 58)[0]!)
    expect(peer.stack.reassembling).toBe(4)
    // The last one is still good, unless it has too many parts.
    for (const frame of cut(4, whole, [48], 9, 1)) peer.inject(frame)
    expect(replies(peer, 4).length).toBe(1)
    for (const frame of cut(4, whole, [48, 96, 144], 50, 1)) peer.inject(frame)
    expect(replies(peer, 4).length).toBe(0)
    expectWhole(peer)
  })

  it('never hold more than an eighth of the area', () => {
    const peer = new RawPeer({ niovs: 256 })
    const whole = echo(6, 1200)
    for (let id = 0; id < 64; id++)
      for (const frame of cut(6, whole, [400, 800], id, 58).slice(1)) peer.inject(frame)
    expect(peer.stack.census().queued).toBeLessThanOrEqual(32)
    expectWhole(peer)
    peer.pass(61_000_000)
    expect(peer.stack.census().queued).toBe(0)
  })

  it.each<[string, Uint8Array]>([
    ['IPv4: not a multiple of eight', ether(0x800, ip4(new Uint8Array(15), { fragment: 0x2000 }))],
    ['IPv4: beyond 65535 bytes', ether(0x800, ip4(new Uint8Array(64), { fragment: 0x1fff }))],
    ['IPv4: empty', ether(0x800, ip4([], { fragment: 0x2000 }))],
    ['IPv6: not a multiple of eight', ether(0x86dd, ip6(new Uint8Array(15), {}, [fragment6(0, true, 1)]))],
    ['IPv6: beyond 65535 bytes', ether(0x86dd, ip6(new Uint8Array(64), {}, [fragment6(65_528, false, 1)]))],
    ['IPv6: empty', ether(0x86dd, ip6([], {}, [fragment6(8, false, 1)]))],
  ])('that lie are dropped: %s', (_what, frame) => {
    const peer = new RawPeer()
    peer.inject(frame)
    expect(dropsByCause(peer.stack.counters)).toEqual({ fragment: 1 })
    expectWhole(peer)
  })

  it('that contradict each other about the end are dropped', () => {
    const peer = new RawPeer()
    peer.inject(ether(0x800, ip4(new Uint8Array(16), { fragment: 4 })))
    peer.inject(ether(0x800, ip4(new Uint8Array(16), { fragment: 8 })))
    expect(dropsByCause(peer.stack.counters)).toEqual({ fragment: 2 })
    peer.inject(ether(0x86dd, ip6(new Uint8Array(16), {}, [fragment6(64, true, 1)])))
    peer.inject(ether(0x86dd, ip6(new Uint8Array(16), {}, [fragment6(16, false, 1)])))
    expect(dropsByCause(peer.stack.counters)).toEqual({ fragment: 4 })
  })

  it('that are whole datagrams have nothing to do with others (RFC 6946)', () => {
    const peer = new RawPeer()
    const request = echo(6, 64)
    peer.inject(cut(6, request, [48], 5, 58)[0]!)
    peer.inject(ether(0x86dd, ip6(request, { protocol: 58 }, [fragment6(0, false, 5)])))
    expect(replies(peer, 6).length).toBe(1)
    for (let i = 0; i < 200; i++) {
      peer.inject(ether(0x86dd, ip6(request, { protocol: 58 }, [fragment6(0, false, i)])))
    }
    expect([peer.stack.reassembling, replies(peer, 6).length]).toEqual([1, 200])
    peer.inject(cut(6, request, [48], 5, 58)[1]!)
    expect(replies(peer, 6).length).toBe(1)
    expectWhole(peer)
  })

  it.each<[string, number[], number, number]>([
    ['marked if one of them is', [2, 3, 2], 1, 0],
    ['not marked if none is', [2, 2, 2], 1, 0],
    ['dropped if a mark is on what can’t be marked', [0, 3, 0], 0, 3],
  ])('with ECN are %s (RFC 3168 5.3)', (_what, codepoints, answered, dropped) => {
    const peer = new RawPeer()
    for (const [i, frame] of cut(6, echo(6, 300), [96, 200], 5, 58).entries()) {
      frame[15]! |= codepoints[i]! << 4
      peer.inject(frame)
    }
    expect([replies(peer, 6).length, peer.stack.counters.dropFragment]).toEqual([answered, dropped])
    expectWhole(peer)
  })

  it('outlast a restart of the queue over other memory', () => {
    const peer = new RawPeer()
    const [first, second] = cut(4, echo(4, 1000), [504], 5, 1)
    peer.inject(first!)
    const old = peer.stack.memory.pool
    peer.stack.provide(plainMemory(64))
    peer.inject(second!)
    expect(replies(peer, 4).length).toBe(1)
    expectWhole(peer)
    expect([old.retired, old.freeCount]).toEqual([true, old.total])
  })

  it('at an address of the host are put together too, and what is no TCP is left to the host', () => {
    const peer = new RawPeer({ own: false })
    for (const frame of cut(4, echo(4, 100), [48], 5, 1)) peer.inject(frame)
    expect(peer.others).toEqual([])
    expect(dropsByCause(peer.stack.counters)).toEqual({ icmp: 1 })
    expect(peer.stack.link.isOwn(SERVER)).toBe(false)
    expectWhole(peer)
  })
})
