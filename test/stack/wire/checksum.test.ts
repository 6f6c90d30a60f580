import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addSums,
  fold,
  pseudoHeaderSum,
  subtractSums,
  sumBytes,
  sumWords,
  swapSum,
} from '../../../stack/wire/checksum.ts'
import { plainSum } from '../../support/raw-peer.ts'

/** 0 and 0xffff are the same number in one's complement. */
function same(a: number, b: number): boolean {
  return a % 0xffff === b % 0xffff
}

describe('the Internet checksum', () => {
  it('gives the sum of the example in RFC 1071 section 3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
    expect(sumBytes(bytes, 0, 8)).toBe(0xddf2)
  })

  it('gives the checksum of a well-known IPv4 header', () => {
    const hex = '450000730000400040110000c0a80001c0a800c7'
    expect(~sumBytes(Buffer.from(hex, 'hex'), 0, 20) & 0xffff).toBe(0xb861)
  })

  it('pads an odd last byte with zero (RFC 1071 section 1)', () => {
    expect(sumBytes(Uint8Array.of(0x12), 0, 1)).toBe(0x1200)
    expect(sumBytes(Uint8Array.of(0xff, 0xff, 0x01), 0, 3)).toBe(plainSum(Uint8Array.of(0xff, 0xff, 1)))
  })

  it('stays exact over the longest frame of 0xff, where carries are most', () => {
    const bytes = new Uint8Array(262_144 + 64).fill(0xff)
    const words = new Uint32Array(bytes.buffer)
    expect(sumBytes(bytes, 0, 65_535)).toBe(plainSum(bytes.subarray(0, 65_535)))
    for (const length of [65_535, 65_536, 131_072, 262_144]) {
      expect(same(sumWords(bytes, words, 0, length), plainSum(bytes.subarray(0, length)))).toBe(true)
    }
  })

  it('sums words as bytes at every alignment and length', () => {
    const bytes = Uint8Array.from({ length: 600 }, (_, i) => (i * 37 + (i >> 3)) ^ 0xa5)
    const words = new Uint32Array(bytes.buffer)
    for (let offset = 0; offset < 9; offset++) {
      for (let length = 0; length < 140; length++) {
        const expected = plainSum(bytes.subarray(offset, offset + length))
        expect(sumBytes(bytes, offset, length)).toBe(expected)
        expect(sumWords(bytes, words, offset, length)).toBe(expected)
      }
    }
  })

  it('adds, subtracts and swaps as RFC 1071 section 2 says, wherever the bytes are cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat({ max: 300 }), (bytes, cutAt) => {
        const cut = cutAt % (bytes.length + 1)
        const whole = sumBytes(bytes, 0, bytes.length)
        const front = sumBytes(bytes, 0, cut)
        const back = sumBytes(bytes, cut, bytes.length - cut)
        const placed = (cut & 1) !== 0 ? swapSum(back) : back
        expect(same(addSums(front, placed), whole)).toBe(true)
        expect(same(subtractSums(whole, front), placed)).toBe(true)
        expect(swapSum(swapSum(whole))).toBe(whole)
      }),
    )
  })

  it('folds every sum below 2^32 to 16 bits without changing its remainder', () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), (sum) => {
        const folded = fold(sum)
        expect(folded).toBeLessThanOrEqual(0xffff)
        expect(same(folded, sum)).toBe(true)
      }),
    )
  })

  it('covers addresses, protocol and length in the pseudo-header (RFC 9293 3.1)', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.nat({ max: 65_535 }), (source, destination, length) => {
        const bytes = new Uint8Array(12)
        const view = new DataView(bytes.buffer)
        view.setInt32(0, source)
        view.setInt32(4, destination)
        view.setUint16(8, 6)
        view.setUint16(10, length)
        expect(same(pseudoHeaderSum(source, destination, 6, length), plainSum(bytes))).toBe(true)
      }),
    )
  })
})
