// npm's install script: where no addon that came with the package loads, builds one. Never fails the installation, because all but
// the network's own ways in works without. npm shows what a script says only where it fails, so the reason is left in a file,
// which the error tells that loading gives later.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
/** driver/native/remedy.ts reads it. */
const NOTE = join(root, 'build', 'why-not.txt')

/** In a process of its own: what was loaded once, another build can't take the place of, and a broken one may end the process. */
function loads() {
  const program = `require(${JSON.stringify(createRequire(import.meta.url).resolve('node-gyp-build'))})(${JSON.stringify(root)})`
  return spawnSync(process.execPath, ['-e', program], { stdio: 'ignore' }).status === 0
}

/** Builds with npm's node-gyp, which is in the PATH of an install script. Returns why it failed, '' if it did not. */
function build() {
  const inPath = (tool) =>
    (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, tool)))
  const missing = ['g++', 'make', 'python3'].filter((tool) => !inPath(tool))
  // CXX and PYTHON may name others.
  const hint = missing.length > 0 && !process.env.CXX ? `${missing.join(', ')} not installed` : ''
  const { status, error, stdout, stderr } = spawnSync('node-gyp', ['rebuild', '--loglevel=error'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  })
  if (status === 0) return ''
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  if (hint !== '') return hint
  if (error !== undefined) return error.code === 'ENOENT' ? 'node-gyp is not in the PATH' : error.message
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => /error|not found/i.test(line))
  return (lines[0] ?? `node-gyp ended with status ${status}`).trim().slice(0, 300)
}

if (!process.env.ZCRX_SKIP_ADDON && process.platform === 'linux' && !loads()) {
  const reason = build()
  if (reason !== '') {
    mkdirSync(join(root, 'build'), { recursive: true })
    writeFileSync(NOTE, `${reason}\n`)
    process.stderr.write(
      `zcrx: the native addon could not be built (${reason}).\n` +
        'zcrx: AF_XDP, TAP, packet sockets and the rings of Linux need it. Install g++, make and python3, then: npm rebuild zcrx\n',
    )
  } else rmSync(NOTE, { force: true })
}
