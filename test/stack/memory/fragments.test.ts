import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fragments } from '../../../stack/memory/fragments.ts'
import { PagePool } from '../../../stack/memory/page-pool.ts'
import { plainMemory } from '../../support/stack-pair.ts'

/** A list over niovs of 16 bytes whose memory holds ascending numbers, so that bytes tell where they come from. */
function setUp(lengths: readonly number[], capacity = 2) {
  const pool = new PagePool(0, plainMemory(64, 16))
  for (let i = 0; i < pool.bytes.length; i++) pool.bytes[i] = i * 7
  const fragments = new Fragments([pool], capacity)
  let head = -1
  let tail = -1
  const bytes: number[] = []
  for (const length of lengths) {
    const niov = pool.take()
    pool.hold(niov)
    const node = fragments.add(0, niov * 16, length)
    if (tail < 0) head = node
    else fragments.next[tail] = node
    tail = node
    bytes.push(...pool.bytes.subarray(niov * 16, niov * 16 + length))
  }
  return { pool, fragments, head, bytes }
}

function read(fragments: Fragments, head: number): number[] {
  const pool = fragments.pools[0]!
  const bytes: number[] = []
  for (let node = head; node >= 0; node = fragments.next[node]!) {
    const at = fragments.offset[node]!
    bytes.push(...pool.bytes.subarray(at, at + fragments.length[node]!))
  }
  return bytes
}

const lengths = fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 20 })

describe('Fragments', () => {
  it('keep their bytes while the arrays grow', () => {
    const { fragments, head, bytes } = setUp(new Array(40).fill(16), 1)
    expect(read(fragments, head)).toEqual(bytes)
    expect(fragments.used).toBe(40)
  })

  it('reuse freed nodes and free every niov with a list', () => {
    const { fragments, head, pool } = setUp([1, 2, 3])
    fragments.discardList(head)
    expect(fragments.used).toBe(0)
    expect(pool.freeCount).toBe(64)
    const again = fragments.add(0, 0, 5)
    expect(again).toBeLessThan(3)
    expect(fragments.next[again]).toBe(-1)
    fragments.discardList(-1)
  })

  it('split so that both parts hold the niov', () => {
    const { fragments, head, pool, bytes } = setUp([10, 10])
    const rest = fragments.split(head, 4)
    expect([fragments.length[head], fragments.length[rest]]).toEqual([4, 6])
    expect(read(fragments, head)).toEqual(bytes)
    expect(pool.stackRefs[fragments.offset[head]! >>> 4]).toBe(2)
    fragments.discardList(head)
    expect(pool.freeCount).toBe(64)
  })

  it('drop any number of bytes from the front and keep the others, freeing what is left', () => {
    fc.assert(
      fc.property(lengths, fc.nat({ max: 340 }), (parts, drop) => {
        const { fragments, head, pool, bytes } = setUp(parts)
        const rest = fragments.dropFront(head, drop)
        expect(read(fragments, rest)).toEqual(bytes.slice(drop))
        if (drop >= bytes.length) expect(rest).toBe(-1)
        else expect(fragments.lastOf(rest)).toBeGreaterThanOrEqual(0)
        fragments.discardList(rest)
        expect([fragments.used, pool.freeCount]).toEqual([0, 64])
      }),
    )
  })

  it('keep any number of bytes of the front', () => {
    fc.assert(
      fc.property(lengths, fc.nat({ max: 1000 }), (parts, pick) => {
        const { fragments, head, pool, bytes } = setUp(parts)
        const keep = pick % (bytes.length + 1)
        const kept = fragments.keepFront(head, keep)
        expect(read(fragments, kept)).toEqual(bytes.slice(0, keep))
        const niovs = new Set<number>()
        for (let node = kept; node >= 0; node = fragments.next[node]!)
          niovs.add(fragments.offset[node]! >>> 4)
        expect(pool.freeCount).toBe(64 - niovs.size)
        fragments.discardList(kept)
        expect([fragments.used, pool.freeCount]).toEqual([0, 64])
      }),
    )
  })
})
