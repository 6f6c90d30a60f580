import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Heap } from '../../../pcap/follow/heap.ts'

describe('Heap', () => {
  it('gives back what is in it, the first first', () => {
    // Null takes one.
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(50), { freq: 3 })), (steps) => {
        const heap = new Heap<number>((a, b) => a < b)
        const model: number[] = []
        for (const step of steps) {
          if (step !== null) {
            heap.push(step)
            model.push(step)
            model.sort((a, b) => a - b)
          } else if (model.length > 0) {
            expect(heap.peek()).toBe(model[0])
            expect(heap.pop()).toBe(model.shift())
          }
          expect(heap.size).toBe(model.length)
          expect([...heap].sort((a, b) => a - b)).toEqual(model)
        }
        while (model.length > 0) expect(heap.pop()).toBe(model.shift())
        expect(heap.size).toBe(0)
      }),
    )
  })
})
