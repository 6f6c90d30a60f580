import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fragments } from '../../../stack/memory/fragments.ts'
import { PagePool } from '../../../stack/memory/page-pool.ts'
import { OutOfOrderQueue } from '../../../stack/tcp/out-of-order-queue.ts'
import { plainMemory } from '../../support/stack-pair.ts'

const NIOV = 64

class Bench {
  readonly pool = new PagePool(0, plainMemory(512, NIOV))
  readonly fragments = new Fragments([this.pool], 4)
  readonly reassembly: OutOfOrderQueue
  readonly base: number

  constructor(base: number, maxRuns: number) {
    this.base = base
    this.reassembly = new OutOfOrderQueue(this.fragments, maxRuns)
  }

  /** A fragment list of `length` bytes of value `mark`, in pieces of `piece`. */
  list(length: number, mark: number, piece: number): number {
    let head = -1
    let tail = -1
    for (let at = 0; at < length; at += piece) {
      const part = Math.min(piece, length - at)
      const niov = this.pool.take()
      if (niov < 0) throw new Error('the test needs more niovs')
      this.pool.hold(niov)
      this.pool.bytes.fill(mark, niov * NIOV, niov * NIOV + part)
      const node = this.fragments.add(0, niov * NIOV, part)
      if (tail < 0) head = node
      else this.fragments.next[tail] = node
      tail = node
    }
    return head
  }

  insert(start: number, length: number, mark: number, piece = NIOV): boolean {
    const from = (this.base + start) | 0
    return this.reassembly.insert(from, (from + length) | 0, this.list(length, mark, piece))
  }

  read(head: number): number[] {
    const bytes: number[] = []
    for (let node = head; node >= 0; node = this.fragments.next[node]!) {
      const at = this.fragments.offset[node]!
      bytes.push(...this.pool.bytes.subarray(at, at + this.fragments.length[node]!))
    }
    return bytes
  }

  /** Runs as [start, end] relative to the base. */
  runs(): [number, number][] {
    const { count, start, end } = this.reassembly
    return Array.from({ length: count }, (_, i) => [(start[i]! - this.base) | 0, (end[i]! - this.base) | 0])
  }
}

/** Runs of filled places in a byte map. */
function runsOf(map: (number | undefined)[]): [number, number][] {
  const runs: [number, number][] = []
  for (let i = 0; i < map.length; i++) {
    if (map[i] === undefined) continue
    const last = runs.at(-1)
    if (last !== undefined && last[1] === i) last[1] = i + 1
    else runs.push([i, i + 1])
  }
  return runs
}

const bases = fc.constantFrom(0, 1000, 0x7fff_ff80, -64, -1, -0x8000_0000)

describe('Reassembly', () => {
  it('holds what a naive byte map holds: first arrival wins, runs are sorted, disjoint and apart', () => {
    const segment = fc.record({
      start: fc.nat({ max: 300 }),
      length: fc.integer({ min: 1, max: 120 }),
      piece: fc.constantFrom(1, 7, NIOV),
    })
    fc.assert(
      fc.property(
        bases,
        fc.constantFrom(1, 2, 5, 64),
        fc.array(segment, { maxLength: 14 }),
        fc.array(fc.nat({ max: 13 }), { maxLength: 3 }),
        (base, maxRuns, segments, takeAfter) => {
          const bench = new Bench(base, maxRuns)
          const { reassembly } = bench
          const map: (number | undefined)[] = new Array(512).fill(undefined)
          let recency: [number, number][] = []
          let nxt = 0
          for (const [index, { start, length, piece }] of segments.entries()) {
            if (start < nxt) continue
            const mark = index + 1
            const overlaps = runsOf(map).some(([from, to]) => from <= start + length && to >= start)
            const accepted = bench.insert(start, length, mark, piece)
            expect(accepted).toBe(overlaps || runsOf(map).length < maxRuns)
            let known = 0
            let first: [number, number] | null = null
            for (let at = start; accepted && at < start + length; at++) {
              if (map[at] === undefined) map[at] = mark
              else {
                known++
                if (first === null) first = [at, at + 1]
                else if (first[1] === at) first[1]++
              }
            }
            expect(reassembly.duplicateBytes).toBe(known)
            const duplicate = [reassembly.duplicateStart, reassembly.duplicateEnd].map((s) => (s - base) | 0)
            if (first !== null) expect(duplicate).toEqual(first)
            else expect(reassembly.duplicateStart).toBe(reassembly.duplicateEnd)

            const runs = runsOf(map)
            expect(bench.runs()).toEqual(runs)
            expect(reassembly.bytes).toBe(map.filter((byte) => byte !== undefined).length)
            for (let i = 0; i < reassembly.count; i++) {
              const [from, to] = runs[i]!
              expect(bench.read(reassembly.head[i]!)).toEqual(map.slice(from, to))
              expect(bench.fragments.lastOf(reassembly.head[i]!)).toBe(reassembly.tail[i])
            }
            if (accepted) {
              const grown = runs.find(([from, to]) => from <= start && to >= start + length)!
              recency = [grown, ...recency.filter(([from, to]) => to < grown[0] || from > grown[1])]
            }
            const edges = new Int32Array(8)
            const blocks = reassembly.sackBlocks(edges, 0, 4)
            const seen = Array.from({ length: blocks }, (_, i) => [
              (edges[i * 2]! - base) | 0,
              (edges[i * 2 + 1]! - base) | 0,
            ])
            expect(seen).toEqual(recency.slice(0, 4))
            if (takeAfter.includes(index) && reassembly.count > 0) {
              // The hole is filled, to somewhere inside the first run: its rest is taken.
              const [from, to] = runs[0]!
              nxt = Math.min(to, from + (index % 5))
              expect(reassembly.ready((base + nxt) | 0)).toBe(true)
              const list = reassembly.takeFirst((base + nxt) | 0)
              expect(bench.read(list)).toEqual(map.slice(nxt, to))
              bench.fragments.discardList(list)
              map.fill(undefined, from, to)
              recency = recency.filter(([start]) => start !== from)
              nxt = to
            }
          }
          reassembly.clear()
          expect([bench.fragments.used, bench.pool.freeCount]).toEqual([0, 512])
        },
      ),
      { numRuns: 400 },
    )
  })

  it('names the most recent run first, behind a D-SACK block, in at most the room there is (RFC 2018 4, RFC 2883 4)', () => {
    const bench = new Bench(0, 16)
    for (const start of [100, 300, 500, 700, 900]) bench.insert(start, 10, 1)
    bench.insert(310, 5, 1)
    const edges = new Int32Array(8)
    edges.set([7, 8])
    expect(bench.reassembly.sackBlocks(edges, 1, 3)).toBe(3)
    expect([...edges.subarray(0, 6)]).toEqual([7, 8, 300, 315, 900, 910])
    expect(bench.reassembly.sackBlocks(edges, 0, 4)).toBe(4)
  })

  it('gives up the run furthest ahead, and refuses holes beyond the limit without keeping their niovs', () => {
    const bench = new Bench(-20, 2)
    expect(bench.insert(10, 5, 1)).toBe(true)
    expect(bench.insert(30, 5, 2)).toBe(true)
    expect(bench.insert(50, 5, 3)).toBe(false)
    expect(bench.insert(15, 15, 4)).toBe(true)
    expect(bench.runs()).toEqual([[10, 35]])
    expect(bench.insert(50, 5, 5)).toBe(true)
    expect(bench.reassembly.dropLast()).toBe(5)
    expect(bench.reassembly.dropLast()).toBe(25)
    expect([bench.reassembly.count, bench.reassembly.bytes, bench.fragments.used]).toEqual([0, 0, 0])
    expect(bench.pool.freeCount).toBe(512)
  })

  it('discards a first run that RCV.NXT has passed', () => {
    const bench = new Bench(0, 4)
    bench.insert(10, 5, 1)
    expect(bench.reassembly.takeFirst(20)).toBe(-1)
    expect([bench.fragments.used, bench.pool.freeCount]).toEqual([0, 512])
  })
})
