import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dropsByCause } from '../../../stack/counters.ts'
import { ether, fragment6, icmp, ip4, ip6, tcpSegment } from '../../support/ip-frames.ts'
import { runs } from '../../support/long.ts'
import { RawPeer } from '../../support/raw-peer.ts'

/** Frames that are right up to a point, of every kind that is parsed. */
const seeds: Uint8Array[] = [
  ether(0x800, ip4(tcpSegment(4, { flags: 2 }))),
  ether(0x86dd, ip6(tcpSegment(6, { flags: 2 }))),
  ether(0x800, ip4(icmp(4, 8, 0, 1, new Uint8Array(40)), { protocol: 1 })),
  ether(0x86dd, ip6(icmp(6, 128, 0, 1, new Uint8Array(40)), { protocol: 58 })),
  ether(0x800, ip4(icmp(4, 3, 4, 1000, ip4(tcpSegment(4, {}))), { protocol: 1 })),
  ether(0x86dd, ip6(icmp(6, 2, 0, 1300, ip6(tcpSegment(6, {}))), { protocol: 58 })),
  ether(0x86dd, ip6(icmp(6, 135, 0, 0, new Uint8Array(28)), { protocol: 58, hopLimit: 255 })),
  ether(0x800, ip4(new Uint8Array(64), { fragment: 0x2000, options: [1, 1, 1, 0] })),
  ether(0x86dd, ip6(new Uint8Array(64), {}, [[0, [0, 0, 1, 4, 0, 0, 0, 0]], fragment6(8, true, 3)])),
  ether(0x806, [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2]),
  ether(0x800, ip4(tcpSegment(4, { flags: 2 })), {
    tags: [
      [0x8100, 0],
      [0x8100, 0],
    ],
  }),
]

describe('damaged frames of every kind', () => {
  it('neither throw nor lose a niov, and each is counted as dropped at most once', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            seed: fc.integer({ min: 0, max: seeds.length - 1 }),
            changes: fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
            length: fc.option(fc.integer({ min: 1, max: 140 }), { freq: 3 }),
          }),
          { minLength: 1, maxLength: 12 },
        ),
        fc.constantFrom('area' as const, 'side' as const),
        (frames, placement) => {
          const peer = new RawPeer({ placement })
          for (const { seed, changes, length } of frames) {
            const frame = seeds[seed]!.slice()
            for (const [at, value] of changes) if (at < frame.length) frame[at] = value
            peer.inject(length === null ? frame : frame.slice(0, Math.min(frame.length, length)))
          }
          peer.pass(61_000_000)
          const { counters } = peer.stack
          const dropped = Object.values(dropsByCause(counters)).reduce((sum, count) => sum + count, 0)
          expect(dropped).toBeLessThanOrEqual(counters.rxFrames)
          expect(peer.stack.reassembling).toBe(0)
          const census = peer.stack.census()
          expect([census.lost, census.queued, peer.stack.fragments.used]).toEqual([0, 0, 0])
        },
      ),
      { numRuns: runs(400) },
    )
  })

  it('from a hardware address that is a group are dropped', () => {
    const peer = new RawPeer()
    peer.inject(seeds[2]!.with(6, 3))
    expect([peer.others.length, dropsByCause(peer.stack.counters)]).toEqual([0, { notForUs: 1 }])
  })
})
