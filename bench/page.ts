import { BenchError } from './errors.ts'
import type { Machine } from './harness.ts'
import type { Plot } from './plot.ts'
import type { Table } from './table.ts'

/** What a bench's place in the page is filled with. */
export interface Section {
  /** What was measured how often, and with what. */
  readonly caption: string
  readonly table: Table
}

/** A table of Markdown, its columns as wide as their widest cell. */
export function markdownTable({ header, rows }: Table): string[] {
  const clean = (cell: string): string => cell.replaceAll('|', '\\|')
  const lines = [header, ...rows].map((cells) => header.map((_, column) => clean(cells[column] ?? '')))
  const widths = header.map((_, column) => Math.max(3, ...lines.map((cells) => cells[column]!.length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [first, ...rest] = lines
  return [line(first!), line(widths.map((width) => '-'.repeat(width))), ...rest.map(line)]
}

/** The plot in both themes; the reader's decides. @param folder where the plots are, from the page */
export function pictureOf({ name, description }: Plot, folder: string): string[] {
  const alt = description.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
  return [
    '<picture>',
    `  <source media="(prefers-color-scheme: dark)" srcset="${folder}/${name}-dark.svg">`,
    `  <img src="${folder}/${name}-light.svg" width="700" alt="${alt}">`,
    '</picture>',
  ]
}

/** On what it was measured, and when; `date` as in 2026-01-31. */
export function machineLine({ cpu, cores, kernel, node }: Machine, date: string): string {
  // What a distribution or a host has added says nothing to others.
  const version = /^\d+(?:\.\d+)*/.exec(kernel)?.[0] ?? kernel
  return `${cpu.trim()}, ${cores} cores, Linux ${version}, Node ${node.replace(/^v/, '')}, ${date}.`
}

/**
 * The page with what is between the markers of `name` replaced; all else stays. @throws BenchError `ZCRX_BENCH_MARKER` where the page
 * does not have each marker once, in order
 */
export function replaceFigures(page: string, name: string, lines: readonly string[]): string {
  const [opening, closing] = [`<!-- figures: ${name} -->`, `<!-- /figures: ${name} -->`]
  const from = page.indexOf(opening)
  const to = page.indexOf(closing)
  const once = from === page.lastIndexOf(opening) && to === page.lastIndexOf(closing)
  if (from < 0 || to < from || !once)
    throw new BenchError(
      'ZCRX_BENCH_MARKER',
      `the page does not have "${opening}" and "${closing}" once each`,
      'put both markers where the figures belong',
    )
  return `${page.slice(0, from + opening.length)}\n\n${lines.join('\n')}\n\n${page.slice(to)}`
}
