import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PagePool, takeCensus } from '../../../stack/memory/page-pool.ts'
import { runs } from '../../support/long.ts'
import { plainMemory } from '../../support/stack-pair.ts'

describe('PagePool', () => {
  it('hands a fresh area out from the highest niov down, and what came back last first (kernel record point 24)', () => {
    const pool = new PagePool(0, plainMemory(4))
    expect([pool.take(), pool.take(), pool.take()]).toEqual([3, 2, 1])
    pool.put(3)
    pool.put(2)
    expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([2, 3, 0, -1])
  })

  it('frees a niov only after every completion came back (kernel record point 64)', () => {
    const pool = new PagePool(0, plainMemory(2))
    const niov = pool.take()
    pool.hold(niov)
    pool.shareWithUser(niov)
    pool.handToUser(niov)
    expect(pool.returnFromUser(niov)).toBe(true)
    expect(pool.freeCount).toBe(1)
    expect(pool.returnFromUser(niov)).toBe(true)
    expect(pool.freeCount).toBe(2)
    expect(pool.returnFromUser(niov)).toBe(false)
    expect(pool.freeCount).toBe(2)
  })

  it('keeps a niov that the stack still references when the user returns it', () => {
    const pool = new PagePool(0, plainMemory(1))
    const niov = pool.take()
    pool.hold(niov)
    pool.shareWithUser(niov)
    expect(pool.returnFromUser(niov)).toBe(true)
    expect(pool.freeCount).toBe(0)
    pool.drop(niov)
    expect(pool.freeCount).toBe(1)
  })

  it('refuses niovs that do not exist or are not out (kernel record points 38, 39)', () => {
    const pool = new PagePool(0, plainMemory(4))
    for (const niov of [0, 3, 4, 5, 1 << 20, 0xffff_ffff]) expect(pool.returnFromUser(niov)).toBe(false)
    expect(pool.freeCount).toBe(4)
    expect(pool.userOut).toBe(0)
  })

  it('keeps every niov in exactly one place under any order of takes, holds, hand-outs and returns', () => {
    const step = fc.record({
      kind: fc.constantFrom('take', 'hold', 'drop', 'hand', 'share', 'return', 'bogus', 'fill', 'rx'),
      pick: fc.nat({ max: 1000 }),
    })
    fc.assert(
      fc.property(fc.constantFrom(1, 4, 8, 16, 33), fc.array(step, { maxLength: 120 }), (total, steps) => {
        const pool = new PagePool(0, plainMemory(total))
        const nic: number[] = []
        const stackRefs = new Array<number>(total).fill(0)
        const userRefs = new Array<number>(total).fill(0)
        const withStack = (): number[] => [...stackRefs.keys()].filter((niov) => stackRefs[niov]! > 0)
        const choose = (from: number[], pick: number): number =>
          from.length === 0 ? -1 : from[pick % from.length]!
        for (const { kind, pick } of steps) {
          const held = choose(withStack(), pick)
          if (kind === 'take' || kind === 'fill') {
            const niov = pool.take()
            if (niov < 0) {
              expect(pool.freeCount).toBe(0)
              continue
            }
            expect(stackRefs[niov]! + userRefs[niov]!).toBe(0)
            expect(nic).not.toContain(niov)
            if (kind === 'fill') nic.push(niov)
            else {
              pool.hold(niov)
              stackRefs[niov] = 1
            }
          } else if (kind === 'rx' && nic.length > 0) pool.put(nic.splice(pick % nic.length, 1)[0]!)
          else if (kind === 'hold' && held >= 0) {
            pool.hold(held)
            stackRefs[held]!++
          } else if (kind === 'drop' && held >= 0) {
            pool.drop(held)
            stackRefs[held]!--
          } else if (kind === 'hand' && held >= 0) {
            pool.handToUser(held)
            stackRefs[held]!--
            userRefs[held]!++
          } else if (kind === 'share' && held >= 0) {
            pool.shareWithUser(held)
            userRefs[held]!++
          } else if (kind === 'return') {
            const niov = pick % total
            expect(pool.returnFromUser(niov)).toBe(userRefs[niov]! > 0)
            if (userRefs[niov]! > 0) userRefs[niov]!--
          } else if (kind === 'bogus') expect(pool.returnFromUser(total + pick)).toBe(false)
          const census = takeCensus(pool, nic.length)
          const queued = withStack().length
          const user = userRefs.filter((refs, niov) => refs > 0 && stackRefs[niov] === 0).length
          expect(census).toEqual({
            total,
            free: total - queued - user - nic.length,
            fill: nic.length,
            rx: 0,
            queued,
            user,
            lost: 0,
          })
          expect(new Set(pool.free.subarray(0, pool.freeCount)).size).toBe(pool.freeCount)
          expect(pool.userOut).toBe(userRefs.reduce((sum, refs) => sum + refs, 0))
        }
        const out = userRefs.reduce((sum, refs) => sum + refs, 0)
        expect(pool.scrub()).toBe(out)
        expect(pool.userOut).toBe(0)
        expect(pool.freeCount).toBe(total - nic.length - withStack().length)
      }),
      { numRuns: runs(200) },
    )
  })
})
