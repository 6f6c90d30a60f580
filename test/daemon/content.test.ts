import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BLOCK_BYTES,
  ContentSource,
  contentBlock,
  SAMPLE_STRIDE,
  Sampler,
  STAMP_STRIDE,
  splitBytes,
} from '../../daemon/demo/content.ts'

function stream(flow: number, bytes: number): Buffer {
  const source = new ContentSource(flow, bytes, 2)
  const parts: Buffer[] = []
  for (let block = source.take(); block !== undefined; block = source.take()) parts.push(Buffer.from(block))
  return Buffer.concat(parts)
}

describe('ContentSource', () => {
  it('gives exactly the bytes asked for, the same ones every time', () => {
    for (const bytes of [1, 7, STAMP_STRIDE, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 5]) {
      const first = stream(3, bytes)
      expect(first.length).toBe(bytes)
      expect(first.equals(stream(3, bytes))).toBe(true)
    }
  })

  it('has different bytes for every flow, and a stamp at every 4 KiB', () => {
    expect(contentBlock(0).equals(contentBlock(1))).toBe(false)
    const bytes = stream(0x1234, 3 * BLOCK_BYTES)
    for (let at = 0; at < bytes.length; at += STAMP_STRIDE) {
      expect(bytes.readUIntLE(at, 6)).toBe(at / STAMP_STRIDE)
      expect(bytes.readUInt16LE(at + 6)).toBe(0x1234)
    }
  })
})

describe('Sampler', () => {
  const bytes = stream(258, 5 * SAMPLE_STRIDE + 4)

  it('finds every sample right however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }), (cuts) => {
        const sampler = new Sampler()
        let at = 0
        for (let i = 0; at < bytes.length; i += 1) {
          const length = Math.min(cuts[i % cuts.length]!, bytes.length - at)
          sampler.update(bytes, at, length)
          at += length
        }
        expect([sampler.checked, sampler.wrong]).toEqual([5, 0])
      }),
      { numRuns: 30 },
    )
  })

  it('is not put off by single bytes', () => {
    const sampler = new Sampler()
    for (let at = 0; at < SAMPLE_STRIDE + 8; at += 1) sampler.update(bytes, at, 1)
    expect([sampler.checked, sampler.wrong]).toEqual([2, 0])
  })

  it('notices a changed byte, a lost piece and another flow', () => {
    const changed = Buffer.from(bytes)
    changed[SAMPLE_STRIDE + 3]! ^= 1
    const lost = Buffer.concat([bytes.subarray(0, 100), bytes.subarray(101)])
    const foreign = Buffer.concat([
      bytes.subarray(0, SAMPLE_STRIDE),
      stream(259, bytes.length).subarray(SAMPLE_STRIDE),
    ])
    for (const wrong of [changed, lost, foreign]) {
      const sampler = new Sampler()
      sampler.update(wrong, 0, wrong.length)
      expect(sampler.wrong).toBeGreaterThan(0)
    }
  })
})

it('splitBytes loses nothing', () => {
  expect(splitBytes(10, 3)).toEqual([4, 3, 3])
  expect(splitBytes(8, 8)).toEqual(Array(8).fill(1))
})
