// Builds the addons that the package carries, prebuilds/ as node-gyp-build reads it, for every target whose tools are here:
//
//     npm run prebuild                       those, and says what the others miss
//     npm run prebuild -- --all              all, or fails
//     npm run prebuild -- linux-x64-glibc    one
//     npm run prebuild -- --reuse            does not build this machine's own again if build/ has it
//     npm run prebuild -- --force            builds what is there and fresh, too
//     npm run prebuild -- --list             what there is, and what is missing
//
// It runs under npm, which brings node-gyp.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchMusl, inPath, missingFor, must, TARGETS } from './prebuild/targets.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Compiles and links against musl with a compiler that is made for glibc; libstdc++ is what musl systems with Node have. */
function muslCompiler(target, stage) {
  const { lib, include, loader } = fetchMusl(target)
  // It has no soname: what is linked with it remembers the name that it was found by.
  copyFileSync(loader, join(stage, 'libc.so'))
  const gxx = `${target.prefix}g++`
  const asked = must('sh', ['-c', `${gxx} -E -v -x c++ /dev/null 2>&1 >/dev/null`])
  const folders = asked
    .split('\n')
    .filter((line) => line.startsWith(' /'))
    .map((line) => line.trim())
  const ofCompiler = (name) => must(gxx, [`-print-file-name=${name}`]).trim()
  // The kernel's headers alone, out of a folder in which glibc's are.
  const kernel = join(stage, 'kernel')
  mkdirSync(kernel)
  for (const name of ['linux', 'asm', 'asm-generic']) {
    const from = folders.map((folder) => join(folder, name)).find(existsSync)
    if (from === undefined) throw new Error(`${gxx} finds no kernel headers (${name})`)
    symlinkSync(from, join(kernel, name))
  }
  // libstdc++ is configured for glibc, and thinks that the C library has all that glibc has.
  const shim = join(stage, 'shim')
  mkdirSync(join(shim, 'bits'), { recursive: true })
  const absent = ['PTHREAD_MUTEX_CLOCKLOCK', 'PTHREAD_COND_CLOCKWAIT', 'PTHREAD_RWLOCK_CLOCKLOCK']
  writeFileSync(
    join(shim, 'bits', 'c++config.h'),
    ['#include_next <bits/c++config.h>', ...absent.map((name) => `#undef _GLIBCXX_USE_${name}`), ''].join(
      '\n',
    ),
  )
  const includes = [
    shim,
    ...folders.filter((folder) => folder.includes('c++')),
    include,
    kernel,
    ofCompiler('include'),
  ]
  const wrapper = join(stage, 'musl-g++')
  writeFileSync(
    wrapper,
    `#!/bin/sh
for word in "$@"; do
  if [ "$word" = -c ]; then
    exec ${gxx} -nostdinc ${includes.map((folder) => `-isystem '${folder}'`).join(' ')} '-D__GLIBC_PREREQ(a,b)=0' -DGTHREAD_USE_WEAK=0 -D__locale_t=locale_t -D__uselocale=uselocale "$@"
  fi
done
exec ${gxx} -nostdlib '${lib}/crti.o' '${ofCompiler('crtbeginS.o')}' "$@" -lstdc++ -lgcc_s -lgcc -L'${stage}' -l:libc.so '${ofCompiler('crtendS.o')}' '${lib}/crtn.o'
`,
  )
  chmodSync(wrapper, 0o755)
  return wrapper
}

function build(target) {
  const stage = mkdtempSync(join(tmpdir(), 'zcrx-prebuild-'))
  try {
    copyFileSync(join(root, 'binding.gyp'), join(stage, 'binding.gyp'))
    cpSync(join(root, 'driver', 'native'), join(stage, 'driver', 'native'), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(stage, 'node_modules'))
    const compiler = target.libc === 'musl' ? muslCompiler(target, stage) : `${target.prefix}g++`
    const env = {
      ...process.env,
      CC: `${target.prefix}gcc`,
      CXX: compiler,
      AR: `${target.prefix}ar`,
      CXXFLAGS: `-ffile-prefix-map=${stage}=. -ffile-prefix-map=${root}=.`,
    }
    must('node-gyp', ['rebuild', `--arch=${target.arch}`, '--jobs=max', '--loglevel=error'], {
      cwd: stage,
      env,
    })
    take(join(stage, 'build', 'Release', 'zcrx.node'), target)
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

function take(addon, target) {
  const file = join(root, target.file)
  mkdirSync(dirname(file), { recursive: true })
  rmSync(file, { force: true })
  must(`${target.prefix}strip`, ['--strip-unneeded', '-o', file, addon])
  console.error(`prebuild: ${target.file}, ${statSync(file).size} bytes`)
}

/** This machine's own, if there is one of its libc in build/. That it is of these sources, the set-up sees to. */
function reusable(target) {
  const built = join(root, 'build', 'Release', 'zcrx.node')
  const musl = existsSync('/etc/alpine-release')
  return target.arch === process.arch && (target.libc === 'musl') === musl && existsSync(built) ? built : null
}

/** What goes into an addon, as one hash. */
function sources() {
  const hash = createHash('sha256')
  const add = (path) => hash.update(`${path}\0`).update(readFileSync(join(root, path)))
  add('binding.gyp')
  for (const name of readdirSync(join(root, 'driver', 'native')).sort()) {
    if (/\.(cc|h)$/.test(name)) add(join('driver', 'native', name))
  }
  for (const name of ['prebuild.mjs', join('prebuild', 'targets.mjs')]) add(join('scripts', name))
  add(join('node_modules', 'node-addon-api', 'package.json'))
  return hash.digest('hex')
}

/** Which sources the files in prebuilds/ are of. */
const STAMPS = join(root, 'prebuilds', '.stamps.json')

function stamps() {
  return existsSync(STAMPS) ? JSON.parse(readFileSync(STAMPS, 'utf8')) : {}
}

export function isFresh(target) {
  return existsSync(join(root, target.file)) && stamps()[target.name] === sources()
}

/**
 * Makes what is not there or of other sources.
 * @returns {string[]} what was left out, each with the reason
 */
export function prebuild(targets, { reuse = false, force = false } = {}) {
  const left = []
  for (const target of targets) {
    if (!force && isFresh(target)) continue
    const missing = missingFor(target)
    if (missing.length > 0) {
      // One of other sources is worse than none.
      rmSync(join(root, target.file), { force: true })
      left.push(`${target.name}: apt-get install --no-install-recommends ${missing.join(' ')}`)
      continue
    }
    try {
      const built = reuse ? reusable(target) : null
      if (built !== null) take(built, target)
      else build(target)
      writeFileSync(STAMPS, JSON.stringify({ ...stamps(), [target.name]: sources() }))
    } catch (error) {
      left.push(`${target.name}: ${error.message}`)
    }
  }
  return left
}

function main(args) {
  const options = args.filter((arg) => arg.startsWith('-'))
  const names = args.filter((arg) => !arg.startsWith('-'))
  const wrong = [
    ...options.filter((option) => !['--all', '--reuse', '--force', '--list'].includes(option)),
    ...names.filter((name) => !TARGETS.some((target) => target.name === name)),
  ]
  if (wrong.length > 0) {
    const known = TARGETS.map((target) => target.name).join(', ')
    throw new Error(
      `unknown: ${wrong.join(' ')}; targets are ${known}; options --all, --reuse, --force, --list`,
    )
  }
  const targets = names.length > 0 ? TARGETS.filter((target) => names.includes(target.name)) : TARGETS
  if (options.includes('--list')) {
    for (const target of targets) {
      const missing = missingFor(target)
      const state = missing.length > 0 ? `apt-get install ${missing.join(' ')}` : 'can be built here'
      console.log(`${target.name}: ${isFresh(target) ? 'built' : 'not built'}; ${state}`)
    }
    return
  }
  if (!inPath('node-gyp')) throw new Error('there is no node-gyp in the PATH: run it as npm run prebuild')
  const left = prebuild(targets, { reuse: options.includes('--reuse'), force: options.includes('--force') })
  for (const target of targets.filter(isFresh)) console.log(`prebuild: ${target.file} is there`)
  for (const reason of left) console.error(`prebuild: left out ${reason}`)
  if (left.length > 0 && (options.includes('--all') || names.length > 0)) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main(process.argv.slice(2))
  } catch (error) {
    console.error(`prebuild: ${error.message}`)
    process.exitCode = 1
  }
}
