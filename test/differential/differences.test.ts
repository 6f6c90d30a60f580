import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compare, hunksOf } from './compare.ts'
import { DIFFERENCES, type Difference } from './differences.ts'
import { kernelVersion } from './scenario.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { differencesTable } from './table.ts'

const listed: Difference = { scenario: 'x', ours: ['1 0'], linux: ['1 EINVAL'], reason: 'a reason' }

describe('accounts that are compared', () => {
  it('part where lines are missing, more, or others', () => {
    expect(hunksOf(['a', 'b', 'c'], ['a', 'b', 'c'])).toEqual([])
    expect(hunksOf(['a', 'b', 'c'], ['a', 'x', 'c', 'd'])).toEqual([
      { ours: ['b'], linux: ['x'] },
      { ours: [], linux: ['d'] },
    ])
    expect(hunksOf([], ['a'])).toEqual([{ ours: [], linux: ['a'] }])
  })

  it('are equal, as listed, or neither', () => {
    expect(compare(['a'], ['a'], [], [7, 3]).verdict).toBe('equal')
    expect(compare(['a', '1 0'], ['a', '1 EINVAL'], [listed], [7, 3]).verdict).toBe('as listed')
    expect(compare(['a', '1 0'], ['a', '1 EPIPE'], [listed], [7, 3])).toEqual({
      verdict: 'DIFFERS',
      unlisted: [{ ours: ['1 0'], linux: ['1 EPIPE'] }],
      stale: [listed],
    })
  })

  it('are not what is listed when they are equal: the list is wrong then', () => {
    expect(compare(['a'], ['a'], [listed], [7, 3])).toEqual({
      verdict: 'DIFFERS',
      unlisted: [],
      stale: [listed],
    })
  })

  it('part as listed on the kernels alone that it is listed for', () => {
    const old = { ...listed, until: [7, 0] as const }
    expect(compare(['1 0'], ['1 EINVAL'], [old], kernelVersion('6.18.44-generic')).verdict).toBe('as listed')
    expect(compare(['1 0'], ['1 EINVAL'], [old], kernelVersion('7.0.1')).verdict).toBe('DIFFERS')
    expect(compare(['1 0'], ['1 0'], [old], kernelVersion('7.0.1')).verdict).toBe('equal')
    const recent = { ...listed, since: [7, 0] as const }
    expect(compare(['1 0'], ['1 EINVAL'], [recent], [6, 18]).verdict).toBe('DIFFERS')
  })
})

describe('the list of differences', () => {
  it('names scenarios that there are, each with its reason', () => {
    const names = new Set(SCENARIOS.map(({ name }) => name))
    expect(DIFFERENCES.filter(({ scenario }) => !names.has(scenario))).toEqual([])
    expect(DIFFERENCES.every(({ reason }) => reason.length > 5)).toBe(true)
    expect(names.size).toBe(SCENARIOS.length)
    expect(names.size).toBeGreaterThan(100)
  })

  it('is what docs/conformance.md shows', () => {
    const text = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8')
    const lines = text.split('\n')
    const table = differencesTable(DIFFERENCES)
    const at = lines.indexOf(table[0]!)
    expect(at).toBeGreaterThan(0)
    const shown = lines.slice(
      at,
      lines.findIndex((line, i) => i > at && !line.startsWith('|')),
    )
    expect(shown).toEqual(table)
  })
})
