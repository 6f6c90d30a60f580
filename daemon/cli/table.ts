/** Fixed-width tables: first column left, the others right. */

export interface TableOptions {
  /** Written in front of every line. */
  readonly indent?: string
}

/** Lines of `rows` under `header`, columns two spaces apart, a rule under the header. No line ends in white space. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string[] {
  const indent = options.indent ?? ''
  const widths = header.map((title, column) =>
    rows.reduce((width, row) => Math.max(width, (row[column] ?? '').length), title.length),
  )
  const line = (cells: readonly string[]): string =>
    (
      indent +
      widths
        .map((width, column) => {
          const cell = cells[column] ?? ''
          return column === 0 ? cell.padEnd(width) : cell.padStart(width)
        })
        .join('  ')
    ).trimEnd()
  const rule = indent + widths.map((width) => '-'.repeat(width)).join('  ')
  return [line(header), rule, ...rows.map(line)]
}

/** Breaks `text` at spaces so that no line is longer than `width` (longer words stand alone), each after `indent`. */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let current = ''
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (current !== '' && indent.length + current.length + 1 + word.length > width) {
      lines.push(indent + current)
      current = word
    } else {
      current = current === '' ? word : `${current} ${word}`
    }
  }
  if (current !== '') lines.push(indent + current)
  return lines
}
