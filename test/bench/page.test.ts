import { describe, expect, it } from 'vitest'
import { BenchError } from '../../bench/errors.ts'
import { machineLine, markdownTable, pictureOf, replaceFigures } from '../../bench/page.ts'

describe('a table of Markdown', () => {
  it('has columns as wide as their widest cell', () => {
    const table = { header: ['what', 'x'], rows: [['a | b', '1.5'], ['c'], ['', '12 (10-14)']] }
    expect(markdownTable(table)).toEqual([
      '| what   | x          |',
      '| ------ | ---------- |',
      '| a \\| b | 1.5        |',
      '| c      |            |',
      '|        | 12 (10-14) |',
    ])
  })
})

describe('a page', () => {
  const page =
    'before\n<!-- figures: one -->\n\nold\n\n<!-- /figures: one -->\nafter <!-- figures: two --><!-- /figures: two -->\n'

  it('has what is between the markers replaced, and nothing else', () => {
    const replaced = replaceFigures(page, 'one', ['new', 'lines'])
    expect(replaced).toBe(page.replace('\n\nold\n\n', '\n\nnew\nlines\n\n'))
    expect(replaceFigures(replaced, 'one', ['new', 'lines'])).toBe(replaced)
    expect(replaceFigures(page, 'two', ['$&'])).toContain(
      'after <!-- figures: two -->\n\n$&\n\n<!-- /figures: two -->\n',
    )
  })

  it.each([
    ['none', page, 'three'],
    ['no end', page.replace('<!-- /figures: one -->', ''), 'one'],
    ['no beginning', page.replace('<!-- figures: one -->', ''), 'one'],
    ['the end first', '<!-- /figures: one --> <!-- figures: one -->', 'one'],
    ['two', page + page, 'one'],
  ])('is refused with %s of the markers', (_, text, name) => {
    const replace = (): string => replaceFigures(text, name, [])
    expect(replace).toThrow(BenchError)
    expect(replace).toThrow(expect.objectContaining({ code: 'ZCRX_BENCH_MARKER' }))
  })
})

it('says on what was measured, without what a host has added', () => {
  const machine = { cpu: ' Some CPU ', cores: 2, kernel: '6.18.44-host-1', node: 'v20.20.2' }
  expect(machineLine(machine, '2026-01-31')).toBe(
    'Some CPU, 2 cores, Linux 6.18.44, Node 20.20.2, 2026-01-31.',
  )
})

it('shows the plot of the theme that the reader has', () => {
  const plot = { name: 'one', title: '', description: 'a "b" & c', unit: '', digits: 0, groups: [] }
  expect(pictureOf(plot, 'plots')).toEqual([
    '<picture>',
    '  <source media="(prefers-color-scheme: dark)" srcset="plots/one-dark.svg">',
    '  <img src="plots/one-light.svg" width="700" alt="a &quot;b&quot; &amp; c">',
    '</picture>',
  ])
})
