import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addonProblem, BUILD_NOTE, type BuildMachine } from '../../../driver/native/remedy.ts'

const NONE = new Error('No native build was found for platform=linux arch=x64\n    loaded from: /x\n')

describe('what to do about an addon that does not load', () => {
  let project = ''
  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'zcrx-remedy-'))
  })
  afterEach(() => rmSync(project, { recursive: true, force: true }))

  const installed = (...below: string[]): string => {
    const root = join(project, 'node_modules', ...below, 'zcrx')
    mkdirSync(join(root, 'build'), { recursive: true })
    return root
  }

  it('in a checkout: the script that builds it', () => {
    expect(addonProblem('/home/me/zcrx', NONE).remedy).toBe('npm run build:native')
  })

  it('in a project that installed it: npm rebuild, with what compiling takes', () => {
    const { reason, remedy } = addonProblem(installed(), NONE, { system: 'debian', missing: ['g++'] })
    expect(reason).toContain(`${process.platform}-${process.arch}`)
    expect(remedy).toBe('sudo apt-get install -y g++ && npm rebuild zcrx --foreground-scripts')
    const remedyOn = (system: BuildMachine['system'], ...missing: string[]): string =>
      addonProblem(installed(), NONE, { system, missing }).remedy
    expect(remedyOn('debian')).toBe('npm rebuild zcrx --foreground-scripts')
    expect(remedyOn('alpine', 'make')).toMatch(/^apk add make linux-headers && npm rebuild/)
    expect(remedyOn('other', 'g++', 'make')).toMatch(/^install g\+\+, make, then: npm rebuild/)
    expect(addonProblem(installed('.pnpm', 'zcrx@1', 'node_modules'), NONE).remedy).toMatch(
      /pnpm rebuild zcrx$/,
    )
  })

  it('says why building it failed when the package was installed', () => {
    const root = installed()
    writeFileSync(join(root, BUILD_NOTE), 'g++ not installed\n')
    expect(addonProblem(root, NONE).reason).toMatch(/; building it failed: g\+\+ not installed$/)
  })

  it.each([
    ["/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.node)", 'C++ library here is older'],
    ['Error relocating x.node: napi_throw: symbol not found', 'made for another C library'],
    ['Error loading shared library ld-linux-x86-64.so.2: No such file', 'made for another C library'],
    [
      'libc.musl-x86_64.so.1: cannot open shared object file: No such file or directory',
      'for another C library',
    ],
    ['x.node: wrong ELF class: ELFCLASS32', 'for another machine'],
  ])('says in words what the loader means by %s', (message, words) => {
    const { reason, remedy } = addonProblem(installed(), new Error(message))
    expect(reason).toContain(message)
    expect(reason).toContain(words)
    expect(remedy).toContain('npm rebuild zcrx')
  })
})
