import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { newBulkLoops, type PostLoop, postLoop, useBulkLoops } from '../../../bulk-loops.ts'
import { nativeOrNull } from '../../../driver/native/index.ts'
import * as abi from '../../../uapi/abi/io-uring.ts'
import { CompletionQueue } from '../../../uapi/kernel/completion-queue.ts'
import { Keeper, RingKeeper } from '../../../uapi/kernel/keeper.ts'
import { Rings } from '../../../uapi/kernel/rings.ts'

const native = nativeOrNull()
if (native === null) console.warn('skipped: the addon is not built (npm run build:native)')

describe.skipIf(native === null)('loops over bursts, by the addon', () => {
  afterEach(() => useBulkLoops(() => new native!.BulkLoops(), native!.postRun))

  it('are what those who take bursts are given', () => {
    expect(newBulkLoops()).toBeInstanceOf(native!.BulkLoops)
    expect(postLoop()).toBe(native!.postRun)
  })

  it('live on whatever rows, headers and entries say, and write nowhere else', () => {
    const words = fc.oneof(fc.constantFrom(0, 1, 2, 3, 8, -1, 0x7fff_ffff, 0x450008, 0x60dd86), fc.integer())
    const array = (length: number) => fc.array(words, { minLength: length, maxLength: length })
    fc.assert(
      fc.property(
        array(64),
        array(16 * 4),
        array(8),
        array(8),
        array(8),
        fc.array(fc.nat(15), { minLength: 8, maxLength: 8 }),
        fc.boolean(),
        fc.nat(4096),
        (filling, rows, index, offset, length, flags, six, bytes) => {
          const loops = new native!.BulkLoops()
          const guarded = new Int32Array(8 + 64 * 2).fill(0x55)
          const rowsView = guarded.subarray(4, 4 + 64)
          rowsView.set(rows)
          const memory = new Int32Array(bytes >>> 2)
          for (let i = 0; i < memory.length; i++) memory[i] = filling[i % filling.length]!
          const [listed, state, rowOf] = [new Int32Array(8), new Int32Array(11), Int32Array.from(index)]
          const keys6 = six ? Int32Array.from(filling.slice(0, 40)) : null
          const entries = [Uint32Array.from(offset), Uint32Array.from(length)] as const
          loops.bind(
            ...entries,
            Uint8Array.from(flags),
            rowOf,
            listed,
            state,
            rowsView,
            Int32Array.from(index),
            new Int32Array(4),
            keys6,
          )
          state.set(filling.slice(0, 7))
          const found = loops.find(memory, 0, 8)
          expect(found).toBeLessThanOrEqual(8)
          expect(loops.scan(memory, 0, 8)).toBeLessThanOrEqual(8)
          expect([...guarded.subarray(0, 4), ...guarded.subarray(68)].every((word) => word === 0x55)).toBe(
            true,
          )
        },
      ),
      { numRuns: 300 },
    )
  })

  it('refuse what can’t be right', () => {
    const loops = new native!.BulkLoops()
    const memory = new Int32Array(1024)
    expect(() => loops.find(memory, 0, 1)).toThrow(RangeError)
    expect(() => loops.bind(...([] as unknown as Parameters<typeof loops.bind>))).toThrow(TypeError)
    const ints = (): Int32Array => new Int32Array(16)
    const bind = (state: Int32Array, index: Int32Array): void =>
      loops.bind(
        new Uint32Array(4),
        new Uint32Array(4),
        new Uint8Array(4),
        ints(),
        ints(),
        state,
        ints(),
        index,
        ints(),
        null,
      )
    expect(() => bind(new Int32Array(3), ints())).toThrow(RangeError)
    expect(() => bind(ints(), new Int32Array(3))).toThrow(RangeError)
    expect(() => loops.scan(memory, 0, 1)).toThrow(RangeError)
    bind(ints(), ints())
    expect(loops.find(memory, 0, 4)).toBe(0)
    expect(() => loops.find(memory, 0, 5)).toThrow(RangeError)
    expect(() => loops.find(memory, 2, 1)).toThrow(RangeError)
    expect(() => loops.scan(new Uint8Array(4) as unknown as Int32Array, 0, 1)).toThrow(TypeError)
    structuredClone(memory.buffer, { transfer: [memory.buffer] })
    expect(loops.scan(memory, 0, 4)).toBe(0)
  })
})

/** A queue of 64, with `used` slots taken that nobody gives back. */
function queueWith(used: number, before: number): { memory: Rings; cq: CompletionQueue } {
  const memory = new Rings(
    { sqEntries: 8, cqEntries: 64, cqeWords: 8, sqeBytes: 64 },
    (bytes) => new Uint8Array(bytes),
  )
  const cq = new CompletionQueue(memory, abi.IORING_SETUP_CQE32, new RingKeeper(new Keeper()))
  for (let i = 0; i < before + used; i++) {
    if (i === before) Atomics.store(memory.control, Rings.CQ_HEAD, before)
    else if (i < before) Atomics.store(memory.control, Rings.CQ_HEAD, i)
    cq.postData(i, 0, 1, 0, 0)
  }
  Atomics.store(memory.control, Rings.CQ_HEAD, before)
  cq.publish()
  return { memory, cq }
}

describe.skipIf(native === null)('completions of a burst, by the addon', () => {
  afterEach(() => useBulkLoops(() => new native!.BulkLoops(), native!.postRun))

  const posted = (loop: PostLoop | null, given: [number, number, number][], used: number, before: number) => {
    useBulkLoops(null, loop)
    const { memory, cq } = queueWith(used, before)
    const [offset, length] = [new Uint32Array(given.length), new Uint32Array(given.length)]
    const rowOf = new Int32Array(given.length)
    for (const [i, [row, at, bytes]] of given.entries()) {
      rowOf[i] = row
      offset[i] = at
      length[i] = bytes
    }
    const tags = Int32Array.from({ length: 16 }, (_, i) => i * 0x0101_0101)
    const userRefs = new Uint32Array(16)
    const end = cq.postRun(offset, length, rowOf, tags, 1, given.length, userRefs, 12)
    const { ranPieces, ranBytes, tail } = cq
    return { end, ranPieces, ranBytes, tail, userRefs, cqes: memory.cqes.slice() }
  }

  it('are those of JavaScript', () => {
    const piece = fc.tuple(
      fc.integer({ min: -1, max: 7 }),
      fc.nat(0xffff),
      fc.integer({ min: 1, max: 1 << 16 }),
    )
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 26, maxLength: 80 }),
        fc.nat(64),
        fc.nat(100),
        (given, used, before) => {
          expect(posted(native!.postRun, given, used, before)).toEqual(posted(null, given, used, before))
        },
      ),
    )
  })

  it('are refused for what can’t be right', () => {
    const post = native!.postRun as (...args: unknown[]) => number
    expect(() => post()).toThrow(TypeError)
    const good = (cqes: Int32Array, mask: number, to: number): unknown[] => {
      const entries = [new Uint32Array(4), new Uint32Array(4).fill(9), new Int32Array(4)]
      return [
        cqes,
        mask,
        ...entries,
        new Int32Array(2),
        new Uint32Array(1),
        12,
        0,
        to,
        0,
        0,
        4,
        new Int32Array(2),
      ]
    }
    expect(post(...good(new Int32Array(64), 7, 4))).toBe(4)
    expect(() => post(...good(new Int32Array(63), 7, 4))).toThrow(RangeError)
    expect(() => post(...good(new Int32Array(64), 7, 5))).toThrow(RangeError)
  })
})
