import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PAGE } from '../../../pages.ts'
import { AddressSpace } from '../../../uapi/kernel/address-space.ts'

const FIRST = 0x1_0000
const SLOTS = 24

describe('memory that another space gave its addresses to', () => {
  it('lies where it was mapped, never over other memory, until it is unmapped', () => {
    const step = fc.record({
      maps: fc.boolean(),
      at: fc.nat(SLOTS),
      offset: fc.constantFrom(0, 0, 0, 0, 1, PAGE / 2),
      bytes: fc.constantFrom(1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const space = new AddressSpace()
        // What lies at each page, told by its first bytes.
        const model = new Map<number, { bytes: Uint8Array; mark: number }>()
        for (const [mark, { maps, at, offset, bytes }] of steps.entries()) {
          const base = FIRST + at * PAGE + offset
          if (!maps) {
            space.unmap(base)
            model.delete(base)
          } else {
            const memory = new Uint8Array(new SharedArrayBuffer(bytes))
            memory[0] = mark
            const free = [...model].every(
              ([other, { bytes: there }]) => other + there.length <= base || base + bytes <= other,
            )
            expect(space.map(base, memory.buffer)).toBe(free && offset === 0)
            if (free && offset === 0) model.set(base, { bytes: memory, mark })
            // No memory has two addresses.
            expect(space.map(FIRST + 1000 * PAGE, memory.buffer)).toBe(!(free && offset === 0))
            space.unmap(FIRST + 1000 * PAGE)
          }
          for (let page = 0; page < SLOTS + 4; page++) {
            const address = FIRST + page * PAGE
            const there = [...model].find(([b, { bytes: m }]) => b <= address && address < b + m.length)
            const seen = space.from(address)
            expect(seen === null).toBe(there === undefined)
            if (there === undefined || seen === null) continue
            const [b, { bytes: m }] = there
            expect([seen.buffer === m.buffer, seen.byteOffset]).toEqual([true, address - b])
            expect(space.view(address, m.length - (address - b))).not.toBeNull()
            expect(space.view(address, m.length - (address - b) + 1)).toBeNull()
          }
        }
        // What gets an address here lies behind all of it.
        const own = space.addressOf(new Uint8Array(8))
        for (const [b, { bytes: m }] of model) expect(own).toBeGreaterThanOrEqual(b + m.length)
      }),
    )
  })

  it.each([0, 1, PAGE, FIRST - PAGE, -FIRST, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, FIRST + 0.5])(
    'can’t lie at %s',
    (base) => {
      expect(new AddressSpace().map(base, new SharedArrayBuffer(8))).toBe(false)
    },
  )
})
