import { describe, expect, it } from 'vitest'
import { consumeRows, consumeTable, receiversOf } from '../../bench/consume.ts'
import { benchRows, nameOf } from '../../bench/e2e.ts'
import type { RunResult } from '../../bench/e2e-run.ts'
import { parseList } from '../../bench/harness.ts'
import { ppsRows, ppsTable } from '../../bench/pps.ts'
import { acceptRows, acceptTable } from '../../bench/scale-accept.ts'
import type { AcceptFigures } from '../../bench/scale-accept-child.ts'
import { withoutCollections } from '../../bench/scale-growth.ts'
import { printed } from '../../bench/table.ts'
import { UsageError } from '../../daemon/cli/parse.ts'

describe('packets a second', () => {
  const run = (packetsPerSecond: number) => ({ packetsPerSecond, cpuNs: 500, lost: 0 })

  it('are compared with the loop of the same round', () => {
    const rounds = [
      { zcrx: run(6e5), 'xdp-drop': run(1e6) },
      { zcrx: run(9e5), 'xdp-drop': run(1e6) },
      { zcrx: run(8e5), 'xdp-drop': run(2e6) },
    ]
    const [zcrx, drop] = ppsRows('native', rounds)
    expect(zcrx!.toDrop).toEqual({ min: 0.4, median: 0.6, max: 0.9 })
    expect(drop!.toDrop).toBeUndefined()
    expect(printed(ppsTable([zcrx!, drop!]))[2]).toMatch(
      /^native\s+zcrx\s+0\.80 \(0\.60-0\.90\)\s+0\.60 \(0\.40-0\.90\)/,
    )
  })
})

describe('a stream that is consumed', () => {
  const run = (gbps: number) => ({ gbps, cpuSecondsPerGB: 0.5 })

  it('is compared with that to node:net in the same round', () => {
    const rounds = [
      { xdp: run(10), tap: run(30), 'node:net': run(20) },
      { xdp: run(30), tap: run(30), 'node:net': run(10) },
    ]
    const all = rounds.map((round) =>
      Object.assign(Object.fromEntries(receiversOf('file').map((one) => [one, run(20)])), round),
    )
    const rows = consumeRows('file', all as never).filter(({ receiver }) => receiver in rounds[0]!)
    expect(rows.map(({ receiver, toNode }) => [receiver, toNode?.min, toNode?.max])).toEqual([
      ['xdp', 0.5, 3],
      ['tap', 1.5, 3],
      ['node:net', undefined, undefined],
    ])
    expect(printed(consumeTable(rows))[2]).toMatch(
      /^file\s+xdp\s+20\.0 \(10\.0-30\.0\)\s+1\.75 \(0\.50-3\.00\)/,
    )
  })
})

describe('accepting', () => {
  const figures = (seconds: number, residentBytes: number): AcceptFigures => ({
    seconds,
    cpuSeconds: 0.1,
    heapBytes: 1000,
    residentBytes,
  })

  it('is compared with node:net of the same round', () => {
    const round = (xdp: number) => ({
      xdp: figures(xdp, 3000),
      tap: figures(1, 3000),
      linux: figures(1, 3000),
      'node:net': figures(1, 2000),
    })
    const rows = acceptRows(1000, [round(0.5), round(0.25), round(1)])
    const [xdp] = rows
    expect(xdp).toMatchObject({
      server: 'xdp',
      acceptsPerSecond: { min: 1000, median: 2000, max: 4000 },
      rateToNode: { min: 1, median: 2, max: 4 },
      residentToNode: { min: 1.5, median: 1.5, max: 1.5 },
    })
    expect(xdp!.cpuUs.median).toBeCloseTo(100)
    expect(rows.at(-1)).not.toHaveProperty('rateToNode')
    expect(printed(acceptTable(rows))).toHaveLength(6)
  })
})

describe('passes of the stack', () => {
  const span = (began: number, ended: number) => ({ began, ended })

  it('count without the collections in them', () => {
    const passes = [span(0, 1), span(2, 6), span(7, 8), span(10, 12)]
    const collections = [span(1.2, 1.8), span(3, 4), span(5, 7.5), span(9, 13)]
    expect([...withoutCollections(passes, collections)]).toEqual([1, 2, 0.5, 0])
    expect([...withoutCollections(passes, [])]).toEqual([1, 4, 1, 2])
    expect([...withoutCollections([], collections)]).toEqual([])
  })
})

describe('streams', () => {
  const run = (receiver: RunResult['receiver'], workers: number, gbps: number): RunResult => ({
    receiver,
    workers,
    mode: 'mode',
    bytes: 1e9,
    gbps,
    cpuSecondsPerGB: 0.1,
    machineCpuSecondsPerGB: 0.2,
    retransmittedSegments: 0,
    copiedBytes: 0,
    drops: {},
  })

  it('to workers have rows of their own', () => {
    const rounds = [1, 2].map((factor) => [
      run('xdp', 0, 10 * factor),
      run('xdp', 2, 20 * factor),
      run('node:net', 0, 10),
    ])
    const rows = benchRows({ mtu: 1500, flows: 8 }, rounds)
    expect(rows.map(nameOf)).toEqual(['xdp', 'xdp, 2 workers', 'node:net'])
    expect(rows.map(({ toNode }) => toNode?.median)).toEqual([1.5, 3, undefined])
    expect(rows.every(({ mtu, flows }) => mtu === 1500 && flows === 8)).toBe(true)
  })
})

describe('a list', () => {
  it('is given with commas or several times', () => {
    expect(parseList(['1,8', '64'], [5], 'number', 1, 100)).toEqual([1, 8, 64])
    expect(parseList(undefined, [5], 'number', 1, 100)).toEqual([5])
    for (const wrong of ['0', '101', '', '1,,2', 'x'])
      expect(() => parseList([wrong], [5], 'number', 1, 100)).toThrow(UsageError)
  })
})
