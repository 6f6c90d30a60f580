// Looks at the addons in prebuilds/: are they what they are named, do they need nothing newer than what they are meant for has,
// does somebody have every symbol, and do they load. What this machine can't run is loaded by QEMU, musl's by musl's own loader.
//
//     npm run prebuild:verify                what is there
//     npm run prebuild:verify -- --all       every target has to be there, and to be loaded
//     npm run prebuild:verify -- --fetch     fetches a Node for the other architecture from npm (40 MB), to load addons in
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchMusl, inPath, must, NEWEST_VERSIONS, TARGETS } from './prebuild/targets.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const all = args.includes('--all')
const problems = []

const newer = (a, b) => {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  const length = Math.max(left.length, right.length)
  const at = Array.from({ length }, (_, i) => i).find((i) => (left[i] ?? 0) !== (right[i] ?? 0))
  return at !== undefined && (left[at] ?? 0) > (right[at] ?? 0)
}

/** Names of dynamic symbols: of those that a file has, or needs. */
function symbols(file, needed) {
  const which = needed ? '--undefined-only' : '--defined-only'
  const lines = must('nm', ['-D', which, '--format=posix', file]).trimEnd().split('\n')
  return lines.map((line) => line.split(' ')).map(([name, type]) => ({ name: name.replace(/@.*/, ''), type }))
}

/** The highest version of each library that is asked for. */
function versions(file) {
  const highest = {}
  for (const [, library, version] of must('readelf', ['-VW', file]).matchAll(
    /Name: (GLIBC|GLIBCXX|CXXABI)_([0-9.]+)/g,
  )) {
    if (highest[library] === undefined || newer(version, highest[library])) highest[library] = version
  }
  return highest
}

/** `nm` says so of symbols that need not be there. */
const isWeak = ({ type }) => type === 'w' || type === 'v'
const ofNode = ({ name }) => /^(napi|node_api|uv)_/.test(name)
const ofCxx = ({ name }) => /^(_Z|__cxa_(?!finalize|atexit)|__gxx_|_Unwind_)/.test(name)

function examine(target, file) {
  const header = must('readelf', ['-hW', file])
  if (!header.includes(target.elf)) problems.push(`${target.file} is not made for ${target.arch}`)
  const asked = versions(file)
  for (const [library, version] of Object.entries(asked)) {
    if (target.libc === 'musl' && library === 'GLIBC') problems.push(`${target.file} needs glibc`)
    else if (newer(version, NEWEST_VERSIONS[library])) {
      problems.push(
        `${target.file} needs ${library}_${version}, which is newer than ${NEWEST_VERSIONS[library]}`,
      )
    }
  }
  const needed = symbols(file, true)
  const here = new Set(symbols(process.execPath, false).map(({ name }) => name))
  // Node may be linked with a library of its own.
  for (const symbol of needed.filter(ofNode)) {
    if (symbol.name.startsWith('napi_') && !here.has(symbol.name)) {
      problems.push(`${target.file} needs ${symbol.name}, which Node ${process.versions.node} does not have`)
    }
  }
  if (target.libc === 'musl') {
    const musl = new Set(symbols(fetchMusl(target).loader, false).map(({ name }) => name))
    for (const symbol of needed) {
      if (ofNode(symbol) || ofCxx(symbol) || isWeak(symbol) || musl.has(symbol.name)) continue
      problems.push(`${target.file} needs ${symbol.name}, which musl does not have`)
    }
  }
  const list = Object.entries(asked).map(([library, version]) => `${library} ${version}`)
  return `needs ${list.join(', ')}; ${needed.length} symbols`
}

/** Loads in a Node, and has the addon work. @returns what that said, or null where there is no such Node */
function loadInNode(target, file) {
  const program = `
    const native = require(${JSON.stringify(file)})
    const memory = native.mapMemory(65536, false, -1)
    if (new Uint8Array(memory.buffer ?? memory).length < 65536) throw new Error('no memory')
    new native.BulkLoops()
    console.log(Object.keys(native).length + ' exports, in Node ' + process.versions.node + ' for ' + process.arch)`
  if (target.arch === process.arch) return must(process.execPath, ['-e', program]).trim()
  const node = foreignNode(target)
  if (node === null || !inPath(target.qemu) || !existsSync(`/usr/${target.triple}/lib/libstdc++.so.6`))
    return null
  return must(target.qemu, ['-L', `/usr/${target.triple}`, node, '-e', program]).trim()
}

function foreignNode(target) {
  const folder = join(tmpdir(), `zcrx-node-${target.arch}`)
  const node = process.env[`ZCRX_NODE_${target.arch.toUpperCase()}`] ?? join(folder, 'package', 'bin', 'node')
  if (existsSync(node)) return node
  if (!args.includes('--fetch')) return null
  mkdirSync(folder, { recursive: true })
  must('npm', ['pack', '--silent', `node-linux-${target.arch}@20.19.6`], { cwd: folder })
  const [archive] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  must('tar', ['-xzf', archive], { cwd: folder })
  return node
}

/**
 * Loads by musl's loader, into a program that stands for Node: it has Node's symbols and libraries have C++'s, so that each symbol has
 * to be musl's or one of those. Nothing of theirs is called, it is the loading that is shown.
 */
function loadByMusl(target, file) {
  const compiler = `${target.prefix}gcc`
  if (!inPath(compiler) || (target.arch !== process.arch && !inPath(target.qemu))) return null
  const { include, lib, loader } = fetchMusl(target)
  const musl = new Set(symbols(loader, false).map(({ name }) => name))
  const needed = symbols(file, true).filter(({ name }) => !musl.has(name))
  const stage = mkdtempSync(join(tmpdir(), 'zcrx-verify-'))
  try {
    // Constructors of the addon take memory.
    const allocates = (name) => /^_Zn[wa]m$/.test(name)
    const isData = (name) => /^_Z(TV|TI|TS|St7nothrow)/.test(name)
    const stubs = (list) =>
      list
        .map(({ name }) => {
          if (isData(name)) return `char ${name}[256];\n`
          return `long ${name}(unsigned long bytes) { ${allocates(name) ? 'return (long)malloc(bytes);' : 'abort();'} }\n`
        })
        .join('')
    const text = (name, code) => {
      writeFileSync(join(stage, name), code)
      return join(stage, name)
    }
    const made = (name, ...options) => {
      must(compiler, ['-nostdlib', '-fPIC', '-w', '-o', join(stage, name), ...options])
      return join(stage, name)
    }
    const cxx = text('cxx.c', `#include <stdlib.h>\n${stubs(needed.filter(ofCxx))}`)
    made('libstdc++.so.6', '-shared', '-Wl,-soname,libstdc++.so.6', cxx)
    made('libgcc_s.so.1', '-shared', '-Wl,-soname,libgcc_s.so.1', text('nothing.c', ''))
    const main = text(
      'main.c',
      `#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
${stubs(needed.filter(ofNode))}
int main(int count, char** words) {
  void* addon = dlopen(words[1], RTLD_NOW);
  if (addon == NULL || dlsym(addon, "napi_register_module_v1") == NULL) return fprintf(stderr, "%s\\n", dlerror()), 1;
  return puts("loaded by musl"), 0;
}
`,
    )
    must('cp', [loader, join(stage, 'libc.so')])
    const program = made(
      'probe',
      ...['-nostdinc', '-isystem', include, '-rdynamic', '-fPIE', '-pie'],
      ...[join(lib, 'Scrt1.o'), join(lib, 'crti.o'), main, `-L${stage}`, '-l:libc.so', join(lib, 'crtn.o')],
    )
    const words = ['--library-path', stage, program, file]
    const [command, ...rest] =
      target.arch === process.arch ? [loader, ...words] : [target.qemu, loader, ...words]
    return must(command, rest).trim()
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

for (const tool of ['nm', 'readelf'])
  if (!inPath(tool)) problems.push(`${tool} is not installed: apt-get install binutils`)
for (const target of problems.length > 0 ? [] : TARGETS) {
  const file = join(root, target.file)
  if (!existsSync(file)) {
    if (all) problems.push(`${target.file} is missing: npm run prebuild -- ${target.name}`)
    continue
  }
  try {
    const found = examine(target, file)
    const loaded = target.libc === 'musl' ? loadByMusl(target, file) : loadInNode(target, file)
    console.log(`${target.file}: ${found}; ${loaded ?? 'not loaded'}`)
    if (loaded === null && all) {
      const packages = ['qemu-user-static', `g++-${target.triple.replace('_', '-')}`]
      problems.push(
        `${target.file} could not be loaded: needs ${packages.join(', ')}, glibc's --fetch as well`,
      )
    }
  } catch (error) {
    problems.push(`${target.file}: ${error.message}`)
  }
}
for (const problem of problems) console.error(`prebuilds: ${problem}`)
if (problems.length > 0) process.exitCode = 1
