import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nativeOrNull } from '../../../driver/native/index.ts'
import {
  bitNames,
  EthtoolLink,
  explanationOf,
  listAttributes,
  type NetlinkMessage,
  numberAttribute,
  readAttributes,
  readChannels,
  readIndirection,
  readRings,
  wantedBit,
  writeAttributes,
} from '../../../driver/netlink/index.ts'

const native = nativeOrNull()
if (native === null) console.warn('asking the kernel over ethtool is skipped: the native addon is not built')

const text = (words: string): Uint8Array => new TextEncoder().encode(`${words}\0`)
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const CAPPED = 0x100
const TLVS = 0x200

/** An NLMSG_ERROR of -EINVAL for a request of that many bytes. */
function refusal(flags: number, requestBytes: number, words: string): NetlinkMessage {
  const behind = writeAttributes([
    [1, text(words)],
    [2, new Uint8Array(4)],
  ])
  const kept = (flags & CAPPED) === 0 ? requestBytes : 16
  const body = new Uint8Array(4 + kept + behind.length)
  const view = new DataView(body.buffer)
  view.setInt32(0, -22, true)
  view.setUint32(4, requestBytes, true)
  body.set(behind, 4 + kept)
  return { type: NLMSG_ERROR, flags, sequence: 1, body }
}

describe('what the kernel says in words', () => {
  it('stands behind the request, or its header', () => {
    expect(explanationOf(refusal(TLVS, 36, 'tcp-data-split is disabled'))).toBe('tcp-data-split is disabled')
    expect(explanationOf(refusal(TLVS | CAPPED, 36, 'no'))).toBe('no')
    expect(explanationOf(refusal(0, 36, 'no'))).toBe('')
  })

  it('stands behind the errno of a dump', () => {
    const body = new Uint8Array([...new Uint8Array(4), ...writeAttributes([[1, text('not now')]])])
    expect(explanationOf({ type: NLMSG_DONE, flags: TLVS, sequence: 1, body })).toBe('not now')
  })

  it('is short, and printable', () => {
    expect(explanationOf(refusal(TLVS | CAPPED, 16, 'a\u001b[31mb\nc'))).toBe('a[31mbc')
    expect(explanationOf(refusal(TLVS | CAPPED, 16, 'x'.repeat(5000)))).toHaveLength(200)
  })

  it('is read from whatever comes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 90 }),
        fc.constantFrom(NLMSG_ERROR, NLMSG_DONE),
        fc.constantFrom(TLVS, TLVS | CAPPED),
        (body, type, flags) => {
          expect(explanationOf({ type, flags, sequence: 0, body }).length).toBeLessThanOrEqual(200)
        },
      ),
      { seed: 5 },
    )
    // A length of the request that lies.
    for (const bytes of [0, 3, 15, 17, 1 << 20, 0xffff_fff0]) {
      const message = refusal(TLVS, 36, 'words')
      new DataView(message.body.buffer).setUint32(4, bytes, true)
      expect(explanationOf(message).length).toBeLessThanOrEqual(200)
    }
  })
})

describe('answers of ethtool', () => {
  it('rings', () => {
    const rings = readAttributes(
      writeAttributes([[11, Uint8Array.of(2)], numberAttribute(17, 256), numberAttribute(10, 4096)]),
    )
    expect(readRings(rings)).toEqual({ dataSplit: 'on', splitThreshold: 256, bufferBytes: 4096 })
    expect(readRings(new Map([[11, Uint8Array.of(1)]])).dataSplit).toBe('off')
    expect(readRings(new Map([[11, new Uint8Array(0)]]))).toEqual({
      dataSplit: 'none',
      splitThreshold: null,
      bufferBytes: null,
    })
  })

  it('channels', () => {
    expect(readChannels(new Map([numberAttribute(5, 8), numberAttribute(2, 4)]))).toEqual({
      kind: 'combined',
      most: 8,
    })
    expect(readChannels(new Map([numberAttribute(2, 4)]))).toEqual({ kind: 'rx', most: 4 })
    expect(readChannels(new Map([[5, Uint8Array.of(1)]]))).toBeNull()
  })

  it('the table of RSS, at any place in memory', () => {
    const bytes = new Uint8Array(13)
    bytes.set([2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 1)
    expect(readIndirection(bytes.subarray(1))).toEqual([2, 0, 1])
    expect(readIndirection(bytes.subarray(1, 12))).toBeNull()
    expect(readIndirection(new Uint8Array(0))).toBeNull()
    expect(readIndirection(undefined)).toBeNull()
    expect(readIndirection(new Uint8Array(4 * 65_537))).toBeNull()
  })

  it('an offload that is to be switched is a bitset with a mask', () => {
    const [type, value] = wantedBit('rx-ntuple-filter', true)
    expect(type).toBe(3 | 0x8000)
    expect([...bitNames(value)]).toEqual(['rx-ntuple-filter'])
    const [, off] = wantedBit('rx-ntuple-filter', false)
    expect([...bitNames(off)]).toEqual([])
    expect(listAttributes(off).map(([kind]) => kind)).toEqual([3])
  })

  it('whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const answer = readAttributes(bytes)
        readRings(answer)
        readChannels(answer)
        readIndirection(answer.get(4))
        bitNames(bytes)
      }),
      { seed: 3 },
    )
  })
})

it.skipIf(native === null)('the loopback has no rings and no RSS, and lets none be set', () => {
  const link = EthtoolLink.open(native!, 1)
  if (link === null) return console.warn('skipped: the kernel has no ethtool over netlink (Linux 5.6)')
  expect([link.rings(), link.channels(), link.indirection()]).toEqual([null, null, null])
  expect(link.setDataSplit('on')).toBeLessThan(0)
  expect(link.setSplitThreshold(0)).toBeLessThan(0)
  expect(link.setIndirection([0])).toBeLessThan(0)
  expect(link.setOffload('no-such-offload', true)).toBeLessThan(0)
  expect(link.said).not.toBe('')
  link.close()
  expect(link.setDataSplit('on')).toBeLessThan(0)
})
