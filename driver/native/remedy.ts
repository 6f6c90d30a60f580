import { existsSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'

/** Why there is no addon, and what to do from where the program is. */
export interface AddonProblem {
  readonly reason: string
  readonly remedy: string
}

/** Left by `scripts/install.mjs` where building failed: npm shows nobody what an install script says. */
export const BUILD_NOTE = join('build', 'why-not.txt')

/** Of a package at `root`: a checkout, or below somebody's node_modules. `alpine`: this machine is one of Alpine's. */
export function addonProblem(
  root: string,
  failure: Error,
  alpine = existsSync('/etc/alpine-release'),
): AddonProblem {
  const reason = inWords(failure)
  if (!root.split(sep).includes('node_modules')) return { reason, remedy: 'npm run build:native' }
  const tools = alpine ? 'apk add g++ make python3 linux-headers' : 'apt-get install g++ make python3'
  const rebuild = root.includes(`${sep}.pnpm${sep}`)
    ? 'pnpm rebuild zcrx'
    : 'npm rebuild zcrx --foreground-scripts'
  const remedy = `${rebuild} (it compiles: ${tools})`
  const note = noteAt(root)
  return { reason: note === '' ? reason : `${reason}; building it failed: ${note}`, remedy }
}

/** What the loader said, shortened to what matters, with what it means where that is known. */
function inWords({ message }: Error): string {
  const [first = ''] = message.split('\n')
  if (first.startsWith('No native build was found')) {
    const target = `${process.platform}-${process.arch}`
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
