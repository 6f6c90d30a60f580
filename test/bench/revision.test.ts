import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { BenchError } from '../../bench/errors.ts'
import { Revision } from '../../bench/revision.ts'

let repository = ''

function git(...args: string[]): string {
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'commit.gpgsign=false']
  return execFileSync('git', ['-C', repository, ...who, ...args], { encoding: 'utf8', stdio: 'pipe' })
}

/** A commit with these files. */
function commit(files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(repository, path)), { recursive: true })
    writeFileSync(join(repository, path), text)
  }
  git('add', '-A')
  git('commit', '-qm', 'one')
  return git('rev-parse', 'HEAD').trim()
}

const trees = (): number => git('worktree', 'list').trim().split('\n').length
const quiet = (): void => {}

function refusal(name: string): unknown {
  try {
    new Revision(repository, name, quiet).remove()
  } catch (error) {
    return error
  }
  return undefined
}

beforeEach(() => {
  repository = mkdtempSync(join(tmpdir(), 'zcrx-revision-'))
  git('init', '-q')
})

afterEach(() => rmSync(repository, { recursive: true, force: true }))

it('is checked out and built aside, with what it shares with the working tree, and gone afterwards', () => {
  const setup = "import { writeFileSync } from 'node:fs'; writeFileSync('built', process.cwd())"
  const old = commit({ 'package-lock.json': '{}', 'scripts/setup.mjs': setup, 'what.txt': 'old' })
  commit({ 'what.txt': 'new', '.gitignore': 'node_modules\nbuild\n' })
  for (const folder of ['node_modules', 'build']) mkdirSync(join(repository, folder))
  const revision = new Revision(repository, 'HEAD~1', quiet)
  const { root } = revision
  expect(old.startsWith(revision.commit)).toBe(true)
  expect(existsSync(join(root, 'built'))).toBe(true)
  expect(existsSync(join(repository, 'built'))).toBe(false)
  // What the set-up of another revision would write must not get into the working tree's.
  expect(lstatSync(join(root, 'node_modules')).isSymbolicLink()).toBe(true)
  expect(lstatSync(join(root, 'build')).isSymbolicLink()).toBe(false)
  revision.remove()
  revision.remove()
  expect(existsSync(root)).toBe(false)
  expect(trees()).toBe(1)
})

it('installs what it needs where that is something else', () => {
  const setup = "import { existsSync } from 'node:fs'; process.exit(existsSync('node_modules') ? 1 : 0)"
  commit({ 'package-lock.json': '{ "old": true }', 'scripts/setup.mjs': setup })
  commit({ 'package-lock.json': '{}', '.gitignore': 'node_modules\n' })
  mkdirSync(join(repository, 'node_modules'))
  expect(refusal('HEAD~1')).toBeUndefined()
})

it.each([
  ['is not there', 'nonsense', {}],
  ['is an option', '--help', {}],
  ['has no set-up', 'HEAD', {}],
  ['fails to build', 'HEAD', { 'scripts/setup.mjs': "throw new Error('broken')" }],
])('is refused when it %s, and nothing is left behind', (_, name, files) => {
  commit({ 'package-lock.json': '{}', ...files })
  const error = refusal(name)
  expect(error).toBeInstanceOf(BenchError)
  expect(error).toMatchObject({ code: 'ZCRX_BENCH_REVISION' })
  expect(trees()).toBe(1)
})
