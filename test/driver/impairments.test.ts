import { describe, expect, it } from 'vitest'
import { Fates, flipBit, SPARED, seededRandom } from '../../driver/impairments.ts'

/** Numbers in this order, and how many were taken. */
function dice(...numbers: number[]): { random: () => number; left: () => number } {
  return { random: () => numbers.shift()!, left: () => numbers.length }
}

describe('Fates', () => {
  it('draws nothing for what can’t happen', () => {
    const fates = new Fates(() => {
      throw new Error('a number was drawn')
    })
    fates.draw({ delayUs: 100, loss: 0 })
    expect([fates.lost, fates.twice, fates.flip[0], fates.late[0]]).toEqual([false, false, SPARED, SPARED])
  })

  it('gives a frame and its double a fate each, in the order loss, damage, delay, double', () => {
    const { random, left } = dice(0.9, 0.1, 0.25, 0.9, 0.1, 0.9, 0.1, 0.75)
    const fates = new Fates(random)
    fates.draw({ loss: 0.5, corrupt: 0.5, reorder: 0.5, duplicate: 0.5 })
    expect([fates.lost, fates.twice]).toEqual([false, true])
    expect([...fates.flip]).toEqual([0.25, SPARED])
    expect([...fates.late]).toEqual([SPARED, 0.75])
    expect(left()).toBe(0)
  })

  it('draws no more for a frame that is lost', () => {
    const { random, left } = dice(0.1, 0.1)
    const fates = new Fates(random)
    fates.draw({ loss: 0.5, corrupt: 1, reorder: 1, duplicate: 1 })
    expect([fates.lost, fates.twice, left()]).toEqual([true, false, 1])
  })
})

describe('flipBit', () => {
  it('flips one bit, never one of the first bytes that are to stay', () => {
    const random = seededRandom(3)
    const seen = new Set<number>()
    for (let i = 0; i < 500; i++) {
      const frame = new Uint8Array(16)
      flipBit(frame, random(), 14)
      const at = frame.findIndex((byte) => byte !== 0)
      expect([14, 15]).toContain(at)
      expect(frame[at]! & (frame[at]! - 1)).toBe(0)
      seen.add(at * 256 + frame[at]!)
    }
    expect(seen.size).toBe(16)
  })

  it('leaves a frame alone that has no more than those', () => {
    const frame = new Uint8Array(14)
    flipBit(frame, 0.5, 14)
    expect(frame).toEqual(new Uint8Array(14))
  })
})
