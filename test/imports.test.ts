import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** What is no room of the package: tests and examples may import what they like. */
const OUTSIDE = new Set([
  'test',
  'examples',
  'node_modules',
  'dist',
  'build',
  'docs',
  'scripts',
  'bin',
  'prebuilds',
])
const EVERYTHING = 'everything'

interface Room {
  readonly name: string
  /** Folders (with a slash at the end) and files; null: everything. */
  readonly allowed: readonly string[] | null
}

/** The rows of the table of rooms. */
function rooms(): Room[] {
  const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8')
  const part = text.slice(text.indexOf('\n## The rooms'))
  const found: Room[] = []
  for (const line of part.slice(0, part.indexOf('\n## ', 5)).split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim())
    const name = /^`([^`]+)`$/.exec(cells[1] ?? '')?.[1]
    if (name === undefined) continue
    const last = cells[3]!
    const allowed = last.startsWith(EVERYTHING)
      ? null
      : [...last.matchAll(/`([^`]+)`/g)].map((span) => span[1]!)
    expect(allowed === null || allowed.length > 0 || last === 'nothing', line).toBe(true)
    found.push({ name, allowed })
  }
  return found
}

function sources(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return OUTSIDE.has(path) || entry.name.startsWith('.') ? [] : sources(path)
    return /\.ts$/.test(entry.name) && entry.name !== 'vitest.config.ts' ? [path] : []
  })
}

/** Files that a file imports, in whichever form; those of packages and of Node are left out. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const found = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)
  return [...found].map((match) => normalize(join(dirname(path), match[1]!)))
}

const ROOMS = rooms()
const FILES = sources()
const ROOT_ROOM = '*.ts'

/** The room that a file is in: the longest name that fits. */
function roomOf(path: string): Room {
  const own = ROOMS.find(({ name }) => name === path)
  if (own !== undefined) return own
  if (!path.includes('/')) return ROOMS.find(({ name }) => name === ROOT_ROOM)!
  const fitting = ROOMS.filter(({ name }) => name.endsWith('/') && path.startsWith(name))
  const [longest] = fitting.sort((a, b) => b.name.length - a.name.length)
  if (longest === undefined) throw new Error(`${path} is in no room of the table`)
  return longest
}

function allows(room: Room, target: string): boolean {
  const to = roomOf(target)
  if (to === room || room.allowed === null || to.name === ROOT_ROOM) return true
  return room.allowed.some((one) => (one.endsWith('/') ? target.startsWith(one) : target === one))
}

describe('imports', () => {
  it('are those that the table of rooms allows, types included', () => {
    expect(ROOMS.length).toBeGreaterThan(12)
    expect(FILES.length).toBeGreaterThan(350)
    const edges = FILES.flatMap((file) => importsOf(file).map((target) => [file, target] as const))
    expect(edges.length).toBeGreaterThan(1500)
    const wrong = edges.filter(([file, target]) => !allows(roomOf(file), target))
    expect(wrong.map(([file, target]) => `${file} imports ${target}`)).toEqual([])
  })

  it('run one way: what a room may import leads nowhere back to it', () => {
    const reaches = (from: Room, seen: Set<Room>): Set<Room> => {
      for (const one of from.allowed ?? []) {
        for (const next of ROOMS) {
          const meant = one.endsWith('/')
            ? next.name.startsWith(one)
            : roomOf(one) === next && next.name === one
          if (!meant || seen.has(next)) continue
          seen.add(next)
          reaches(next, seen)
        }
      }
      return seen
    }
    const back = ROOMS.filter((room) => reaches(room, new Set()).has(room)).map(({ name }) => name)
    expect(back).toEqual([])
  })

  it('lead from no file back to itself', () => {
    const left = new Map(FILES.map((file) => [file, importsOf(file)] as const))
    // Those go that import none of the rest, until all that is left goes round in circles.
    for (let before = -1; left.size !== before; ) {
      before = left.size
      for (const [file, targets] of left) if (!targets.some((target) => left.has(target))) left.delete(file)
    }
    expect([...left.keys()]).toEqual([])
  })

  it('name every room once, and no room that is empty', () => {
    const names = ROOMS.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    const used = new Set(FILES.map((file) => roomOf(file).name))
    expect(names.filter((name) => !used.has(name))).toEqual([])
    const named = ROOMS.flatMap(({ allowed }) => allowed ?? [])
    expect(named.filter((one) => !FILES.some((file) => file === one || file.startsWith(one)))).toEqual([])
  })

  it('reach into the folders of tests and examples from nowhere', () => {
    const reaching = FILES.filter((file) =>
      importsOf(file).some((target) => /^(test|examples)\//.test(target)),
    )
    expect(reaching).toEqual([])
  })
})

describe('files', () => {
  it('have 500 lines at the most', () => {
    const long = FILES.filter((file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length > 501)
    expect(long).toEqual([])
  })

  it('have no constructor of more than five parameters', () => {
    const wrong = FILES.filter((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      return [...text.matchAll(/\n {2}(?:private |protected )?constructor\(([^{]*?)\) \{/g)].some(
        ([, parameters]) => parametersIn(parameters!) > 5,
      )
    })
    expect(wrong).toEqual([])
  })
})

/** Commas that separate parameters, and one; none within brackets counts. */
function parametersIn(text: string): number {
  let depth = 0
  let count = /\S/.test(text) ? 1 : 0
  for (const char of text.replaceAll('=>', '').trimEnd().replace(/,$/, '')) {
    if ('(<[{'.includes(char)) depth++
    else if (')>]}'.includes(char)) depth--
    else if (char === ',' && depth === 0) count++
  }
  return count
}
