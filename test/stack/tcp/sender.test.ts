import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type Copies, useCopies } from '../../../copying.ts'
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

  it('is what was pushed, wherever it lies in the ring, and so is its sum', () => {
    useCopies(copies)
    const step = fc.record({ push: fc.nat(3000), peek: fc.tuple(fc.nat(), fc.nat(3000)), discard: fc.nat() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, shared) => {
        const sender = new Sender(8192)
        const target = shared ? new Uint8Array(new SharedArrayBuffer(4096)) : new Uint8Array(4096)
        let model = new Uint8Array(0)
        let next = 0
        for (const { push, peek, discard } of steps) {
          const bytes = Uint8Array.from({ length: push }, () => Math.imul(++next, 0x9e3779b1) >>> 24)
          const taken = sender.push(bytes, 0, push)
          model = Uint8Array.of(...model, ...bytes.subarray(0, taken))
          const skip = peek[0] % (model.length + 1)
          const count = Math.min(peek[1], model.length - skip)
          const part = model.slice(skip, skip + count)
          target.fill(0)
          expect(sender.peekSum(skip, count, target, 66)).toBe(sumBytes(part, 0, count))
          expect(target.slice(66, 66 + count)).toEqual(part)
          expect(target[65]! + target[66 + count]!).toBe(0)
          target.fill(0)
          sender.peek(skip, count, target, 2)
          expect(target.slice(2, 2 + count)).toEqual(part)
          const gone = discard % (model.length + 1)
          sender.discard(gone)
          model = model.slice(gone)
        }
      }),
    )
  })
})
