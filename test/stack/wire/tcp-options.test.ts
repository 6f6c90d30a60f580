import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  putMss,
  putSack,
  putSackPermitted,
  putTimestamps,
  putWindowScale,
  TcpOptions,
} from '../../../stack/wire/tcp.ts'

function parse(bytes: readonly number[]): TcpOptions & { ok: boolean } {
  const options = new TcpOptions()
  const ok = options.parse(Uint8Array.from(bytes), 0, bytes.length)
  return Object.assign(options, { ok })
}

/** Notes the highest index read. */
function watched(bytes: Uint8Array): { bytes: Uint8Array; highest: () => number } {
  let highest = -1
  const proxy = new Proxy(bytes, {
    get(target, key) {
      const index = typeof key === 'string' ? Number(key) : Number.NaN
      if (Number.isInteger(index)) highest = Math.max(highest, index)
      return Reflect.get(target, key, target)
    },
  })
  return { bytes: proxy, highest: () => highest }
}

describe('TCP options (RFC 9293 3.2)', () => {
  it('reads those of a usual SYN', () => {
    const bytes = new Uint8Array(40)
    let at = putMss(bytes, 0, 1460)
    at += putSackPermitted(bytes, at, 2)
    at += putTimestamps(bytes, at, 0x01020304, -2)
    at += putWindowScale(bytes, at, 7)
    const options = new TcpOptions()
    expect(options.parse(bytes, 0, at)).toBe(true)
    expect(options).toMatchObject({ mss: 1460, sackPermitted: true, windowScale: 7, hasTimestamps: true })
    expect([options.tsVal, options.tsEcr]).toEqual([0x01020304, -2])
  })

  it('reads timestamps alone on the short way as on the long one', () => {
    const bytes = new Uint8Array(16).fill(1)
    putTimestamps(bytes, 0, 5, 6)
    const short = new TcpOptions()
    const long = new TcpOptions()
    expect(short.parse(bytes, 0, 12)).toBe(true)
    expect(long.parse(bytes, 0, 16)).toBe(true)
    expect({ ...short }).toEqual({ ...long })
  })

  it.each([
    ['a length of 0', [8, 0, 0, 0]],
    ['a length of 1', [8, 1, 0, 0]],
    ['a length that leaves the header', [2, 4, 5]],
    ['a kind without a length', [1, 1, 1, 2]],
    ['an unknown kind longer than the header', [200, 255, 0, 0]],
  ])('calls %s malformed and does not loop', (_what, bytes) => {
    expect(parse(bytes).ok).toBe(false)
  })

  it('keeps what came before a fault', () => {
    expect(parse([2, 4, 5, 180, 3, 0])).toMatchObject({ ok: false, mss: 1460 })
  })

  it.each([
    ['MSS of 3 bytes', [2, 3, 9, 0], { mss: 0 }],
    ['window scale of 4', [3, 4, 9, 9], { windowScale: -1 }],
    ['SACK-permitted of 3', [4, 3, 9, 0], { sackPermitted: false }],
    ['timestamps of 9', [8, 9, 1, 2, 3, 4, 5, 6, 7], { hasTimestamps: false }],
    ['SACK of half a block', [5, 6, 1, 2, 3, 4], { sackBlocks: 0 }],
    ['SACK of no block', [5, 2, 0, 0], { sackBlocks: 0 }],
  ])('passes over %s', (_what, bytes, expected) => {
    expect(parse(bytes)).toMatchObject({ ok: true, ...expected })
  })

  it('stops at the end-of-list option, whatever follows', () => {
    expect(parse([0, 2, 4, 5, 180, 8, 0])).toMatchObject({ ok: true, mss: 0 })
  })

  it('uses 14 for a window shift above it (RFC 7323 section 2.3)', () => {
    expect(parse([3, 3, 15]).windowScale).toBe(14)
    expect(parse([3, 3, 255]).windowScale).toBe(14)
    expect(parse([3, 3, 14]).windowScale).toBe(14)
  })

  it('forgets the options of the segment before', () => {
    const options = new TcpOptions()
    options.parse(Uint8Array.of(2, 4, 5, 180, 4, 2, 3, 3, 7), 0, 9)
    options.parse(new Uint8Array(0), 0, 0)
    expect({ ...options, sack: null }).toEqual({ ...new TcpOptions(), sack: null })
  })

  it('reads back the SACK blocks it writes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 2, maxLength: 8 }), (edges) => {
        const blocks = edges.length >> 1
        const bytes = new Uint8Array(40)
        const length = putSack(bytes, 0, Int32Array.from(edges), blocks)
        const options = new TcpOptions()
        expect(options.parse(bytes, 0, length)).toBe(true)
        expect(length).toBe(4 + 8 * blocks)
        expect([...options.sack.subarray(0, options.sackBlocks * 2)]).toEqual(edges.slice(0, blocks * 2))
      }),
    )
  })

  it('never throws, never reads beyond the header, and is bounded, for any bytes', () => {
    const piece = fc.oneof(
      fc.constantFrom([0], [1], [2, 4, 5, 180], [3, 3, 7], [4, 2], [8, 10, 0, 0, 0, 1, 0, 0, 0, 2], [5, 34]),
      fc.array(fc.nat({ max: 255 }), { maxLength: 12 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.nat({ max: 20 }), (pieces, at) => {
        const options = pieces.flat().slice(0, 40)
        const memory = Uint8Array.from([...new Array(at).fill(2), ...options, 255, 255, 255, 255])
        const { bytes, highest } = watched(memory)
        const parsed = new TcpOptions()
        parsed.parse(bytes, at, options.length)
        expect(highest()).toBeLessThan(at + options.length)
        expect(parsed.sackBlocks).toBeLessThanOrEqual(4)
        expect(parsed.windowScale).toBeLessThanOrEqual(14)
      }),
      { numRuns: 500 },
    )
  })
})
