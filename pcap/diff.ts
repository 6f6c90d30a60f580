/** How much of a difference is shown. */
export interface DiffOptions {
  /** Lines shown around each difference. Default 3. */
  context?: number
  /** Most lines of the text. Default 200. */
  lines?: number
}

/** Cells of the table of common subsequences: 4 bytes each. Beyond, what differs is shown whole. */
const MOST_CELLS = 4_000_000

/**
 * What differs between two lists of lines: `-` what only the first has, `+` what only the second has. Empty when they are
 * equal. Time and memory are bounded: lists that differ over more than 4 million pairs of lines are not matched line by line.
 */
export function diffLines(
  expected: readonly string[],
  actual: readonly string[],
  { context = 3, lines: most = 200 }: DiffOptions = {},
): string {
  const shortest = Math.min(expected.length, actual.length)
  let head = 0
  while (head < shortest && expected[head] === actual[head]) head++
  let tail = 0
  while (tail < shortest - head && expected.at(-1 - tail) === actual.at(-1 - tail)) tail++
  const middle = compare(
    expected.slice(head, expected.length - tail),
    actual.slice(head, actual.length - tail),
  )
  if (middle.length === 0) return ''
  const all = [
    ...expected.slice(0, head).map(common),
    ...middle,
    ...expected.slice(expected.length - tail).map(common),
  ]
  const shown = hunks(all, context)
  const rest = shown.length - most
  return (rest > 0 ? [...shown.slice(0, most), `… ${rest} more lines`] : shown).join('\n')
}

function common(line: string): string {
  return `  ${line}`
}

/** By the longest common subsequence. */
function compare(a: readonly string[], b: readonly string[]): string[] {
  const width = b.length + 1
  if (a.length * b.length > MOST_CELLS)
    return [...a.map((line) => `- ${line}`), ...b.map((line) => `+ ${line}`)]
  // longest[i * width + j]: of a from i on and b from j on.
  const longest = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j
      longest[at] =
        a[i] === b[j] ? longest[at + width + 1]! + 1 : Math.max(longest[at + width]!, longest[at + 1]!)
    }
  }
  const out: string[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push(common(a[i++]!))
      j++
    } else if (
      j === b.length ||
      (i < a.length && longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!)
    ) {
      out.push(`- ${a[i++]}`)
    } else out.push(`+ ${b[j++]}`)
  }
  return out
}

/** Differences with what surrounds them; `@@ n lines alike` for what is left out. */
function hunks(lines: readonly string[], context: number): string[] {
  const near = new Uint8Array(lines.length)
  for (const [i, line] of lines.entries()) {
    if (line.startsWith(' ')) continue
    near.fill(1, Math.max(0, i - context), i + context + 1)
  }
  const out: string[] = []
  let skipped = 0
  const flush = (): void => {
    if (skipped > 0) out.push(`@@ ${skipped} lines alike`)
    skipped = 0
  }
  for (const [i, line] of lines.entries()) {
    if (near[i] === 1) {
      flush()
      out.push(line)
    } else skipped++
  }
  flush()
  return out
}
