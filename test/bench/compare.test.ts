import { describe, expect, it } from 'vitest'
import { comparedTable, compareRows, confirmed, type Round } from '../../bench/compare.ts'
import { pcapTimes, resultIn, stackTimes } from '../../bench/compare-cases.ts'
import { BenchError } from '../../bench/errors.ts'
import { printed } from '../../bench/table.ts'

function rounds(ratio: number, count = 7): Round[] {
  return Array.from({ length: count }, (_, i) => {
    const noise = 1 + ((i % 3) - 1) / 100
    return {
      old: new Map([
        ['one', 10],
        ['gone', 1],
      ]),
      now: new Map([
        ['one', 10 * ratio * noise],
        ['new', 1],
      ]),
    }
  })
}

describe('comparing two trees', () => {
  it('takes the ratios of cases that both have', () => {
    const [row, ...more] = compareRows(rounds(1.1), 0.02)
    expect(more).toEqual([])
    expect(row).toMatchObject({ name: 'one', verdict: 'slower' })
    expect(row!.ratio.median).toBeCloseTo(1.1)
    expect(compareRows(rounds(1), 0.02)[0]!.verdict).toBe('same')
    expect(compareRows(rounds(0.8), 0.02)[0]!.verdict).toBe('faster')
  })

  it('calls slower only what was so twice', () => {
    expect(confirmed(rounds(1.1), rounds(1.1), 0.02)[0]!.verdict).toBe('slower')
    expect(confirmed(rounds(1.1), rounds(1), 0.02)[0]!.verdict).toBe('same')
    expect(confirmed(rounds(1), rounds(1.1), 0.02)[0]!.verdict).toBe('same')
  })

  it('prints the interval and says who is slower', () => {
    const lines = printed(comparedTable(compareRows(rounds(1.5), 0.02)))
    expect(lines[2]).toMatch(/^one\s+1\.500\s+1\.\d{3}-1\.\d{3}\s+slower$/)
  })
})

describe('a result', () => {
  const stack = {
    ip: '4',
    payload: 1448,
    flows: 64,
    checksum: 'vouched',
    bulk: false,
    split: false,
    packet: { p10: 65, median: 99 },
  }

  it('is the last line, its times by case', () => {
    const output = `stack: 10 bursts\n${JSON.stringify({ bench: 'stack', results: [stack] })}\n`
    expect([...stackTimes(resultIn('stack', output))]).toEqual([
      ['stack: IPv4, 1448 B, 64 flows, vouched, frames', 65],
    ])
    const pcap = { results: [{ name: 'read', cpuSeconds: { min: 1, median: 2, max: 3 } }] }
    expect([...pcapTimes(pcap)]).toEqual([['pcap: read', 2]])
  })

  it.each([
    ['no JSON', () => resultIn('stack', 'stack: 65 ns\n')],
    ['nothing', () => resultIn('stack', '')],
    ['no results', () => stackTimes({ bench: 'stack' })],
    ['no cases', () => stackTimes({ results: [] })],
    ['no times', () => stackTimes({ results: [{ ...stack, packet: { p10: '65' + ' ns' } }] })],
    ['an older form', () => stackTimes({ results: [{ ...stack, packet: undefined, nsPerPacket: 65 }] })],
    ['null', () => pcapTimes(null)],
  ])('of %s is not of the form', (_, read) => {
    expect(read).toThrow(BenchError)
    expect(read).toThrow(expect.objectContaining({ code: 'ZCRX_BENCH_FORM' }))
  })
})
