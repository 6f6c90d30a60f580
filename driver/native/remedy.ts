import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join, sep } from 'node:path'

/** Why there is no addon, and what to do from where the program is. */
export interface AddonProblem {
  readonly reason: string
  readonly remedy: string
}

/** Left by `scripts/install.mjs` where building failed: npm shows nobody what an install script says. */
export const BUILD_NOTE = join('build', 'why-not.txt')

/** What of the machine decides how the addon is built on it. */
export interface BuildMachine {
  readonly system: 'debian' | 'alpine' | 'other'
  /** Of g++, make and python3, those that are not in the PATH. */
  readonly missing: readonly string[]
}

/** Of a package at `root`: a checkout, or below somebody's node_modules. */
export function addonProblem(root: string, failure: Error, machine = thisMachine()): AddonProblem {
  const installed = root.split(sep).includes('node_modules')
  const reason = inWords(failure, installed)
  if (!installed) return { reason, remedy: 'npm run build:native' }
  const rebuild = root.includes(`${sep}.pnpm${sep}`)
    ? 'pnpm rebuild zcrx'
    : 'npm rebuild zcrx --foreground-scripts'
  const note = noteAt(root)
  return {
    reason: note === '' ? reason : `${reason}; building it failed: ${note}`,
    remedy: toolsFirst(machine) + rebuild,
  }
}

function toolsFirst({ system, missing }: BuildMachine): string {
  // Debian's compiler brings the kernel's headers.
  if (system === 'alpine') return `apk add ${[...missing, 'linux-headers'].join(' ')} && `
  if (missing.length === 0) return ''
  if (system === 'debian') return `sudo apt-get install -y ${missing.join(' ')} && `
  return `install ${missing.join(', ')}, then: `
}

function thisMachine(): BuildMachine {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const inPath = (tool: string): boolean => folders.some((folder) => existsSync(join(folder, tool)))
  const missing = ['g++', 'make', 'python3'].filter((tool) => !inPath(tool))
  if (existsSync('/etc/alpine-release')) return { system: 'alpine', missing }
  return { system: existsSync('/etc/debian_version') ? 'debian' : 'other', missing }
}

/** What the loader said, shortened to what matters, with what it means where that is known. */
function inWords({ message }: Error, installed: boolean): string {
  const [first = ''] = message.split('\n')
  if (first.startsWith('No native build was found')) {
    const target = `${process.platform}-${process.arch}`
    if (!installed) return `none is built for ${target}`
    return `the package brings none for ${target} with this C library, and none was built when it was installed`
  }
  if (/version `(GLIBC|GLIBCXX|CXXABI)_/.test(first)) return `${first}: the C or C++ library here is older`
  if (/ld-linux|libc\.so\.6|ld-musl|libc\.musl|Error relocating|Error loading shared library/.test(first)) {
    return `${first}: it is made for another C library`
  }
  if (/wrong ELF class|invalid ELF header|cannot open shared object file: No such file/.test(first)) {
    return `${first}: it is made for another machine, or damaged`
  }
  return first
}

function noteAt(root: string): string {
  try {
    return readFileSync(join(root, BUILD_NOTE), 'utf8').trim()
  } catch {
    return ''
  }
}
