import { describe, expect, it } from 'vitest'
import { errnoName, formatBytes, formatCount, formatShort, gigabits } from '../../daemon/cli/format.ts'
import { renderTable, wrap } from '../../daemon/cli/table.ts'

describe('renderTable', () => {
  it('aligns the first column left and the others right', () => {
    expect(
      renderTable(
        ['', 'zcrx', 'node:net'],
        [
          ['Gbit/s', '10.5', '9'],
          ['a longer title', '1'],
        ],
      ),
    ).toEqual([
      '                zcrx  node:net',
      '--------------  ----  --------',
      'Gbit/s          10.5         9',
      'a longer title     1',
    ])
  })

  it('wraps at spaces, never inside a word', () => {
    expect(wrap('one two three fourteen', 9, '  ')).toEqual(['  one two', '  three', '  fourteen'])
    expect(wrap('', 9)).toEqual([])
  })
})

describe('numbers', () => {
  it('bytes', () => {
    expect([0, 1023, 1024, 1536, 123 * 1024, 2 ** 30].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.00 KiB',
      '1.50 KiB',
      '123 KiB',
      '1.00 GiB',
    ])
  })

  it('counts', () => {
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1 000', '1 234 567'])
    expect([999, 1234, 45_600, 7_890_000, 3e9].map(formatShort)).toEqual([
      '999',
      '1.23k',
      '45.6k',
      '7.89M',
      '3.00G',
    ])
  })

  it('rates and errors', () => {
    expect(gigabits(1e9, 2)).toBe(4)
    expect(gigabits(1e9, 0)).toBe(0)
    expect(errnoName(104)).toBe('ECONNRESET')
  })
})
