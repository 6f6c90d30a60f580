import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Layer } from '../../../pcap/decode/layer.ts'
import { enterLink, isKnownLink } from '../../../pcap/decode/link.ts'
import * as format from '../../../pcap/file/format.ts'

const be16 = (...values: number[]): number[] => values.flatMap((value) => [value >> 8, value & 255])
const zeros = (count: number): number[] => new Array<number>(count).fill(0)
const IPV4 = 0x0800
const IPV6 = 0x86dd

const ethernet = (...rest: number[]): number[] => [...zeros(12), ...rest]
const sll = (...rest: number[]): number[] => [...zeros(14), ...rest]

/** Link type, name, bytes in front of the IP packet. */
const HEADERS: [number, string, number[]][] = [
  [format.LINKTYPE_ETHERNET, 'IPv4', ethernet(...be16(IPV4))],
  [format.LINKTYPE_ETHERNET, 'IPv6', ethernet(...be16(IPV6))],
  [format.LINKTYPE_ETHERNET, 'VLAN', ethernet(...be16(0x8100, 5, IPV4))],
  [format.LINKTYPE_ETHERNET, 'QinQ', ethernet(...be16(0x88a8, 5, 0x8100, 6, IPV6))],
  [format.LINKTYPE_ETHERNET, 'old QinQ', ethernet(...be16(0x9100, 5, 0x9100, 6, 0x8100, 7, IPV4))],
  [format.LINKTYPE_ETHERNET, 'PPPoE', ethernet(...be16(0x8864, 0x1100, 1, 42, 0x0021))],
  [format.LINKTYPE_ETHERNET, 'PPPoE in a VLAN', ethernet(...be16(0x8100, 5, 0x8864, 0x1100, 1, 42, 0x0057))],
  [format.LINKTYPE_ETHERNET, 'SNAP', ethernet(...be16(48), 0xaa, 0xaa, 3, 0, 0, 0, ...be16(IPV4))],
  [
    format.LINKTYPE_ETHERNET,
    'SNAP in a VLAN',
    ethernet(...be16(0x8100, 5, 48), 0xaa, 0xaa, 3, 0, 0, 0, ...be16(IPV6)),
  ],
  [format.LINKTYPE_LINUX_SLL, 'IPv4', sll(...be16(IPV4))],
  [format.LINKTYPE_LINUX_SLL, 'VLAN', sll(...be16(0x8100, 5, IPV6))],
  [format.LINKTYPE_LINUX_SLL2, 'IPv4', [...be16(IPV4), ...zeros(18)]],
  [format.LINKTYPE_LINUX_SLL2, 'IPv6', [...be16(IPV6), ...zeros(18)]],
  [format.LINKTYPE_RAW, 'raw', []],
  [format.LINKTYPE_RAW_BSD, 'raw', []],
  [format.LINKTYPE_RAW_OPENBSD, 'raw', []],
  [format.LINKTYPE_IPV4, 'raw', []],
  [format.LINKTYPE_IPV6, 'raw', []],
  [format.LINKTYPE_NULL, 'little-endian', [2, 0, 0, 0]],
  [format.LINKTYPE_NULL, 'big-endian', [0, 0, 0, 2]],
  ...[10, 24, 28, 30].map((family): [number, string, number[]] => [
    format.LINKTYPE_NULL,
    `IPv6 (${family})`,
    [family, 0, 0, 0],
  ]),
  [format.LINKTYPE_LOOP, 'IPv4', [0, 0, 0, 2]],
]

/** Frames without an IP packet that could be found. */
const OTHERS: [number, string, number[]][] = [
  [format.LINKTYPE_ETHERNET, 'ARP', ethernet(...be16(0x0806))],
  [format.LINKTYPE_ETHERNET, 'MPLS', ethernet(...be16(0x8847))],
  [format.LINKTYPE_ETHERNET, 'PPPoE discovery', ethernet(...be16(0x8863, 0x1109, 0, 4, 0x0021))],
  [format.LINKTYPE_ETHERNET, 'PPP of something else', ethernet(...be16(0x8864, 0x1100, 1, 4, 0xc021))],
  [format.LINKTYPE_ETHERNET, 'LLC without SNAP', ethernet(...be16(48), 0x42, 0x42, 3, ...zeros(5))],
  [
    format.LINKTYPE_ETHERNET,
    'nine tags',
    ethernet(...Array.from({ length: 9 }, () => be16(0x8100, 1)).flat(), ...be16(IPV4)),
  ],
  [format.LINKTYPE_NULL, 'another family', [7, 0, 0, 0]],
  [format.LINKTYPE_NULL, 'no family', [2, 1, 0, 0]],
  [105, '802.11', zeros(20)],
]

function enter(bytes: Uint8Array, at: number, end: number, linkType: number): Layer | null {
  const layer = new Layer()
  layer.begin(bytes, at, end, end)
  return enterLink(layer, linkType) ? layer : null
}

describe('enterLink', () => {
  it.each(HEADERS)('of link type %i: %s', (linkType, _name, header) => {
    const bytes = Uint8Array.of(...zeros(5), ...header, 0x45, 0x45)
    const ip = 5 + header.length
    expect(enter(bytes, 5, bytes.length, linkType)?.at).toBe(ip)
    for (let end = 5; end < ip; end++) expect(enter(bytes, 5, end, linkType)).toBeNull()
    expect(isKnownLink(linkType)).toBe(true)
  })

  it.each(OTHERS)('of link type %i: none in %s', (linkType, _name, header) => {
    const bytes = Uint8Array.of(...header, ...zeros(60))
    expect(enter(bytes, 0, bytes.length, linkType)).toBeNull()
  })

  it.each([
    ['PPPoE', ethernet(...be16(0x8864, 0x1100, 1, 22, 0x0021)), 20],
    ['PPPoE with a compressed protocol', ethernet(...be16(0x8864, 0x1100, 1, 21), 0x21), 20],
    ['the length of an 802.3 frame', ethernet(...be16(28), 0xaa, 0xaa, 3, 0, 0, 0, ...be16(IPV4)), 20],
    ['one in a VLAN', ethernet(...be16(0x8100, 5, 28), 0xaa, 0xaa, 3, 0, 0, 0, ...be16(IPV4)), 20],
  ])('ends where %s says', (_name, header, bytes) => {
    const frame = Uint8Array.of(...header, 0x45, ...zeros(59))
    const layer = enter(frame, 0, frame.length, format.LINKTYPE_ETHERNET)!
    expect([layer.at, layer.end, layer.wireEnd]).toEqual([
      header.length,
      header.length + bytes,
      header.length + bytes,
    ])
    // More than there is stays what there is.
    const short = frame.subarray(0, header.length + 10)
    expect(enter(short, 0, short.length, format.LINKTYPE_ETHERNET)?.end).toBe(short.length)
  })

  it('lies within the frame, whatever the bytes', () => {
    const types = [1, 113, 276, 101, 12, 14, 228, 229, 0, 108, 105, 0xffff]
    // Types that lead further are likelier than chance would have them.
    const word = fc.oneof(
      fc.nat(0xffff),
      fc.constantFrom(0x8100, 0x88a8, 0x9100, 0x8864, IPV4, IPV6, 48, 0xaaaa, 0x0300),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.array(word, { maxLength: 40 }),
        fc.nat(80),
        (linkType, words, cut) => {
          const bytes = Uint8Array.from(be16(...words))
          const end = Math.min(cut, bytes.length)
          const layer = enter(bytes, 0, end, linkType)
          if (layer === null) return
          expect(layer.at).toBeGreaterThanOrEqual(0)
          expect(layer.at).toBeLessThanOrEqual(end)
          expect(layer.end).toBeLessThanOrEqual(end)
        },
      ),
      { numRuns: 2000 },
    )
    expect(isKnownLink(105)).toBe(false)
  })
})
