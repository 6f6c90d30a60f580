import type { Difference } from './differences.ts'

/** The differences as docs/conformance.md shows them, a row each. */
export function differencesTable(differences: readonly Difference[]): string[] {
  const rows = differences.map(({ scenario, ours, linux, reason, until, since }) => [
    `\`${scenario}\``,
    until !== undefined ? `before ${until.join('.')}` : since !== undefined ? `from ${since.join('.')}` : '',
    spans(linux),
    spans(ours),
    reason,
  ])
  const head = ['scenario', 'kernels', 'Linux', 'here', 'why']
  const widths = head.map((title, i) =>
    Math.max(...[head, ...rows].map((row) => row[i]!.length), title.length),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)]
}

function spans(lines: readonly string[]): string {
  return lines.map((text) => `\`${text}\``).join('; ')
}
