import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Defragmenter } from '../../../pcap/decode/defragment.ts'
import { FRAGMENT, MALFORMED, SEGMENT, SegmentDecoder } from '../../../pcap/decode/segment.ts'
import { fragment6, ip4, ip6, tcpSegment } from '../../support/ip-frames.ts'
import { captured } from './frames.ts'

interface Part {
  offset: number
  bytes: Uint8Array
  more: boolean
}

const noise = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 13 + seed * 101) & 255)

function fragmentOf(version: 4 | 6, { offset, bytes, more }: Part, id = 1): Uint8Array {
  return version === 4
    ? ip4(bytes, { fragment: (offset >> 3) | (more ? 0x2000 : 0), identification: id })
    : ip6(bytes, {}, [fragment6(offset, more, id)])
}

function split(bytes: Uint8Array, size: number): Part[] {
  const parts: Part[] = []
  for (let offset = 0; offset < bytes.length; offset += size) {
    parts.push({ offset, bytes: bytes.subarray(offset, offset + size), more: offset + size < bytes.length })
  }
  return parts
}

class Rig {
  readonly defragmenter = new Defragmenter()
  readonly segment = new SegmentDecoder()

  /** True when this fragment completes a datagram. @param length of it that was captured */
  add(packet: Uint8Array, now = 0, length = packet.length): boolean {
    expect(this.segment.decode(captured(packet, undefined, { length }))).toBe(FRAGMENT)
    return this.defragmenter.add(this.segment, now)
  }

  payload(): Uint8Array {
    expect(this.defragmenter.decode(this.segment)).toBe(SEGMENT)
    const { bytes, payloadAt, payloadBytes } = this.segment
    return bytes.slice(payloadAt, payloadAt + payloadBytes)
  }
}

describe.each([4, 6] as const)('fragments of IPv%i', (version) => {
  const payload = noise(1000, 1)
  const tcp = tcpSegment(version, { seq: 5, payload })
  const parts = split(tcp, 176)

  it('make a datagram in any order, once', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(parts, { minLength: parts.length }),
        fc.array(fc.nat(5)),
        (order, again) => {
          const rig = new Rig()
          const arriving = [
            ...order.slice(0, -1),
            ...again.map((i) => order[i]!).filter((each) => each !== order.at(-1)),
            order.at(-1)!,
          ]
          arriving.forEach((part, i) => {
            expect(rig.add(fragmentOf(version, part))).toBe(i === arriving.length - 1)
          })
          expect(rig.payload()).toEqual(payload)
          expect(rig.segment.seq).toBe(5)
          expect(rig.defragmenter.pieces.map(({ offset }) => offset)).toEqual(
            arriving.map(({ offset }) => offset),
          )
          expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([0, 0])
        },
      ),
    )
  })

  it('that overlap: the first one counts', () => {
    const rig = new Rig()
    expect(rig.add(fragmentOf(version, { offset: 0, bytes: tcp.subarray(0, 400), more: true }))).toBe(false)
    expect(rig.add(fragmentOf(version, { offset: 200, bytes: noise(400, 9), more: true }))).toBe(false)
    expect(rig.add(fragmentOf(version, { offset: 560, bytes: tcp.subarray(560), more: false }))).toBe(true)
    const whole = tcp.slice()
    whole.set(noise(400, 9).subarray(200), 400)
    expect(rig.payload()).toEqual(whole.subarray(20))
  })

  it('of one piece less do not make one', () => {
    for (let missing = 0; missing < parts.length; missing++) {
      const rig = new Rig()
      for (const [i, part] of parts.entries())
        if (i !== missing) expect(rig.add(fragmentOf(version, part))).toBe(false)
      expect(rig.defragmenter.pending).toBe(1)
    }
  })

  it('of different datagrams keep apart', () => {
    const rig = new Rig()
    const other = tcpSegment(version, { seq: 6, payload: noise(1000, 2) })
    const others = split(other, 176)
    for (let i = 0; i < parts.length - 1; i++) {
      expect(rig.add(fragmentOf(version, parts[i]!, 1))).toBe(false)
      expect(rig.add(fragmentOf(version, others[i]!, 2))).toBe(false)
    }
    expect(rig.add(fragmentOf(version, others.at(-1)!, 2))).toBe(true)
    expect(rig.payload()).toEqual(noise(1000, 2))
    expect(rig.add(fragmentOf(version, parts.at(-1)!, 1))).toBe(true)
    expect(rig.payload()).toEqual(payload)
  })

  it('that are cut, or whose lengths are none, are dropped and counted', () => {
    const rig = new Rig()
    const [first] = parts
    expect(rig.add(fragmentOf(version, first!), 0, 100)).toBe(false)
    expect(rig.add(fragmentOf(version, { offset: 0, bytes: noise(13, 1), more: true }))).toBe(false)
    expect(rig.add(fragmentOf(version, { offset: 0, bytes: noise(0, 1), more: true }))).toBe(false)
    expect(rig.add(fragmentOf(version, { offset: 65_528, bytes: noise(8, 1), more: false }))).toBe(false)
    expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([0, 4])
  })

  it('are given up after a minute', () => {
    const rig = new Rig()
    for (const part of parts.slice(0, 3)) rig.add(fragmentOf(version, part), 100)
    rig.add(fragmentOf(version, parts[0]!, 2), 160)
    expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([2, 0])
    rig.add(fragmentOf(version, parts[1]!, 2), 161)
    expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([1, 3])
  })

  it('of more than 1024 datagrams: the oldest make room', () => {
    const rig = new Rig()
    for (let id = 0; id < 1100; id++) rig.add(fragmentOf(version, parts[0]!, id))
    expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([1024, 76])
  })

  it('that are large: 32 MiB are held', () => {
    const rig = new Rig()
    const large = fragmentOf(version, { offset: 0, bytes: noise(60_000, 1), more: true })
    for (let id = 0; id < 1000; id++) {
      // The identification's last two bytes.
      large.set([id >> 8, id & 255], version === 4 ? 4 : 46)
      rig.add(large)
    }
    expect(rig.defragmenter.pending).toBeLessThanOrEqual((32 << 20) / 60_000 + 1)
    expect(rig.defragmenter.pending).toBeGreaterThan(500)
    expect(rig.defragmenter.dropped + rig.defragmenter.pending).toBe(1000)
  })

  it('that come again without end are given up', () => {
    const rig = new Rig()
    for (let i = 0; i < 1025; i++) rig.add(fragmentOf(version, { offset: 8, bytes: noise(8, i), more: true }))
    expect([rig.defragmenter.pending, rig.defragmenter.dropped]).toEqual([0, 1025])
  })

  it('of any places and sizes never make it throw', () => {
    const part = fc.record({
      offset: fc.nat(8191).map((n) => n * 8),
      length: fc.nat(300),
      more: fc.boolean(),
      id: fc.nat(2),
    })
    const near = fc.record({
      offset: fc.nat(10).map((n) => n * 8),
      length: fc.nat(10).map((n) => n * 8),
      more: fc.boolean(),
      id: fc.nat(2),
    })
    fc.assert(
      fc.property(fc.array(fc.oneof(part, near), { maxLength: 40 }), (list) => {
        const rig = new Rig()
        for (const { offset, length, more, id } of list) {
          if (!more && offset === 0) continue
          const bytes = noise(length, id)
          if (!rig.add(fragmentOf(version, { offset, bytes, more }, id))) continue
          const { bytes: whole, pieces } = rig.defragmenter
          expect(whole.length).toBeGreaterThan(0)
          expect(pieces.length).toBeGreaterThan(0)
          rig.defragmenter.decode(rig.segment)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('a datagram', () => {
  it('of more than IPv4 can say is dropped', () => {
    const rig = new Rig()
    const first = ip4(noise(32_768, 1), {
      fragment: 0x2000,
      identification: 1,
      options: new Array<number>(40).fill(1),
    })
    expect(rig.add(first)).toBe(false)
    expect(rig.add(fragmentOf(4, { offset: 32_768, bytes: noise(32_760, 2), more: false }))).toBe(false)
    expect(rig.defragmenter.dropped).toBe(2)
  })

  it('keeps the first fragment’s options and extension headers', () => {
    const tcp = tcpSegment(4, { payload: noise(100, 3) })
    const rig = new Rig()
    expect(rig.add(ip4(tcp.subarray(64), { fragment: 8 }))).toBe(false)
    expect(
      rig.add(ip4(tcp.subarray(0, 64), { fragment: 0x2000, options: [1, 1, 1, 0], identification: 0 })),
    ).toBe(true)
    expect(rig.payload()).toEqual(noise(100, 3))
    const tcp6 = tcpSegment(6, { payload: noise(100, 4) })
    const hop: [number, number[]] = [0, [0, 0, 1, 4, 0, 0, 0, 0]]
    expect(rig.add(ip6(tcp6.subarray(0, 64), {}, [hop, fragment6(0, true, 3)]))).toBe(false)
    expect(rig.add(ip6(tcp6.subarray(64), {}, [hop, fragment6(64, false, 3)]))).toBe(true)
    expect(rig.payload()).toEqual(noise(100, 4))
  })

  it('is none before the first is whole', () => {
    expect(new Defragmenter().decode(new SegmentDecoder())).toBe(MALFORMED)
  })
})
