import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type Copies, useCopies } from '../../../copies.ts'
import { nativeOrNull } from '../../../driver/native/index.ts'
import { Sender } from '../../../stack/tcp/sender.ts'
import { sumBytes } from '../../../stack/wire/checksum.ts'

const native = nativeOrNull()
if (native === null)
  console.warn('copies by the addon are not tested: it is not built (npm run build:native)')
const ways: [string, Copies | null][] = [['by JavaScript', null]]
if (native !== null) ways.push(['by the addon', native])

describe.each(ways)('what waits to be sent, copied %s', (_, copies) => {
  afterEach(() => useCopies(native))

  it('is what was pushed or lent, wherever it lies, and so is its sum', () => {
    useCopies(copies)
    const step = fc.record({
      push: fc.oneof(fc.nat(3000), fc.integer({ min: 4096, max: 9000 })),
      lends: fc.boolean(),
      peek: fc.tuple(fc.nat(), fc.nat(3000)),
      discard: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, shared) => {
        const sender = new Sender(20_000)
        const target = shared ? new Uint8Array(new SharedArrayBuffer(4096)) : new Uint8Array(4096)
        let model = Buffer.alloc(0)
        let next = 0
        // Ends, in the stream, of what was lent, and how many have come back.
        const ends: number[] = []
        let returned = 0
        let gone = 0
        for (const { push, lends, peek, discard } of steps) {
          const bytes = Uint8Array.from({ length: push }, () => Math.imul(++next, 0x9e3779b1) >>> 24)
          const end = (count: number): number => ends.push(gone + model.length + count)
          const lender = { lent: end, returned: () => returned++ }
          const taken = sender.push(bytes, 0, push, lends ? lender : undefined)
          model = Buffer.concat([model, bytes.subarray(0, taken)])
          const skip = peek[0] % (model.length + 1)
          const count = Math.min(peek[1], model.length - skip)
          const part = model.subarray(skip, skip + count)
          target.fill(0)
          expect(sender.peekSum(skip, count, target, 66)).toBe(sumBytes(part, 0, count))
          expect(part.compare(target, 66, 66 + count)).toBe(0)
          expect(target[65]! + target[66 + count]!).toBe(0)
          target.fill(0)
          sender.peek(skip, count, target, 2)
          expect(part.compare(target, 2, 2 + count)).toBe(0)
          const acknowledged = discard % (model.length + 1)
          sender.discard(acknowledged)
          model = model.subarray(acknowledged)
          gone += acknowledged
          expect(returned).toBe(ends.filter((at) => at <= gone).length)
        }
        sender.clear()
        expect(returned).toBe(ends.length)
        expect(sender.buffered).toBe(0)
      }),
    )
  })
})
