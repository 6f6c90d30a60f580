import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Request } from '../../uapi/kernel/request.ts'
import { RequestList } from '../../uapi/kernel/request-list.ts'

describe('requests that wait', () => {
  it('are listed in the order in which they began, whoever leaves', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 200 }), (acts) => {
        const all = Array.from({ length: 31 }, () => ({
          listed: false,
          before: null,
          after: null,
        })) as Request[]
        const list = new RequestList()
        const model = new Set<Request>()
        for (const number of acts) {
          const request = all[number]!
          expect(list.delete(request)).toBe(model.delete(request))
          if (number % 3 !== 0) {
            list.add(request)
            model.add(request)
          }
          expect([...list]).toEqual([...model])
          expect(list.size).toBe(model.size)
        }
        list.clear()
        expect([[...list], list.size]).toEqual([[], 0])
        expect(all.some(({ listed }) => listed)).toBe(false)
      }),
    )
  })

  it('that have left know no others: who keeps one keeps one', () => {
    const list = new RequestList()
    const make = (): Request => ({ listed: false, before: null, after: null }) as Request
    const kept = make()
    let last = kept
    list.add(kept)
    for (let i = 0; i < 100; i++) {
      const next = make()
      list.add(next)
      list.delete(last)
      last = next
    }
    let reached = 0
    for (let request: Request | null = kept; request !== null; request = request.after) reached++
    expect(reached).toBe(1)
    list.clear()
    expect([last.before, last.after]).toEqual([null, null])
  })
})
