import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
// @ts-expect-error plain JavaScript: it runs before anything is compiled
import { setup as setupUntyped } from '../../scripts/setup.mjs'

type Run = (
  command: string,
  args: string[],
  env?: Record<string, string>,
) => { status: number; output: string }

const setup = setupUntyped as (options: {
  root: string
  say(text: string): void
  run?: Run
  hasTool?(tool: string): boolean
}) => { done: string[]; addonProblem: string }

let root = ''
let commands: string[] = []
let said: string[] = []

/** Does what the real commands leave behind. */
const obedient: Run = (command, args) => {
  commands.push([command.split('/').at(-1), ...args.filter((arg) => !arg.startsWith('/'))].join(' '))
  if (args[0] === 'ci' || args[0] === 'install') mkdirSync(join(root, 'node_modules'), { recursive: true })
  if (args.includes('build:native')) {
    mkdirSync(join(root, 'build', 'Release'), { recursive: true })
    writeFileSync(join(root, 'build', 'Release', 'zcrx.node'), '')
  }
  const outDir = args[args.indexOf('--outDir') + 1]
  if (args.includes('--outDir')) {
    mkdirSync(outDir!)
    writeFileSync(join(outDir!, 'index.js'), `// ${commands.length}`)
  }
  return { status: 0, output: '' }
}

function go(run: Run = obedient, hasTool = (_tool: string) => true): ReturnType<typeof setup> {
  commands = []
  said = []
  return setup({ root, say: (text) => said.push(text), run, hasTool })
}

const CI = 'npm ci --no-fund --no-audit --loglevel=error'
const NATIVE = 'npm run --silent build:native'
const TSC = 'tsc -p tsconfig.build.json --outDir'
const BUNDLE = 'node'

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'zcrx-setup-'))
  writeFileSync(join(root, 'package.json'), '{"dependencies":{"a":"1"}}')
  writeFileSync(join(root, 'index.ts'), 'export {}')
  mkdirSync(join(root, 'driver', 'native'), { recursive: true })
  writeFileSync(join(root, 'driver', 'native', 'addon.cc'), '')
  writeFileSync(join(root, 'binding.gyp'), '{}')
  mkdirSync(join(root, 'pcap'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

describe('setup', () => {
  it('does everything once, and nothing the second time', () => {
    expect(go()).toEqual({ done: ['dependencies', 'addon', 'dist'], addonProblem: '' })
    expect(commands).toEqual([CI, NATIVE, TSC, BUNDLE])
    expect(said.length).toBe(3)
    expect(go()).toEqual({ done: [], addonProblem: '' })
    expect([commands, said]).toEqual([[], []])
  })

  it.each([
    ['a dependency', 'package.json', '{"dependencies":{"a":"2"}}', [CI]],
    ['a script of package.json', 'package.json', '{"dependencies":{"a":"1"},"scripts":{}}', []],
    ['the addon’s source', 'driver/native/addon.cc', 'int x;', [NATIVE]],
    ['TypeScript', 'index.ts', 'export const x = 1', [TSC, BUNDLE]],
    ['TypeScript deep down', 'driver/native/index.ts', 'export {}', [TSC, BUNDLE]],
    ['TypeScript of captures', 'pcap/index.ts', 'export {}', [TSC, BUNDLE]],
    ['a file that matters to nobody', 'README.md', 'x', []],
  ])('notices a change of %s', (_what, file, text, expected) => {
    go()
    writeFileSync(join(root, file), text)
    go()
    expect(commands).toEqual(expected)
  })

  it('notices what was deleted', () => {
    go()
    rmSync(join(root, 'build'), { recursive: true })
    rmSync(join(root, 'dist'), { recursive: true })
    go()
    expect(commands).toEqual([NATIVE, TSC, BUNDLE])
  })

  it('falls back to npm install', () => {
    const run: Run = (command, args, env) =>
      args[0] === 'ci' ? { status: 1, output: 'out of sync' } : obedient(command, args, env)
    expect(go(run).done).toContain('dependencies')
    expect(commands[0]).toMatch(/^npm install/)
  })

  it('does not build the addon twice: npm’s install script is told to leave it', () => {
    let told: string | undefined
    go((command, args, env) => {
      if (args[0] === 'ci') told = env?.ZCRX_SKIP_ADDON
      return obedient(command, args, env)
    })
    expect(told).toBe('1')
  })

  it('goes on without the addon, says why, and tries again the next time', () => {
    const broken: Run = (command, args, env) =>
      args.includes('build:native')
        ? { status: 1, output: 'make: Entering\naddon.cc:1: error: no such thing\n' }
        : obedient(command, args, env)
    const result = go(broken)
    expect(result.done).toEqual(['dependencies', 'dist'])
    expect(result.addonProblem).toContain('addon.cc:1: error: no such thing')
    expect(said.join('\n')).toContain('going on without it')
    expect(go().done).toEqual(['addon'])
  })

  it('names the tool that is missing', () => {
    const result = go(obedient, (tool) => tool !== 'g++')
    expect(result.addonProblem).toBe('not installed: g++ (apt-get install g++)')
    expect(commands).not.toContain(NATIVE)
  })

  it('keeps the old dist when the new one does not compile', () => {
    go()
    const before = readFileSync(join(root, 'dist', 'index.js'), 'utf8')
    writeFileSync(join(root, 'index.ts'), 'const x: number = ""')
    const run: Run = (command, args, env) =>
      args.includes('--outDir')
        ? { status: 2, output: 'index.ts(1,7): error TS2322' }
        : obedient(command, args, env)
    expect(() => go(run)).toThrow('error TS2322')
    expect(readFileSync(join(root, 'dist', 'index.js'), 'utf8')).toBe(before)
    expect(existsSync(join(root, '.setup.lock'))).toBe(false)
  })

  it('goes on without the bundle, and says what that means', () => {
    const run: Run = (command, args, env) =>
      args[0]?.endsWith('bundle.mjs') ? { status: 1, output: 'no binding' } : obedient(command, args, env)
    expect(go(run).done).toContain('dist')
    expect(said.join('\n')).toContain('start more slowly: no binding')
  })

  it('fails when dependencies can’t be had', () => {
    expect(() => go(() => ({ status: 1, output: 'no network' }))).toThrow('no network')
  })

  it('takes over the lock of a process that is gone', () => {
    mkdirSync(join(root, '.setup.lock'))
    writeFileSync(join(root, '.setup.lock', 'pid'), '4194305')
    expect(go().done.length).toBe(3)
  })
})
