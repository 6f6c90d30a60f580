import type { Machine } from '../harness.ts'
import type { Section } from '../page.ts'
import type { Plot } from '../plot.ts'

/** What a bench prints as its last line, whichever it is. */
export interface Result {
  readonly bench: string
  readonly machine: Machine
}

/** How a bench is run for the page, and what becomes of what it prints. */
export interface Figures<One extends Result = Result> {
  /** Options of each of its runs: for the page, and to see that it works. */
  readonly runs: Readonly<Record<'full' | 'quick', readonly (readonly string[])[]>>
  /** @param results of those runs, in their order */
  sections(results: readonly One[]): Section[]
  plots(results: readonly One[]): Plot[]
}
