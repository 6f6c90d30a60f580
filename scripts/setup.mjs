// Brings a checkout to where zcrx runs: dependencies, the native addon, the compiled sources. Does only what is missing
// or stale, says what it does. Node's own modules only: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { finish } from './entries.mjs'

const MIN_NODE = 20
/** A set-up that has held the lock for so long is thought to be stuck. */
const LOCK_PATIENCE_MS = 10 * 60_000
const SOURCES = [
  'index.ts',
  'errors.ts',
  'counting.ts',
  'address.ts',
  'bytes.ts',
  'pages.ts',
  'diagnostics.ts',
  'driver',
  'stack',
  'host',
  'uapi',
  'net',
  'sinks',
  'daemon',
  'bench',
  'examples',
  'packetdrill',
  'pcap',
  'replay',
  'fuzz',
  join('test', 'conformance'),
  join('test', 'differential'),
  join('test', 'vm'),
]
const TOOLS = { make: 'make', 'g++': 'g++', python3: 'python3' }

/** What can't be mended here; the message is all that is shown. */
export class SetupError extends Error {}

/**
 * @param {object} options
 * @param {string} options.root the checkout
 * @param {(text: string) => void} options.say one line a step
 * @param {(command: string, args: string[], env?: Record<string, string>) => { status: number, output: string }} [options.run]
 * @param {(tool: string) => boolean} [options.hasTool]
 * @param {string[]} [options.only] names of steps; the others are left
 * @returns {{ done: string[], addonProblem: string }} the steps taken, and why there is no addon ('' when there is)
 */
export function setup({ root, say, run = runner(root), hasTool = inPath, only }) {
  const node = Number(process.versions.node.split('.')[0])
  if (node < MIN_NODE)
    throw new SetupError(`Node ${MIN_NODE} or later is needed, this is ${process.versions.node}`)
  const steps = [dependencies(root), addon(root), compiled(root)].filter(
    ({ name }) => only === undefined || only.includes(name),
  )
  // Fresh is the common case, and needs neither the lock nor the right to write.
  if (steps.every((step) => step.isFresh())) return { done: [], addonProblem: '' }
  requireWritable(root)
  const unlock = lock(root, say)
  const context = { root, say, run, hasTool }
  const done = []
  let addonProblem = ''
  try {
    for (const step of steps) {
      if (step.isFresh()) continue
      const problem = step.make(context)
      if (problem === '') done.push(step.name)
      else addonProblem = problem
    }
  } finally {
    unlock()
  }
  return { done, addonProblem }
}

/** node_modules, as package.json and package-lock.json want it. */
function dependencies(root) {
  const stampFile = join(root, 'node_modules', '.zcrx-stamp')
  const wanted = () => {
    const manifest = readManifest(root)
    const { dependencies, devDependencies, optionalDependencies } = manifest
    const hash = createHash('sha256')
    hash.update(
      JSON.stringify([dependencies, devDependencies, optionalDependencies, process.platform, process.arch]),
    )
    hashFile(hash, root, 'package-lock.json')
    return hash.digest('hex')
  }
  return {
    name: 'dependencies',
    isFresh: () => readStamp(stampFile) === wanted(),
    make({ say, run }) {
      // The addon and dist/ are the next steps'; installing must not make them too.
      const env = { ZCRX_SKIP_ADDON: '1' }
      say('installing dependencies (npm ci)')
      let result = run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], env)
      if (result.status !== 0) {
        say('npm ci refused; trying npm install')
        result = run('npm', ['install', '--no-fund', '--no-audit', '--loglevel=error'], env)
      }
      if (result.status !== 0)
        throw new SetupError(`dependencies could not be installed:\n${tail(result.output)}`)
      writeFileSync(stampFile, wanted())
      return ''
    },
  }
}

/** The native addon. Its failure is no failure of the set-up: the memory link and all pure TypeScript run without. */
function addon(root) {
  const stampFile = join(root, 'build', '.zcrx-stamp')
  const binary = join(root, 'build', 'Release', 'zcrx.node')
  const wanted = () => {
    const hash = createHash('sha256').update(`${process.platform} ${process.arch}`)
    hashFile(hash, root, 'binding.gyp')
    hashTree(hash, root, join('driver', 'native'), (name) => /\.(cc|cpp|c|h)$/.test(name))
    hashFile(hash, root, join('node_modules', 'node-addon-api', 'package.json'))
    return hash.digest('hex')
  }
  return {
    name: 'addon',
    isFresh: () => existsSync(binary) && readStamp(stampFile) === wanted(),
    make({ say, run, hasTool }) {
      say('building the native addon (npm run build:native)')
      const missing = Object.keys(TOOLS).filter((tool) => !hasTool(tool))
      const problem =
        missing.length > 0
          ? `not installed: ${missing.join(', ')} (apt-get install ${missing.map((tool) => TOOLS[tool]).join(' ')})`
          : buildAddon(run)
      if (problem === '') {
        writeFileSync(stampFile, wanted())
        return ''
      }
      say(`the native addon could not be built: ${problem}`)
      say('going on without it: the stack, the memory link and their tests work, AF_XDP does not')
      return problem
    },
  }
}

function buildAddon(run) {
  const { status, output } = run('npm', ['run', '--silent', 'build:native'])
  if (status === 0) return ''
  const lines = output.split('\n').filter((line) => /error|not found|ERR!/i.test(line))
  return lines.length > 0 ? lines.slice(0, 8).join('\n  ').trim() : `status ${status}\n${tail(output)}`.trim()
}

/** dist/, as the sources want it. Compiled aside and moved into place, so that nobody sees half of it. */
function compiled(root) {
  const dist = join(root, 'dist')
  const stampFile = join(dist, '.zcrx-stamp')
  const wanted = () => {
    const hash = createHash('sha256')
    const settings = [
      'package-lock.json',
      'tsconfig.json',
      'tsconfig.build.json',
      join('scripts', 'bundle.mjs'),
      join('scripts', 'entries.mjs'),
    ]
    hash.update(JSON.stringify(readManifest(root).exports ?? {}))
    for (const file of settings) hashFile(hash, root, file)
    for (const source of SOURCES) hashTree(hash, root, source, (name) => name.endsWith('.ts'))
    return hash.digest('hex')
  }
  return {
    name: 'dist',
    isFresh: () => readStamp(stampFile) === wanted(),
    make({ say, run }) {
      say('compiling TypeScript (tsc -p tsconfig.build.json)')
      // The sources may be edited meanwhile; then the stamp must not claim that the edit is in.
      const stamp = wanted()
      const fresh = `${dist}.new`
      rmSync(fresh, { recursive: true, force: true })
      const tsc = join(root, 'node_modules', '.bin', 'tsc')
      const { status, output } = run(tsc, ['-p', 'tsconfig.build.json', '--outDir', fresh])
      if (status !== 0) {
        rmSync(fresh, { recursive: true, force: true })
        throw new SetupError(`the sources do not compile:\n${tail(output, 40)}`)
      }
      finish(fresh, readManifest(root))
      // Without it zcrxd runs from its modules, and starts more slowly.
      const bundled = run(process.execPath, [join(root, 'scripts', 'bundle.mjs'), fresh])
      if (bundled.status !== 0)
        say(`zcrxd is not bundled, so it will start more slowly: ${tail(bundled.output, 3)}`)
      writeFileSync(join(fresh, '.zcrx-stamp'), stamp)
      const old = `${dist}.old`
      rmSync(old, { recursive: true, force: true })
      if (existsSync(dist)) renameSync(dist, old)
      renameSync(fresh, dist)
      rmSync(old, { recursive: true, force: true })
      return ''
    },
  }
}

function readManifest(root) {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
}

function readStamp(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Adds a file's path and bytes; a missing file counts as such. */
function hashFile(hash, root, path) {
  const full = join(root, path)
  hash.update(`${path}\0`)
  hash.update(existsSync(full) ? readFileSync(full) : 'missing')
}

/** Adds every file under `path` whose name `wants` accepts, in a fixed order. `path` may be a file or missing. */
function hashTree(hash, root, path, wants) {
  const full = join(root, path)
  if (!existsSync(full)) return
  if (statSync(full).isFile()) {
    if (wants(path)) hashFile(hash, root, path)
    return
  }
  for (const name of readdirSync(full).sort()) hashTree(hash, root, join(path, name), wants)
}

function tail(output, lines = 20) {
  return output.trimEnd().split('\n').slice(-lines).join('\n')
}

function inPath(tool) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, tool)))
}

function requireWritable(root) {
  try {
    accessSync(root, constants.W_OK)
  } catch {
    throw new SetupError(
      `something is missing or stale, and this user may not write to ${root}; run npm run setup as its owner`,
    )
  }
}

/** Waits its turn among set-ups of the same checkout. Returns what gives the lock back. */
function lock(root, say) {
  const directory = join(root, '.setup.lock')
  const owner = join(directory, 'pid')
  const since = Date.now()
  for (let told = false; ; told = true) {
    try {
      mkdirSync(directory)
      writeFileSync(owner, String(process.pid))
      return () => rmSync(directory, { recursive: true, force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    // One that died between the two lines above has left no pid; give it a moment.
    const pid = Number(readStamp(owner))
    const ageMs = Date.now() - since
    if ((pid > 0 && !isAlive(pid)) || (pid === 0 && ageMs > 2000) || ageMs > LOCK_PATIENCE_MS) {
      rmSync(directory, { recursive: true, force: true })
      continue
    }
    if (!told) say(`waiting for another set-up (process ${pid || 'unknown'})`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function runner(root) {
  return (command, args, env = {}) => {
    const result = spawnSync(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 2 ** 20,
    })
    const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error === undefined ? '' : `${result.error.message}\n`}`
    return { status: result.status ?? 1, output }
  }
}

function main(args) {
  const quiet = args.includes('--quiet')
  const at = args.indexOf('--only')
  const only = at < 0 ? undefined : args[at + 1]?.split(',')
  const say = (text) => process.stderr.write(`setup: ${text}\n`)
  try {
    const { done, addonProblem } = setup({
      root: fileURLToPath(new URL('..', import.meta.url)),
      say,
      only,
    })
    if (!quiet && done.length === 0 && addonProblem === '') say('everything is up to date')
  } catch (error) {
    say(error instanceof SetupError ? error.message : (error.stack ?? String(error)))
    process.exitCode = 1
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2))
