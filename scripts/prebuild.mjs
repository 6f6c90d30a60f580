// Builds the addons that the package carries, prebuilds/ as node-gyp-build reads it, for every target whose tools are here:
//
//     npm run prebuild                       those, and says what the others miss
//     npm run prebuild -- --all              all, or fails
//     npm run prebuild -- linux-x64-glibc    one
//     npm run prebuild -- --reuse            does not build this machine's own again if build/ has it
//     npm run prebuild -- --list             what there is, and what is missing
//
// It runs under npm, which brings node-gyp.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
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
  console.log(`prebuild: ${target.file}, ${statSync(file).size} bytes`)
}

/** This machine's own, if it is its libc's and what is in build/ is of these sources (scripts/setup.mjs sees to that). */
function reusable(target) {
  const built = join(root, 'build', 'Release', 'zcrx.node')
  const musl = existsSync('/etc/alpine-release')
  return target.arch === process.arch && (target.libc === 'musl') === musl && existsSync(built) ? built : null
}

function main(args) {
  const options = args.filter((arg) => arg.startsWith('-'))
  const names = args.filter((arg) => !arg.startsWith('-'))
  const wrong = [
    ...options.filter((option) => !['--all', '--reuse', '--list'].includes(option)),
    ...names.filter((name) => !TARGETS.some((target) => target.name === name)),
  ]
  if (wrong.length > 0) {
    const known = TARGETS.map((target) => target.name).join(', ')
    throw new Error(`unknown: ${wrong.join(' ')}; targets are ${known}; options --all, --reuse, --list`)
  }
  const targets = names.length > 0 ? TARGETS.filter((target) => names.includes(target.name)) : TARGETS
  const lacking = targets
    .map((target) => [target, missingFor(target)])
    .filter(([, missing]) => missing.length > 0)
  if (options.includes('--list')) {
    for (const target of targets) {
      const missing = missingFor(target)
      const state = missing.length > 0 ? `apt-get install ${missing.join(' ')}` : 'can be built here'
      console.log(`${target.name}: ${existsSync(join(root, target.file)) ? 'built' : 'not built'}; ${state}`)
    }
    return
  }
  if (!inPath('node-gyp')) throw new Error('there is no node-gyp in the PATH: run it as npm run prebuild')
  const packages = [...new Set(lacking.flatMap(([, missing]) => missing))]
  const remedy = `apt-get install --no-install-recommends ${packages.join(' ')}`
  if (lacking.length > 0 && (options.includes('--all') || names.length > 0)) {
    throw new Error(`tools are missing for ${lacking.map(([target]) => target.name).join(', ')}: ${remedy}`)
  }
  for (const target of targets) {
    if (lacking.some(([other]) => other === target)) continue
    const built = options.includes('--reuse') ? reusable(target) : null
    if (built !== null) take(built, target)
    else build(target)
  }
  if (lacking.length > 0) {
    console.log(
      `prebuild: left out ${lacking.map(([target]) => target.name).join(', ')}; for them: ${remedy}`,
    )
  }
}

try {
  main(process.argv.slice(2))
} catch (error) {
  console.error(`prebuild: ${error.message}`)
  process.exitCode = 1
}
