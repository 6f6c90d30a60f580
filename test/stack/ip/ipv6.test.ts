import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { get32 } from '../../../bytes.ts'
import { dropsByCause } from '../../../stack/counters.ts'
import { checksumOk, ether, type IpSpec, icmp, ip6, type Parsed, parse } from '../../support/ip-frames.ts'
import { runs } from '../../support/long.ts'
import { ascending, RawPeer } from '../../support/raw-peer.ts'
import { SERVER6, StackPair } from '../../support/stack-pair.ts'

const request = icmp(6, 128, 0, 0x00010002, ascending(24))
type Extension = [number, number[]]
const options = (...bytes: number[]): number[] => {
  const all = [0, 0, ...bytes]
  while (all.length % 8 !== 0) all.push(0)
  all[1] = all.length / 8 - 1
  return all
}
const routing = (type: number, left: number): number[] => [0, 0, type, left, 0, 0, 0, 0]

function send(
  extensions: Extension[],
  spec: IpSpec = {},
  payload: Uint8Array = request,
): [Parsed[], Record<string, number>] {
  const peer = new RawPeer()
  peer.inject(ether(0x86dd, ip6(payload, { protocol: 58, ...spec }, extensions)))
  const sent = peer.others.map(parse)
  for (const packet of sent) expect(checksumOk(packet)).toBe(true)
  expect(peer.stack.census().lost).toBe(0)
  return [sent, dropsByCause(peer.stack.counters)]
}

/** Type, code and pointer of the only answer. */
function problem(sent: Parsed[]): number[] {
  expect(sent.length).toBe(1)
  const { payload } = sent[0]!
  return [payload[0]!, payload[1]!, new DataView(payload.buffer).getUint32(4)]
}

describe('a flow label (RFC 6437)', () => {
  it('is one per connection, and differs from the next one’s', () => {
    const pair = new StackPair({ version: 6 })
    const labels: number[][] = []
    const commit = pair.client.nic.txCommit.bind(pair.client.nic)
    let current: number[] = []
    pair.client.nic.txCommit = (offset, length) => {
      const frame = pair.client.nic.txMemory
      if (frame[offset + 20] === 6) current.push(get32(frame, offset + 14) & 0xfffff)
      commit(offset, length)
    }
    const listener = pair.server.tcp.listen(SERVER6, 9000, 16)!
    for (let i = 0; i < 3; i++) {
      current = []
      labels.push(current)
      const [client] = pair.open(listener)
      pair.client.tcp.send(client, new Uint8Array(5000), 0, pair.clock.now())
      pair.settle()
      expect(current.length).toBeGreaterThan(4)
      expect(new Set(current).size).toBe(1)
    }
    expect(new Set(labels.map(([label]) => label)).size).toBe(3)
  })
})

describe('extension headers (RFC 8200 section 4)', () => {
  it.each<[string, Extension[]]>([
    ['none', []],
    ['hop-by-hop with a router alert', [[0, options(5, 2, 0, 0)]]],
    [
      'hop-by-hop and destination options that may be skipped',
      [
        [0, options(0x1e, 2, 1, 2)],
        [60, options(0x3f, 0)],
      ],
    ],
    ['a routing header that has arrived', [[43, routing(0, 0)]]],
    ['eight of them', Array.from({ length: 8 }, () => [60, options(1, 2, 0, 0)] as Extension)],
  ])('are walked: %s', (_what, extensions) => {
    const [sent, drops] = send(extensions)
    expect(drops).toEqual({})
    expect(sent[0]!.payload[0]).toBe(129)
  })

  it.each<[string, Extension[], IpSpec, number[], Record<string, number>]>([
    ['an unknown next header', [], { protocol: 200 }, [4, 1, 6], { protocol: 1 }],
    ['one behind options', [[60, options()]], { protocol: 200 }, [4, 1, 40], { protocol: 1 }],
    ['AH', [], { protocol: 51 }, [4, 1, 6], { protocol: 1 }],
    [
      'hop-by-hop that comes second',
      [
        [60, options()],
        [0, options()],
      ],
      {},
      [4, 1, 40],
      { protocol: 1 },
    ],
    [
      'a routing header of type 0 with a segment left',
      [[43, routing(0, 1)]],
      {},
      [4, 0, 42],
      { extension: 1 },
    ],
    [
      'one of another type',
      [
        [60, options()],
        [43, routing(4, 1)],
      ],
      {},
      [4, 0, 50],
      { extension: 1 },
    ],
    ['an option that says so (10)', [[60, options(0x80, 0)]], {}, [4, 2, 42], { extension: 1 }],
    [
      'one that says so unless multicast (11)',
      [[0, options(1, 0, 0xc0, 0)]],
      {},
      [4, 2, 44],
      { extension: 1 },
    ],
  ])('are answered with a parameter problem: %s', (_what, extensions, spec, expected, counted) => {
    const [sent, drops] = send(extensions, spec)
    expect(problem(sent)).toEqual(expected)
    expect(drops).toEqual(counted)
  })

  it.each<[string, Extension[], IpSpec, Record<string, number>]>([
    ['no next header', [], { protocol: 59 }, { protocol: 1 }],
    ['nine headers', Array.from({ length: 9 }, () => [60, options()] as Extension), {}, { extension: 1 }],
    ['an option that says so (01)', [[60, options(0x40, 0)]], {}, { extension: 1 }],
    ['a header beyond the packet', [[60, [0, 200, 0, 0, 0, 0, 0, 0]]], {}, { malformed: 1 }],
    ['an option beyond its header', [[60, [0, 0, 0x1e, 5, 0, 0, 0, 0]]], {}, { malformed: 1 }],
    ['a header cut short', [], { protocol: 60 }, { malformed: 1 }],
    ['from a group', [], { source: IpAddress.parse('ff02::1')! }, { notForUs: 1 }],
    ['from ::1', [], { source: IpAddress.parse('::1')! }, { notForUs: 1 }],
    ['to somebody else', [], { destination: IpAddress.parse('2001:db8::3')! }, { notForUs: 1 }],
  ])('are dropped in silence: %s', (_what, extensions, spec, counted) => {
    const payload = spec.protocol === 60 ? Uint8Array.of(58, 0, 1) : request
    const [sent, drops] = send(extensions, spec, payload)
    expect([sent, drops]).toEqual([[], counted])
  })

  it.each<[string, number, number]>([
    ['an echo request', 128, 1],
    ['an unreachable', 1, 0],
    ['a redirect', 137, 0],
  ])('whose options we refuse are answered only before what is no error: %s', (_what, type, answers) => {
    const message = icmp(6, type, 0, 0, ascending(40))
    const [sent, drops] = send(
      [
        [43, routing(0, 0)],
        [60, options(0x80, 0)],
      ],
      {},
      message,
    )
    expect([sent.length, drops]).toEqual([answers, { extension: 1 }])
  })

  it('that an IPv4 address hides in are nobody’s (RFC 4942 2.2)', () => {
    const peer = new RawPeer()
    const frame = ether(0x86dd, ip6(request, { protocol: 58 }))
    const source = frame.slice()
    source.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1], 22)
    const destination = frame.slice()
    destination.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 2], 38)
    peer.inject(source)
    peer.inject(destination)
    expect(dropsByCause(peer.stack.counters)).toEqual({ notForUs: 2 })
  })

  it('whatever they are, neither throw nor lose a niov, and every frame is counted once', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.constantFrom(0, 43, 44, 60, 51, 6, 58, 59, 17),
            fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 8, maxLength: 32 }),
          ),
          { maxLength: 12 },
        ),
        fc.uint8Array({ maxLength: 64 }),
        fc.constantFrom(6, 58, 60, 44, 0, 43),
        fc.integer({ min: 0, max: 400 }),
        (extensions, payload, protocol, length) => {
          const peer = new RawPeer()
          const frame = ether(0x86dd, ip6(payload, { protocol }, extensions))
          peer.inject(frame)
          peer.inject(frame.slice(0, Math.max(15, length)))
          peer.pass(61_000_000)
          const census = peer.stack.census()
          expect([census.lost, census.queued]).toEqual([0, 0])
          const { counters } = peer.stack
          const dropped = Object.values(dropsByCause(counters)).reduce((sum, count) => sum + count, 0)
          expect(dropped + counters.icmpEchoReplies).toBe(counters.rxFrames)
        },
      ),
      { numRuns: runs(500) },
    )
  })

  it('of a packet to a group of ours are answered only where RFC 4443 2.4 (e.3) allows it', () => {
    const group = IpAddress.parse(`ff02::1:ff00:${SERVER6.w3.toString(16)}`)!
    expect(problem(send([[60, options(0x80, 0)]], { destination: group })[0])).toEqual([4, 2, 42])
    expect(send([[60, options(0xc0, 0)]], { destination: group })[0]).toEqual([])
    expect(send([], { destination: group, protocol: 200 })[0]).toEqual([])
  })
})
