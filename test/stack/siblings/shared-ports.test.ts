import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answerMark, SharedPorts } from '../../../stack/siblings/shared-ports.ts'
import { runs } from '../../support/long.ts'

function two(): [SharedPorts, SharedPorts] {
  const memory = SharedPorts.memory()
  return [new SharedPorts(memory, 0), new SharedPorts(memory, 254)]
}

describe('ports of several stacks', () => {
  it('have one owner, who may take them again, and are nobody’s when all is given back', () => {
    const [one, other] = two()
    expect([one.take(50_000), one.take(50_000), other.take(50_000)]).toEqual([true, true, false])
    expect([one.sibling(50_000), other.sibling(50_000), one.sibling(50_001)]).toEqual([-1, 0, -1])
    one.release(50_000)
    other.release(50_000)
    expect(other.take(50_000)).toBe(false)
    one.release(50_000)
    one.release(50_000)
    expect([other.take(50_000), one.sibling(50_000), one.count, other.count]).toEqual([true, 254, 0, 1])
  })

  it('tell their owner of the answer that it waits for, and of no other', () => {
    const [one, other] = two()
    one.take(50_000)
    const mark = answerMark(1, 2, 3, 4, 80, 1000)
    expect(other.note(50_000, 0, mark)).toBe(false)
    one.expect(50_000, mark)
    expect(other.note(50_000, 0, answerMark(1, 2, 3, 4, 80, 1001))).toBe(false)
    expect([one.awaits(50_000), one.cameElsewhere(50_000), one.news()]).toEqual([true, false, false])
    expect([other.note(50_000, 0, mark), other.note(50_000, 0, mark)]).toEqual([true, false])
    expect([one.news(), one.news(), one.cameElsewhere(50_000), other.news()]).toEqual([
      true,
      false,
      true,
      false,
    ])
    one.release(50_000)
    expect([one.awaits(50_000), one.cameElsewhere(50_000)]).toEqual([false, false])
  })

  it('of a thread that has ended are given back', () => {
    const [one, other] = two()
    for (const port of [1, 50_000, 65_535]) one.take(port)
    other.take(2)
    other.abandon(0)
    for (const port of [1, 50_000, 65_535]) expect(other.take(port)).toBe(true)
    expect([one.sibling(2), other.sibling(2)]).toEqual([254, -1])
  })

  it('are refused an index or memory that does not do', () => {
    const memory = SharedPorts.memory()
    for (const index of [-1, 255, 0.5]) expect(() => new SharedPorts(memory, index)).toThrow('index')
    expect(() => new SharedPorts(new SharedArrayBuffer(65_536), 0)).toThrow('65536 bytes')
  })

  it('are never two stacks’ at once, whatever is taken and given back in whatever order', () => {
    const step = fc.record({ who: fc.nat(2), port: fc.integer({ min: 1, max: 4 }), take: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const memory = SharedPorts.memory()
        const all = [0, 1, 2].map((index) => new SharedPorts(memory, index))
        const held = all.map(() => new Map<number, number>())
        for (const { who, port, take } of steps) {
          const times = held[who]!.get(port) ?? 0
          const others = held.some((ports, i) => i !== who && (ports.get(port) ?? 0) > 0)
          if (take) {
            expect(all[who]!.take(port)).toBe(!others)
            if (!others) held[who]!.set(port, times + 1)
          } else {
            all[who]!.release(port)
            held[who]!.set(port, Math.max(0, times - 1))
          }
          for (const [i, ports] of all.entries()) {
            const owner = held.findIndex((count) => (count.get(port) ?? 0) > 0)
            expect(ports.sibling(port)).toBe(owner === i ? -1 : owner)
          }
        }
      }),
      { numRuns: runs(200) },
    )
  })
})

describe('the mark of an answer', () => {
  it('differs for every number that one peer may acknowledge, and is none of the words that mean something', () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
    fc.assert(
      fc.property(word, word, fc.integer({ min: 1, max: 65_535 }), word, word, (w2, w3, port, ack, other) => {
        const mark = answerMark(0, 0, w2, w3, port, ack)
        expect([0, 1]).not.toContain(mark)
        if (ack !== other && mark !== 2) expect(answerMark(0, 0, w2, w3, port, other)).not.toBe(mark)
      }),
    )
  })
})
