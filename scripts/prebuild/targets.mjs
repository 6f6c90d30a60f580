// The machines that addons are built for ahead, and what building for one takes.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** What the oldest machine that official builds of Node 20 run on has: nothing built ahead may need more. */
export const NEWEST_VERSIONS = { GLIBC: '2.28', GLIBCXX: '3.4.21', CXXABI: '1.3.9' }

const ARCHITECTURES = {
  x64: {
    triple: 'x86_64-linux-gnu',
    musl: 'x86_64-linux-musl',
    debian: 'amd64',
    elf: 'X86-64',
    qemu: 'qemu-x86_64-static',
  },
  arm64: {
    triple: 'aarch64-linux-gnu',
    musl: 'aarch64-linux-musl',
    debian: 'arm64',
    elf: 'AArch64',
    qemu: 'qemu-aarch64-static',
  },
}

/** Every target, in the order in which they are built. */
export const TARGETS = Object.entries(ARCHITECTURES).flatMap(([arch, names]) =>
  ['glibc', 'musl'].map((libc) => {
    const prefix = arch === process.arch ? '' : `${names.triple}-`
    return {
      ...names,
      name: `linux-${arch}-${libc}`,
      arch,
      libc,
      prefix,
      /** Relative to the package: where node-gyp-build looks. */
      file: join('prebuilds', `linux-${arch}`, `zcrx.${libc}.node`),
    }
  }),
)

/** The Debian packages that a target's build needs and that are not here. */
export function missingFor(target) {
  const missing = []
  if (!inPath('make')) missing.push('make')
  if (!inPath('python3')) missing.push('python3')
  if (!inPath(`${target.prefix}g++`)) {
    missing.push(target.prefix === '' ? 'g++' : `g++-${target.triple.replace('_', '-')}`)
  }
  if (target.libc === 'musl' && muslOf(target) === null) {
    // Of another architecture it is fetched, and only unpacked.
    if (target.arch === process.arch) missing.push('musl-dev')
    else if (!inPath('apt-get') || !inPath('dpkg')) missing.push(`musl-dev:${target.debian}`)
  }
  return missing
}

export function inPath(tool) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, tool)))
}

/** What was unpacked of other architectures' packages. */
const UNPACKED = process.env.ZCRX_PREBUILD_CACHE ?? join(tmpdir(), `zcrx-prebuild-${process.getuid?.() ?? 0}`)

/** musl's headers, start-up files and library for a target, or null where they are not. */
export function muslOf(target) {
  for (const root of ['/', join(UNPACKED, target.debian)]) {
    const lib = join(root, 'usr/lib', target.musl)
    const include = join(root, 'usr/include', target.musl)
    const loader = join(root, 'lib', target.musl, 'libc.so')
    if (existsSync(join(lib, 'crti.o')) && existsSync(include) && existsSync(loader))
      return { lib, include, loader }
  }
  return null
}

/** The same; packages of another architecture are fetched by apt, with lists of its own, and unpacked. */
export function fetchMusl(target) {
  const found = muslOf(target)
  if (found !== null) return found
  const root = join(UNPACKED, target.debian)
  const apt = join(UNPACKED, `apt-${target.debian}`)
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'packages']) {
    mkdirSync(join(apt, folder), { recursive: true })
  }
  writeFileSync(join(apt, 'state/status'), '')
  const settings = {
    'APT::Architecture': target.debian,
    'APT::Architectures': target.debian,
    'APT::Sandbox::User': 'root',
    'Dir::State': join(apt, 'state'),
    'Dir::State::status': join(apt, 'state/status'),
    'Dir::Cache': join(apt, 'cache'),
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const packages = join(apt, 'packages')
  must('apt-get', ['-qq', ...options, 'update'])
  must('apt-get', ['-qq', ...options, 'download', 'musl', 'musl-dev'], { cwd: packages })
  for (const file of readdirSync(packages)) must('dpkg', ['-x', join(packages, file), root])
  const unpacked = muslOf(target)
  if (unpacked === null) throw new Error(`no musl for ${target.name} in what was unpacked to ${root}`)
  return unpacked
}

/** Runs a command to its end. @throws with its output where it fails */
export function must(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    timeout: 600_000,
    ...options,
  })
  if (status !== 0) {
    const lines = `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trimEnd().split('\n')
    throw new Error(
      `${command} ${args[0] ?? ''} failed (status ${status}):\n  ${lines.slice(-20).join('\n  ')}`,
    )
  }
  return stdout
}
