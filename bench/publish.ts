import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchName } from './benches.ts'
import { FIGURES } from './figures/index.ts'
import type { Result } from './figures/types.ts'
import { machineLine, markdownTable, pictureOf, replaceFigures } from './page.ts'
import { renderPlot, THEMES } from './plot.ts'

const PAGE = join('docs', 'performance.md')
/** From the page, too. */
const PLOTS = 'plots'
/** One bench a line, what it has printed. */
const RECORD = join('docs', PLOTS, 'figures.jsonl')

export interface Published {
  readonly results: readonly Result[]
  /** As in 2026-01-31. */
  readonly date: string
  /** It was run only to see that it works. */
  readonly quick: boolean
}

/** What goes between the markers of a bench: on what it was measured, its tables, its plots. */
export function figuresOf(name: BenchName, { results, date, quick }: Published): string[] {
  const figures = FIGURES[name]
  const [first] = results
  const sections = figures.sections(results).filter(({ table }) => table.rows.length > 0)
  const seen = quick ? ' A quick run, to see that the bench works: its figures mean little.' : ''
  return [
    `${machineLine(first!.machine, date)}${seen}`,
    ...sections.flatMap(({ caption, table }) => ['', caption, '', ...markdownTable(table)]),
    ...figures.plots(results).flatMap((plot) => ['', ...pictureOf(plot, PLOTS)]),
  ]
}

/** Writes tables, plots and the record of one bench. @param root of the package @throws BenchError where the page has no place for it */
export function publish(root: string, name: BenchName, published: Published): void {
  const page = readFileSync(join(root, PAGE), 'utf8')
  const replaced = replaceFigures(page, name, figuresOf(name, published))
  mkdirSync(join(root, 'docs', PLOTS), { recursive: true })
  for (const plot of FIGURES[name].plots(published.results))
    for (const theme of THEMES)
      writeFileSync(join(root, 'docs', PLOTS, `${plot.name}-${theme}.svg`), renderPlot(plot, theme))
  writeFileSync(join(root, RECORD), recorded(readIfThere(join(root, RECORD)), name, published))
  writeFileSync(join(root, PAGE), replaced)
}

/** @throws BenchError where the page has no place for one of them */
export function checkPlaces(root: string, names: readonly BenchName[]): void {
  const page = readFileSync(join(root, PAGE), 'utf8')
  for (const name of names) replaceFigures(page, name, [])
}

/** What lies in the record, by bench. */
export function readRecord(root: string): Map<BenchName, Published> {
  return new Map(
    readIfThere(join(root, RECORD))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { name, ...published } = JSON.parse(line) as Published & { name: BenchName }
        return [name, published]
      }),
  )
}

/** The record with the line of one bench replaced or added. */
export function recorded(record: string, name: BenchName, published: Published): string {
  const others = record
    .split('\n')
    .filter((line) => line !== '' && (JSON.parse(line) as { name: string }).name !== name)
  const lines = [...others, JSON.stringify({ name, ...published })]
  return `${lines.sort().join('\n')}\n`
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
