import { describe, expect, it } from 'vitest'
import { ENODEV } from '../../../uapi/abi/errno.ts'
import * as abi from '../../../uapi/abi/io-uring.ts'
import { UringParams } from '../../../uapi/abi/params.ts'
import { Grave } from '../../../uapi/backend/worker/grave.ts'
import { inFlight, Ledger } from '../../../uapi/kernel/ledger.ts'
import { Rings } from '../../../uapi/kernel/rings.ts'
import { sizesOf } from '../../../uapi/kernel/setup.ts'
import { RingMemory } from '../../../uapi/ring/memory.ts'

/** The memory of a ring, seen from both sides. */
function memoryOf(flags: number): { memory: RingMemory; rings: Rings } {
  const params = new UringParams(new Uint8Array(UringParams.SIZE))
  params.flags = flags
  const sizes = sizesOf(4, params)
  if ('errno' in sizes) throw new Error(sizes.why)
  const rings = new Rings(sizes, (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)))
  rings.describe(params)
  return { memory: new RingMemory({ rings: rings.bytes, sqes: rings.sqes }, params), rings }
}

/** What is in the queue: `user_data` and results. The user has read it then. */
function take({ control, cqes, cqeWords, cqEntries }: Rings): [number, number, number][] {
  const found: [number, number, number][] = []
  const tail = control[Rings.CQ_TAIL]!
  for (let at = control[Rings.CQ_HEAD]!; at !== tail; at = (at + 1) | 0) {
    const word = (at & (cqEntries - 1)) * cqeWords
    found.push([cqes[word]!, cqes[word + 1]!, cqes[word + 2]!])
    expect([...cqes.subarray(word + 3, word + cqeWords)]).toEqual(Array(cqeWords - 3).fill(0))
  }
  control[Rings.CQ_HEAD] = tail
  return found
}

const gone = (data: number): [number, number, number] => [data, 0, -ENODEV]

describe.each([
  ['16 bytes', 0],
  ['32 bytes', abi.IORING_SETUP_CQE32],
  ['mixed sizes', abi.IORING_SETUP_CQE_MIXED],
  ['32 bytes, with entries of 128', abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_SQE128],
])('the grave of a ring with completions of %s', (_, flags) => {
  const submit = ({ control, sqes, sqeBytes, sqEntries }: Rings, data: number): void => {
    const tail = control[Rings.SQ_TAIL]!
    const at = (tail & (sqEntries - 1)) * sqeBytes + 32
    new DataView(sqes.buffer, sqes.byteOffset).setUint32(at, data, true)
    control[Rings.SQ_TAIL] = (tail + 1) | 0
  }

  it('completes what was in flight, then what was not taken yet, then what is submitted', () => {
    const { memory, rings } = memoryOf(flags)
    submit(rings, 3)
    submit(rings, 4)
    const grave = new Grave(memory, [1, 0, 2, 0])
    expect(take(rings)).toEqual([1, 2, 3, 4].map(gone))
    expect(rings.control[Rings.SQ_HEAD]).toBe(2)
    for (const data of [5, 6, 7]) submit(rings, data)
    expect(grave.enter(2)).toBe(2)
    expect(grave.enter(2)).toBe(1)
    expect(grave.enter(2)).toBe(0)
    expect(take(rings)).toEqual([5, 6, 7].map(gone))
  })

  it('notifies of what had completed all but for that', () => {
    const { memory, rings } = memoryOf(flags)
    new Grave(memory, [1, 0], [5, 0])
    const { cqes, cqeWords } = rings
    expect([cqes[0], cqes[2], cqes[3]]).toEqual([5, 0, abi.IORING_CQE_F_NOTIF])
    expect([cqes[cqeWords], cqes[cqeWords + 2], cqes[cqeWords + 3]]).toEqual([1, -ENODEV, 0])
    expect(rings.control[Rings.CQ_TAIL]).toBe(2)
  })

  it('leaves what is there, says that there is more, and goes on as there is room, around any wrap', () => {
    for (const start of [0, 5, 0x7fff_fffe, -3]) {
      const { memory, rings } = memoryOf(flags)
      const { control, cqes, cqEntries, cqeWords } = rings
      control[Rings.CQ_HEAD] = start
      control[Rings.CQ_TAIL] = (start + 1) | 0
      const first = (start & (cqEntries - 1)) * cqeWords
      cqes.set([77, 0, 5], first)
      const many = Array.from({ length: 2 * cqEntries }, (_, i) => i + 1)
      const grave = new Grave(
        memory,
        many.flatMap((data) => [data, 0]),
      )
      const found = take(rings)
      expect(found.length).toBe(cqEntries)
      expect(found.shift()).toEqual([77, 0, 5])
      expect(control[Rings.SQ_FLAGS]! & abi.IORING_SQ_CQ_OVERFLOW).not.toBe(0)
      while (found.length < many.length) {
        expect(grave.enter(0)).toBe(0)
        found.push(...take(rings))
      }
      expect(found).toEqual(many.map(gone))
      expect(control[Rings.SQ_FLAGS]! & abi.IORING_SQ_CQ_OVERFLOW).toBe(0)
    }
  })

  it('takes no more entries than there are, whatever the tail says', () => {
    const { memory, rings } = memoryOf(flags)
    rings.control[Rings.SQ_TAIL] = 0x7fff_ffff
    new Grave(memory, [])
    expect(take(rings).length).toBe(rings.sqEntries)
  })
})

describe('a ledger', () => {
  it('tells what is in flight, while and after it grows', () => {
    const memories: SharedArrayBuffer[] = []
    const ledger = new Ledger((memory) => memories.push(memory))
    expect([memories.length, inFlight(null)]).toEqual([0, []])
    const slots = Array.from({ length: 200 }, (_, i) => ledger.enter(i, -i))
    expect(new Set(slots).size).toBe(200)
    expect(memories.length).toBe(3)
    for (let i = 0; i < 200; i += 2) ledger.leave(slots[i]!)
    const left = inFlight(memories.at(-1)!)
    const odd = Array.from({ length: 100 }, (_, i) => 2 * i + 1)
    expect(left.filter((_, at) => at % 2 === 0).sort((a, b) => a - b)).toEqual(odd)
    expect(left[1]).toBe(-left[0]! >>> 0)
    // Slots are used again.
    for (let i = 0; i < 100; i++) ledger.enter(i, 0)
    expect(memories.length).toBe(3)
  })
})
