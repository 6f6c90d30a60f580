import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FRAGMENT,
  MALFORMED,
  NOT_IP,
  NOT_TCP,
  SEGMENT,
  SegmentDecoder,
} from '../../../pcap/decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../../../pcap/file/format.ts'
import { ether, fragment6, ip4, ip6, tcpSegment } from '../../support/ip-frames.ts'
import { captured, decode } from './frames.ts'

const PAYLOAD = Uint8Array.from({ length: 30 }, (_, i) => i + 1)
const tcp4 = tcpSegment(4, { seq: 0xffff_fff0, ack: 7, flags: 0x18, payload: PAYLOAD })
const tcp6 = tcpSegment(6, { seq: 1, ack: 0x8000_0000, flags: 0x02, payload: PAYLOAD })

function payloadOf(segment: SegmentDecoder): Uint8Array {
  return segment.bytes.slice(segment.payloadAt, segment.payloadAt + segment.capturedBytes)
}

/** The packet with a 16-bit field changed. */
function with16(packet: Uint8Array, at: number, value: number): Uint8Array {
  const bytes = packet.slice()
  bytes[at] = value >> 8
  bytes[at + 1] = value
  return bytes
}

function with8(packet: Uint8Array, at: number, value: number): Uint8Array {
  const bytes = packet.slice()
  bytes[at] = value
  return bytes
}

describe('IPv4', () => {
  it('finds the segment and its fields', () => {
    const { found, segment } = decode(ether(0x0800, ip4(tcp4)), LINKTYPE_ETHERNET)
    expect(found).toBe(SEGMENT)
    expect(segment).toMatchObject({
      version: 4,
      source3: 0xc000_0201 | 0,
      destination3: 0xc000_0202 | 0,
      source2: 0xffff,
      sourcePort: 40_000,
      destinationPort: 9000,
      seq: -16,
      ack: 7,
      flags: 0x18,
      window: 65_535,
      headerBytes: 20,
      payloadBytes: 30,
      capturedBytes: 30,
    })
    expect(payloadOf(segment)).toEqual(PAYLOAD)
  })

  it('steps over options, and takes padding behind the packet for none of it', () => {
    for (const count of [4, 40]) {
      const { found, segment } = decode(ip4(tcp4, { options: new Array<number>(count).fill(1) }))
      expect(found).toBe(SEGMENT)
      expect(payloadOf(segment)).toEqual(PAYLOAD)
    }
    const short = ip4(tcpSegment(4, { payload: [9] }))
    const { segment } = decode(Uint8Array.of(...short, 0xee, 0xee, 0xee))
    expect(payloadOf(segment)).toEqual(Uint8Array.of(9))
  })

  it('takes a total length of zero for the whole frame', () => {
    const { found, segment } = decode(with16(ip4(tcp4), 2, 0))
    expect(found).toBe(SEGMENT)
    expect(segment.payloadBytes).toBe(30)
  })

  it('counts what was on the wire and was not captured', () => {
    const packet = ip4(tcp4)
    for (const length of [40, 41, 69]) {
      const { found, segment } = decode(packet, undefined, { length })
      expect(found).toBe(SEGMENT)
      expect([segment.payloadBytes, segment.capturedBytes]).toEqual([30, length - 40])
    }
    // Of the options a part is missing.
    const options = ip4(with8(tcp4, 12, 0x80))
    const { found, segment } = decode(options, undefined, { length: 45 })
    expect(found).toBe(SEGMENT)
    expect([segment.headerBytes, segment.payloadBytes, segment.capturedBytes]).toEqual([32, 18, 0])
    // The header announces more than was on the wire.
    const long = decode(with16(packet, 2, 9000))
    expect(long.segment.payloadBytes).toBe(30)
    expect(decode(with16(packet, 2, 9000), undefined, { wireLength: 1000 }).segment.payloadBytes).toBe(960)
  })

  it('refuses lengths that contradict each other', () => {
    const packet = ip4(tcp4)
    const faulty: [string, Uint8Array][] = [
      ['header of 16 bytes', with8(packet, 0, 0x44)],
      ['header longer than the packet', with8(ip4([]), 0, 0x46)],
      ['total length below the header', with16(packet, 2, 19)],
      ['total length within TCP', with16(packet, 2, 39)],
      ['TCP header of 16 bytes', with8(packet, 32, 0x40)],
      ['TCP header longer than the packet', with8(with16(packet, 2, 44), 32, 0x70)],
    ]
    for (const [name, bytes] of faulty) expect(decode(bytes).found, name).toBe(MALFORMED)
    for (let length = 1; length < 40; length++)
      expect(decode(packet, undefined, { length }).found).toBe(MALFORMED)
    expect(decode(packet, undefined, { length: 0 }).found).toBe(NOT_IP)
  })

  it('knows fragments, other protocols and other versions', () => {
    const first = decode(ip4(tcp4.subarray(0, 24), { fragment: 0x2000, identification: 77 }))
    expect(first.found).toBe(FRAGMENT)
    expect(first.segment).toMatchObject({
      fragmentOffset: 0,
      fragmentMore: true,
      fragmentId: 77,
      protocol: 6,
    })
    const last = decode(ip4(tcp4.subarray(24), { fragment: 3 }))
    expect(last.found).toBe(FRAGMENT)
    expect(last.segment).toMatchObject({ fragmentOffset: 24, fragmentMore: false })
    expect(last.segment.dataAt - last.segment.ipAt).toBe(20)
    // Don't fragment is not a fragment.
    expect(decode(ip4(tcp4, { fragment: 0x4000 })).found).toBe(SEGMENT)
    expect(decode(ip4(tcp4, { protocol: 17 })).found).toBe(NOT_TCP)
    expect(decode(with8(ip4(tcp4), 0, 0x55)).found).toBe(NOT_IP)
  })

  it('leaves nothing of the frame before', () => {
    const decoder = new SegmentDecoder()
    expect(decoder.decode(captured(ip6(tcp6)))).toBe(SEGMENT)
    expect(decoder.decode(captured(ip4(tcp4)))).toBe(SEGMENT)
    const fresh = decode(ip4(tcp4)).segment
    for (const word of [
      'source0',
      'source1',
      'source2',
      'destination0',
      'destination1',
      'destination2',
    ] as const) {
      expect(decoder[word]).toBe(fresh[word])
    }
    expect(decoder.version).toBe(4)
  })
})

describe('IPv6', () => {
  it('finds the segment and its fields', () => {
    const { found, segment } = decode(ether(0x86dd, ip6(tcp6)), LINKTYPE_ETHERNET)
    expect(found).toBe(SEGMENT)
    expect(segment).toMatchObject({
      version: 6,
      source0: 0x2001_0db8,
      source3: 1,
      destination3: 2,
      seq: 1,
      ack: -0x8000_0000,
      flags: 2,
      payloadBytes: 30,
    })
    expect(payloadOf(segment)).toEqual(PAYLOAD)
  })

  it('steps over extension headers', () => {
    const extension = (kind: number, bytes: number): [number, number[]] => {
      const header = new Array<number>(bytes).fill(0)
      header[1] = kind === 51 ? bytes / 4 - 2 : bytes / 8 - 1
      return [kind, header]
    }
    const chains: [number, number[]][][] = [
      [extension(0, 8)],
      [extension(0, 8), extension(60, 24), extension(43, 16)],
      [extension(51, 24), extension(60, 8)],
      [extension(51, 12), extension(135, 8)],
      [extension(60, 2048)],
      Array.from({ length: 8 }, () => extension(60, 8)),
      // A fragment that is all of the packet.
      [fragment6(0, false, 9)],
      [extension(0, 8), fragment6(0, false, 9), extension(60, 16)],
    ]
    for (const chain of chains) {
      const { found, segment } = decode(ip6(tcp6, {}, chain))
      expect(found).toBe(SEGMENT)
      expect(payloadOf(segment)).toEqual(PAYLOAD)
    }
    const many = Array.from({ length: 9 }, () => extension(60, 8))
    expect(decode(ip6(tcp6, {}, many)).found).toBe(MALFORMED)
    expect(decode(ip6(tcp6, {}, [[60, [0, 255, 0, 0, 0, 0, 0, 0]]])).found).toBe(MALFORMED)
  })

  it('takes a payload length of zero for the whole frame', () => {
    const { found, segment } = decode(with16(ip6(tcp6), 4, 0))
    expect(found).toBe(SEGMENT)
    expect(segment.payloadBytes).toBe(30)
  })

  it('knows fragments and other protocols', () => {
    const { found, segment } = decode(ip6(tcp6.subarray(16), {}, [fragment6(16, false, 0x8000_0001)]))
    expect(found).toBe(FRAGMENT)
    expect(segment).toMatchObject({
      fragmentOffset: 16,
      fragmentMore: false,
      fragmentId: -0x7fff_ffff,
      protocol: 6,
    })
    expect(segment.dataAt - segment.ipAt).toBe(48)
    for (const protocol of [17, 58, 59, 50]) expect(decode(ip6(tcp6, { protocol })).found).toBe(NOT_TCP)
  })

  it('refuses what is cut within the headers', () => {
    const packet = ip6(tcp6, {}, [[60, new Array<number>(8).fill(0)]])
    for (let length = 1; length < 68; length++)
      expect(decode(packet, undefined, { length }).found).toBe(MALFORMED)
    const { found, segment } = decode(packet, undefined, { length: 70 })
    expect(found).toBe(SEGMENT)
    expect([segment.payloadBytes, segment.capturedBytes]).toEqual([30, 2])
    expect(decode(with16(packet, 4, 20)).found).toBe(MALFORMED)
  })
})

describe('any bytes', () => {
  const starts = [
    fc.constant(new Uint8Array(0)),
    fc.constant(ether(0x0800, ip4(tcp4))),
    fc.constant(ether(0x86dd, ip6(tcp6, {}, [[0, [0, 0, 0, 0, 0, 0, 0, 0]], fragment6(0, true, 1)]))),
    fc.constant(ip4(tcp4, { options: [1, 1, 1, 0] })),
    fc.constant(ip6(tcp6)),
  ]
  const edits = fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 })

  it('never make it throw or find bytes outside the frame', () => {
    const decoder = new SegmentDecoder()
    const link = fc.constantFrom(1, 113, 276, 101, 0, 108, 147)
    fc.assert(
      fc.property(
        link,
        fc.oneof(...starts),
        fc.uint8Array({ maxLength: 80 }),
        edits,
        fc.nat(3000),
        (type, start, rest, changes, more) => {
          const bytes = Uint8Array.of(...start, ...rest)
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          const packet = captured(bytes, type, { wireLength: bytes.length + more })
          const found = decoder.decode(packet)
          expect([NOT_IP, NOT_TCP, FRAGMENT, MALFORMED, SEGMENT]).toContain(found)
          const end = packet.at + packet.length
          if (found === SEGMENT) {
            const { payloadAt, payloadBytes, capturedBytes, tcpAt } = decoder
            expect(tcpAt).toBeGreaterThanOrEqual(packet.at + 20)
            expect(payloadBytes).toBeGreaterThanOrEqual(capturedBytes)
            expect(capturedBytes).toBeGreaterThanOrEqual(0)
            if (capturedBytes > 0) expect(payloadAt + capturedBytes).toBeLessThanOrEqual(end)
            expect(payloadAt + payloadBytes).toBeLessThanOrEqual(end + more)
          } else if (found === FRAGMENT) {
            expect(decoder.dataAt).toBeLessThanOrEqual(end)
            expect(decoder.capturedEnd).toBeLessThanOrEqual(end)
          }
        },
      ),
      { numRuns: 5000 },
    )
  })
})
