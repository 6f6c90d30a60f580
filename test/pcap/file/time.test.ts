import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TickScale } from '../../../pcap/file/time.ts'

const halves = (ticks: bigint): [number, number] => [Number(ticks >> 32n), Number(ticks & 0xffff_ffffn)]

/** By the specification: a count of units of 10^-n or 2^-n seconds. */
function exactly(
  resolution: number,
  offset: number,
  ticks: bigint,
): { seconds: number; nanoseconds: number } {
  const base = (resolution & 0x80) === 0 ? 10n : 2n
  const perSecond = base ** BigInt(resolution & 0x7f)
  return {
    seconds: Number(ticks / perSecond) + offset,
    nanoseconds: Number(((ticks % perSecond) * 1_000_000_000n) / perSecond),
  }
}

function convert(
  resolution: number,
  offset: number,
  ticks: bigint,
): { seconds: number; nanoseconds: number } {
  const scale = new TickScale(resolution, offset)
  scale.convert(...halves(ticks))
  return { seconds: scale.seconds, nanoseconds: scale.nanoseconds }
}

describe('TickScale', () => {
  it.each([
    ['seconds', 0, 1_700_000_000n, 1_700_000_000, 0],
    ['milliseconds', 3, 1_700_000_000_123n, 1_700_000_000, 123_000_000],
    ['microseconds', 6, 1_700_000_000_123_456n, 1_700_000_000, 123_456_000],
    ['nanoseconds', 9, 1_700_000_000_123_456_789n, 1_700_000_000, 123_456_789],
    ['picoseconds', 12, 1_700_000_123_456_789_999n, 1_700_000, 123_456_789],
    ['half seconds', 0x81, 3n, 1, 500_000_000],
    ['2^-20 s', 0x94, (5n << 20n) + 1n, 5, 953],
    ['2^-32 s', 0xa0, (7n << 32n) + (1n << 31n), 7, 500_000_000],
    ['2^-63 s', 0xbf, 2n ** 64n - 1n, 1, 999_999_999],
    ['10^-127 s', 0x7f, 2n ** 64n - 1n, 0, 0],
    ['2^-127 s', 0xff, 2n ** 64n - 1n, 0, 0],
  ])('counts %s', (_name, resolution, ticks, seconds, nanoseconds) => {
    expect(convert(resolution, 0, ticks)).toEqual({ seconds, nanoseconds })
  })

  it('adds an offset of seconds, also a negative one', () => {
    expect(convert(6, 100, 1_500_000n)).toEqual({ seconds: 101, nanoseconds: 500_000_000 })
    expect(convert(6, -2, 1_500_000n)).toEqual({ seconds: -1, nanoseconds: 500_000_000 })
  })

  it('is exact for every resolution and count', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 255 }),
        fc.oneof(
          fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          fc.constantFrom(0n, 1n, 2n ** 64n - 1n, 2n ** 53n),
        ),
        fc.integer({ min: -1_000_000, max: 1_000_000 }),
        (resolution, ticks, offset) => {
          expect(convert(resolution, offset, ticks)).toEqual(exactly(resolution, offset, ticks))
        },
      ),
      { numRuns: 5000 },
    )
  })
})
