import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { BENCHES, type BenchName, COMMANDS } from '../../bench/benches.ts'
import { FIGURES } from '../../bench/figures/index.ts'
import { renderPlot, THEMES } from '../../bench/plot.ts'
import { checkPlaces, figuresOf, type Published, publish, readRecord, recorded } from '../../bench/publish.ts'
import { elementsOf } from './xml.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PLOTS = join(ROOT, 'docs', 'plots')
const NAMES = Object.keys(BENCHES) as BenchName[]
const page = readFileSync(join(ROOT, 'docs', 'performance.md'), 'utf8')
const record = readRecord(ROOT)

describe('all', () => {
  it('has every bench, and each has its place in the page', () => {
    expect(Object.keys(FIGURES).sort()).toEqual([...NAMES].sort())
    checkPlaces(ROOT, NAMES)
    for (const name of NAMES) {
      expect(FIGURES[name].runs.full.length).toBeGreaterThan(0)
      expect(FIGURES[name].runs.quick.length).toBeGreaterThan(0)
    }
  })

  it.each([...NAMES, ...Object.keys(COMMANDS)])('%s is a module with a main', async (name) => {
    const module = (await import(`../../bench/${name}.ts`)) as { main?: unknown }
    expect(module.main).toBeTypeOf('function')
  })
})

describe('docs/performance.md', () => {
  it('has figures of every bench', () => expect([...record.keys()].sort()).toEqual([...NAMES].sort()))

  it.each(NAMES)('has the tables of the record: %s', (name) => {
    const from = page.indexOf(`<!-- figures: ${name} -->`)
    const to = page.indexOf(`<!-- /figures: ${name} -->`)
    const lines = page.slice(from, to).split('\n').slice(2, -2)
    expect(lines).toEqual(figuresOf(name, record.get(name)!))
    expect(lines.some((line) => line.startsWith('| -'))).toBe(true)
  })

  it('has the plots of the record, in both themes and well-formed, and no others', () => {
    const plots = NAMES.flatMap((name) => FIGURES[name].plots(record.get(name)!.results))
    for (const plot of plots)
      for (const theme of THEMES) {
        const text = readFileSync(join(PLOTS, `${plot.name}-${theme}.svg`), 'utf8')
        expect(text).toBe(renderPlot(plot, theme))
        expect(elementsOf(text)[0]!.name).toBe('svg')
      }
    const files = plots.flatMap(({ name }) => THEMES.map((theme) => `${name}-${theme}.svg`))
    expect(readdirSync(PLOTS).sort()).toEqual([...files, 'figures.jsonl'].sort())
  })
})

it('README shows plots that are there, in both themes', () => {
  const shown = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/(?:src|srcset)="([^"]+\.svg)"/g)]
  expect(shown.length).toBeGreaterThanOrEqual(4)
  for (const [, path] of shown) expect(existsSync(join(ROOT, path!)), path).toBe(true)
})

describe('publishing', () => {
  const published: Published = { ...record.get('pps')!, date: '2026-01-31', quick: true }

  it('writes into the page, the plots and the record, and nothing twice', () => {
    const root = mkdtempSync(join(tmpdir(), 'zcrx-publish-'))
    try {
      mkdirSync(join(root, 'docs'))
      const file = join(root, 'docs', 'performance.md')
      writeFileSync(file, 'prose\n\n<!-- figures: pps -->\n\n<!-- /figures: pps -->\n\nmore prose\n')
      publish(root, 'pps', published)
      const text = readFileSync(file, 'utf8')
      expect(text).toMatch(/^prose\n\n<!-- figures: pps -->\n\n.*2026-01-31\. A quick run/)
      expect(text).toMatch(/<!-- \/figures: pps -->\n\nmore prose\n$/)
      publish(root, 'pps', published)
      expect(readFileSync(file, 'utf8')).toBe(text)
      expect([...readRecord(root)]).toEqual([['pps', published]])
      expect(readdirSync(join(root, 'docs', 'plots'))).toEqual([
        'figures.jsonl',
        'pps-dark.svg',
        'pps-light.svg',
      ])
      expect(() => publish(root, 'stack', record.get('stack')!)).toThrow('figures: stack')
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })

  it('replaces the line of its own bench in the record', () => {
    const one = recorded('', 'pps', published)
    const two = recorded(one, 'stack', { ...published, quick: false })
    expect(two.trimEnd().split('\n')).toHaveLength(2)
    expect(recorded(two, 'pps', published)).toBe(two)
    expect(recorded(two, 'pps', { ...published, date: '2026-02-01' })).toContain('2026-02-01')
  })
})
