import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** A fenced block of TypeScript. */
export interface CodeBlock {
  /** File and line of the block's first line, for messages: `docs/api/ring.md:12`. */
  readonly at: string
  /** What stands behind `ts`: `run`, `no-check`, nothing. */
  readonly marks: readonly string[]
  readonly code: string
  /** The `text` block that follows, which is what a block marked `run` prints; null without one. */
  readonly prints: string | null
}

/** Pages of the repository, relative to its root. */
export function pages(): string[] {
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'))
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
  return [...top, ...docs].sort()
}

export function read(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
}

/** Every block that begins with three backticks and `ts`, or another language. @throws Error for a fence that is never closed */
export function codeBlocks(page: string, text: string, wanted = 'ts'): CodeBlock[] {
  const blocks: CodeBlock[] = []
  const fences = fencesOf(page, text)
  for (const [index, fence] of fences.entries()) {
    const [language, ...marks] = fence.info.split(/\s+/)
    if (language !== wanted) continue
    const next = fences[index + 1]
    const prints = marks.includes('run') && next?.info === 'text' ? next.content : null
    blocks.push({ at: `${page}:${fence.line}`, marks, code: fence.content, prints })
  }
  return blocks
}

interface Fence {
  readonly info: string
  readonly line: number
  readonly content: string
}

function fencesOf(page: string, text: string): Fence[] {
  const fences: Fence[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    const open = /^```(.*)$/.exec(lines[i]!)
    if (open === null) continue
    const from = i + 1
    while (++i < lines.length && lines[i] !== '```');
    if (i >= lines.length) throw new Error(`${page}:${from} opens a block that is never closed`)
    fences.push({ info: open[1]!.trim(), line: from, content: lines.slice(from, i).join('\n') })
  }
  return fences
}

/** The text without its fenced blocks. */
export function prose(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '')
}

/** Targets of links that are neither addresses nor mail. */
export function relativeLinks(text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1]!)
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** Anchors that a page's headings have, as GitHub makes them. */
export function anchors(text: string): Set<string> {
  return new Set(
    [...prose(text).matchAll(/^#+ (.*)$/gm)].map((match) =>
      match[1]!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** What stands between backticks. */
export function codeSpans(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!)
}

/** Cells of every table row, header and rule left out. */
export function tableRows(text: string): string[][] {
  const rows: string[][] = []
  const lines = prose(text).split('\n')
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('|') || /^\|[\s|:-]+$/.test(line)) continue
    if (/^\|[\s|:-]+$/.test(lines[index + 1] ?? '')) continue
    rows.push(
      line
        .slice(1, line.lastIndexOf('|'))
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    )
  }
  return rows
}

/** The part of a page under a heading, up to the next heading of the same level or above. */
export function section(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`)
  if (start < 0) throw new Error(`no heading "${heading}"`)
  const level = heading.indexOf(' ')
  const rest = text.slice(start + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return end < 0 ? rest : rest.slice(0, end)
}

/** Path from one folder to a file, with a leading dot. */
export function from(folder: string, file: string): string {
  const path = relative(folder, join(ROOT, file))
  return path.startsWith('.') ? path : `./${path}`
}
