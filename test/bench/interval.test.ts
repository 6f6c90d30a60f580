import { describe, expect, it } from 'vitest'
import { bootstrap, verdictOf } from '../../bench/interval.ts'

describe('an interval', () => {
  it('holds the median, within what was measured', () => {
    const values = [1.02, 0.97, 1.1, 1.01, 0.99, 1.05, 1]
    const { low, median, high } = bootstrap(values, 1)
    expect(median).toBe(1.01)
    expect(low).toBeGreaterThanOrEqual(0.97)
    expect(low).toBeLessThan(median)
    expect(high).toBeGreaterThan(median)
    expect(high).toBeLessThanOrEqual(1.1)
  })

  it('is the same for the same seed, and a point where nothing varies', () => {
    const values = Array.from({ length: 20 }, (_, i) => 1 + (i % 7) / 50)
    expect(bootstrap(values, 7)).toEqual(bootstrap(values, 7))
    expect(bootstrap([2, 2, 2], 1)).toEqual({ median: 2, low: 2, high: 2 })
  })

  it('is narrower the more was measured', () => {
    const some = (count: number): number[] =>
      Array.from({ length: count }, (_, i) => ((i * 7919) % 101) / 101)
    const width = (count: number): number => {
      const { low, high } = bootstrap(some(count), 3)
      return high - low
    }
    expect(width(101)).toBeLessThan(width(11))
  })

  it('of nothing there is none', () => expect(() => bootstrap([], 1)).toThrow(RangeError))
})

describe('a verdict', () => {
  it.each([
    [1.03, 1.2, 'slower'],
    [1.01, 1.2, 'same'],
    [0.9, 1.1, 'same'],
    [0.9, 0.99, 'same'],
    [0.8, 0.97, 'faster'],
  ] as const)('of %d to %d is %s', (low, high, verdict) => {
    expect(verdictOf({ median: (low + high) / 2, low, high }, 0.02)).toBe(verdict)
  })
})
