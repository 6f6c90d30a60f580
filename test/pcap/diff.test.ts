import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffLines } from '../../pcap/diff.ts'

const numbered = (n: number): string[] => Array.from({ length: n }, (_, i) => `line ${i}`)

describe('differences of lists of lines', () => {
  it('are none between equal ones', () => {
    expect(diffLines([], [])).toBe('')
    expect(diffLines(numbered(5), numbered(5))).toBe('')
  })

  it('are shown with what surrounds them', () => {
    const expected = numbered(20)
    const actual = [...expected.slice(0, 9), 'new', ...expected.slice(10)]
    expect(diffLines(expected, actual, { context: 1 })).toBe(
      ['@@ 8 lines alike', '  line 8', '- line 9', '+ new', '  line 10', '@@ 9 lines alike'].join('\n'),
    )
  })

  it('say what is missing, and what is too much', () => {
    expect(diffLines(['a', 'b', 'c'], ['a', 'c', 'd'])).toBe('  a\n- b\n  c\n+ d')
    expect(diffLines(['a'], [])).toBe('- a')
    expect(diffLines([], ['a'])).toBe('+ a')
  })

  it('are bounded in lines and in work', () => {
    const text = diffLines(numbered(9000), numbered(9000).reverse(), { lines: 10 })
    expect(text.split('\n')).toHaveLength(11)
    expect(text).toMatch(/… \d+ more lines$/)
  })

  it('lead from one list to the other, with as few lines as there can be', () => {
    const list = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 })
    fc.assert(
      fc.property(list, list, (a, b) => {
        const text = diffLines(a, b, { context: 100 })
        const lines = text === '' ? a.map((line) => `  ${line}`) : text.split('\n')
        const side = (other: string): string[] =>
          lines.filter((line) => !line.startsWith(other)).map((line) => line.slice(2))
        expect(side('+')).toEqual(a)
        expect(side('-')).toEqual(b)
        expect(lines.filter((line) => line.startsWith('  ')).length).toBe(longestCommon(a, b))
      }),
      { seed: 11 },
    )
  })
})

/** Length of the longest common subsequence, from its definition. */
function longestCommon(a: string[], b: string[]): number {
  let row = new Array<number>(b.length + 1).fill(0)
  for (const x of a) {
    const next = [0]
    for (const [j, y] of b.entries()) next.push(x === y ? row[j]! + 1 : Math.max(row[j + 1]!, next[j]!))
    row = next
  }
  return row[b.length]!
}
