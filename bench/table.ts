import { renderTable } from '../daemon/cli/table.ts'

/** Rows of cells under a header: printed on a terminal, or written into a page. */
export interface Table {
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function table(header: readonly string[], rows: readonly (readonly string[])[]): Table {
  return { header, rows }
}

/** Lines for a terminal. */
export function printed({ header, rows }: Table): string[] {
  return renderTable(header, rows)
}
