// The package as it is installed: packs the checkout, installs the tarball in an empty folder, and tries there what a user does.
//
//     node .ci/package.mjs                 everything but the next three
//     node .ci/package.mjs --docs          the blocks of every page, not only of README and installing
//     node .ci/package.mjs --examples      every numbered example too, as the package brings them
//     node .ci/package.mjs --git           an installation from git too
//     node .ci/package.mjs --keep          leaves the folder, and says where
//
// Versions of Node and the tools come from npm and are kept in PACKAGE_CACHE, for a week.
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { entryPoints } from '../scripts/entries.mjs'
import { TARGETS } from '../scripts/prebuild/targets.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CACHE =
  process.env.PACKAGE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'zcrx-package')
const WEEK_MS = 7 * 24 * 3600_000
/** The first that is served, and the newest of each line. */
const NODES = ['20.0.0', '20', '22', '24', '26']
/** Whose files are looked at with the newest Node that every example and block of the documentation runs on. */
const NEWEST = '24'
const TYPESCRIPTS = { oldest: '5.4', newest: 'latest' }
const options = process.argv.slice(2)
const began = performance.now()

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const entries = entryPoints(manifest).map(([name]) => name)

const say = (text) => console.log(`package (${((performance.now() - began) / 1000).toFixed(1)} s): ${text}`)

/** A command to its end: what it printed. @throws with that where it fails */
function run(command, args, { cwd = ROOT, env = {}, timeout = 240_000 } = {}) {
  return new Promise((resolve, reject) => {
    const settings = { cwd, env: { ...process.env, ...env }, timeout, maxBuffer: 64 * 2 ** 20 }
    const child = execFile(command, args, settings, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const how = error.killed ? `killed after ${timeout} ms` : `status ${error.code}`
      reject(new Error(`${[basename(command), ...args].join(' ').slice(0, 300)}: ${how}\n${stdout}${stderr}`))
    })
    child.stdin.end()
  })
}

/** Two at a time: that many cores there are. */
async function inPairs(list, work) {
  const left = [...list]
  const results = new Map()
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) results.set(item, await work(item))
  }
  await Promise.all([worker(), worker()])
  return list.map((item) => results.get(item))
}

/** `make(folder)` fills a folder of the cache unless one of the week is there. */
async function cached(name, make) {
  const folder = join(CACHE, name)
  if (existsSync(folder) && Date.now() - statSync(folder).ctimeMs < WEEK_MS) return folder
  mkdirSync(CACHE, { recursive: true })
  const fresh = mkdtempSync(join(CACHE, 'new-'))
  try {
    await make(fresh)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    throw error
  }
  rmSync(folder, { recursive: true, force: true })
  renameSync(fresh, folder)
  return folder
}

/** Path of a Node of that line, as npm has it. */
async function nodeOf(version) {
  const folder = await cached(`node-${version}`, async (fresh) => {
    await run('npm', ['pack', '--silent', `node-linux-${process.arch}@${version}`], { cwd: fresh })
    // Of a range npm packs each version that it has no newer of.
    const number = (name) =>
      Number(
        name
          .match(/(\d+)\.(\d+)\.(\d+)/)
          .slice(1)
          .map((part) => part.padStart(4, '0'))
          .join(''),
      )
    const archives = readdirSync(fresh).sort((a, b) => number(b) - number(a))
    await run('tar', ['-xzf', archives[0], '--strip-components=1', 'package/bin/node'], { cwd: fresh })
    for (const archive of archives) rmSync(join(fresh, archive))
  })
  return join(folder, 'bin', 'node')
}

const tools = () =>
  cached('tools', async (fresh) => {
    writeFileSync(join(fresh, 'package.json'), '{"private":true}')
    const typescripts = Object.entries(TYPESCRIPTS).map(
      ([name, version]) => `typescript-${name}@npm:typescript@${version}`,
    )
    await run(
      'npm',
      [
        'install',
        '--silent',
        '--no-fund',
        '--no-audit',
        '--ignore-scripts',
        'publint',
        '@arethetypeswrong/cli',
        '@types/node@20',
        ...typescripts,
      ],
      { cwd: fresh },
    )
  })

async function pack(folder) {
  const target = TARGETS.find(({ arch, libc }) => arch === process.arch && libc === 'glibc')
  const printed = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    env: { ZCRX_PREBUILDS: target?.name ?? '' },
  })
  const [{ filename, size, unpackedSize, files }] = JSON.parse(printed.slice(printed.indexOf('[\n')))
  say(
    `${filename}: ${(size / 1e6).toFixed(1)} MB, ${(unpackedSize / 1e6).toFixed(1)} MB unpacked, ${files.length} files`,
  )
  return join(folder, filename)
}

/** What is in the installed package, and must not be, or is not, and must be. */
function contents(installed) {
  const wrong = []
  const files = readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(installed.length + 1))
  for (const file of files) {
    if (/(^|\/)(test|bench|fuzz)\/|\.test\.|\.map$|(^|\/)\.(?!stamps)/.test(file))
      wrong.push(`${file} is in the package`)
    if (!/^dist\/.*\.(js|d\.ts)$/.test(file)) continue
    const text = readFileSync(join(installed, file), 'utf8')
    if (/sourceMappingURL/.test(text)) wrong.push(`${file} names a source map`)
    const imported = [...text.matchAll(/^(?:import|export)\b[^'"]*?from\s*['"](\.[^'"]+)['"]/gm)].map(
      ([, path]) => path,
    )
    for (const path of imported) {
      const at = join(installed, file, '..', path)
      if (
        !path.endsWith('.js') ||
        !(
          (existsSync(at) && existsSync(at.replace(/\.js$/, '.d.ts'))) ||
          (existsSync(at) && file.startsWith('dist/zcrxd/'))
        )
      ) {
        wrong.push(`${file} imports ${path}, which the package does not have`)
      }
    }
  }
  const named = Object.values(manifest.exports).flatMap((conditions) =>
    typeof conditions === 'string' ? [conditions] : Object.values(conditions).flatMap(Object.values),
  )
  for (const file of named)
    if (!existsSync(join(installed, file))) wrong.push(`${file} of package.json#exports is missing`)
  // What the pages link to in the package; pages about working on it stay in the repository.
  for (const page of files.filter((file) => file.endsWith('.md') && file !== 'CHANGELOG.md')) {
    for (const [, target] of readFileSync(join(installed, page), 'utf8').matchAll(
      /\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g,
    )) {
      const path = join(installed, page, '..', target)
      const about = /(CONTRIBUTING\.md|fuzz\/README\.md|\.ts|\.py|test|bench)$/.test(target)
      if (!existsSync(path) && !about)
        wrong.push(`${page} links to ${target}, which the package does not have`)
    }
  }
  if (existsSync(join(installed, 'build')))
    wrong.push('the addon that the package brings was not taken: one was built')
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join('\n'))
  return `${files.length} files`
}

/** A program with every entry point, as strict as it gets. */
async function types(folder, { name, version }) {
  const compilers = await tools()
  const program = [
    ...entries.map((entry, i) => `import * as entry${i} from '${entry}'`),
    "import { connect, createServer, MemoryLink, type Server, type ServerOptions, ZcrxError } from 'zcrx'",
    `export const all: readonly object[] = [${entries.map((_, i) => `entry${i}`).join(', ')}]`,
    'export async function main(options: ServerOptions): Promise<number> {',
    '  const link = new MemoryLink({ seed: 1 })',
    "  const server: Server = await createServer({ ...options, device: link.b, address: '192.0.2.1' })",
    '  const client = await connect({ device: link.a, host: "192.0.2.1", port: 9000 })',
    '  client.close()',
    '  for await (const connection of server) for await (const chunk of connection) return chunk.bytes.length',
    "  throw new ZcrxError('ZCRX_ARGUMENT', 'nothing')",
    '}',
    // A name that is not there is an error: the types are not any.
    '// @ts-expect-error',
    'export const none = entry0.thisIsNotThere',
    '',
  ].join('\n')
  const required = [
    ...entries.map((entry, i) => `import entry${i} = require('${entry}')`),
    `export const all: readonly object[] = [${entries.map((_, i) => `entry${i}`).join(', ')}]`,
    'export const link: entry0.MemoryLink = new entry0.MemoryLink({ seed: 1 })',
    '// @ts-expect-error',
    'export const none = entry0.thisIsNotThere',
    '',
  ].join('\n')
  for (const resolution of ['nodenext', 'bundler']) {
    const project = join(folder, `types-${name}-${resolution}`)
    mkdirSync(project)
    const files = {
      'program.ts': program,
      ...(resolution === 'nodenext' ? { 'required.cts': required } : {}),
    }
    for (const [file, text] of Object.entries(files)) writeFileSync(join(project, file), text)
    writeFileSync(join(project, 'package.json'), '{"type":"module"}')
    const compilerOptions = {
      module: resolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution: resolution,
      target: 'es2022',
      lib: ['es2022'],
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
    }
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: Object.keys(files) }),
    )
    const at = join(compilers, 'node_modules', `typescript-${name}`)
    const { bin } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8'))
    await run(process.execPath, [join(at, bin.tsc), '-p', project, '--pretty', 'false'])
  }
  return `TypeScript ${version}: nodenext and bundler`
}

/** Blocks of the documentation marked `ts run`, each with what the page says that it prints. */
function blocks(installed) {
  const pages = [
    'README.md',
    ...readdirSync(join(installed, 'docs'), { recursive: true }).map((page) => join('docs', page)),
  ]
  return pages
    .filter((page) => page.endsWith('.md'))
    .flatMap((page) => {
      const text = readFileSync(join(installed, page), 'utf8')
      const found = text.matchAll(
        /^```ts ([^\n]*\brun\b[^\n]*)\n([\s\S]*?)^```\n(?:[\s\S]*?^```text\n([\s\S]*?)^```)?/gm,
      )
      return [...found].map(([, , code, prints], i) => ({
        page,
        name: `${page.replaceAll(/\W+/g, '-')}-${i}.mts`,
        code,
        prints,
      }))
    })
}

async function documentation(folder, installed) {
  const node = await nodeOf(NEWEST)
  // Pages name captures as they lie in the package.
  cpSync(join(installed, 'pcap'), join(folder, 'pcap'), { recursive: true })
  const list = blocks(installed).filter(
    ({ page }) => options.includes('--docs') || page === 'README.md' || page === 'docs/install.md',
  )
  if (list.length === 0) throw new Error('no page has a block that is to be run')
  await inPairs(list, async ({ page, name, code, prints }) => {
    writeFileSync(join(folder, name), code)
    const printed = await run(node, ['--disable-warning=ExperimentalWarning', name], {
      cwd: folder,
      timeout: 60_000,
    })
    if (prints !== undefined && printed.trim() !== prints.trim()) {
      throw new Error(`a block of ${page} prints\n${printed}and not\n${prints}`)
    }
  })
  return `${list.length} blocks of ${new Set(list.map(({ page }) => page)).size} pages run`
}

/** Numbered ones need no arguments and no privileges. */
async function examples(folder, installed) {
  const node = await nodeOf(NEWEST)
  const numbered = (below) => {
    const at = join(installed, below)
    return existsSync(at)
      ? readdirSync(at)
          .filter((name) => /^\d\d-.*\.(js|mjs|ts)$/.test(name) && !name.endsWith('.d.ts'))
          .map((name) => join(at, name))
      : []
  }
  // Node does not take types out of what lies below node_modules; a user copies an example as well.
  const copied = join(folder, 'examples')
  cpSync(join(installed, 'examples'), copied, { recursive: true })
  const list = [
    ...numbered('examples').map((path) => join(copied, basename(path))),
    ...numbered('dist/examples'),
  ]
  await inPairs(list, (path) =>
    run(node, ['--disable-warning=ExperimentalWarning', path], { cwd: folder, timeout: 60_000 }),
  )
  return `${list.length} numbered examples run`
}

async function fromGit(folder) {
  const project = join(folder, 'git')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{"private":true}')
  const commit = (await run('git', ['rev-parse', 'HEAD'])).trim()
  await run(
    'npm',
    [
      'install',
      '--no-fund',
      '--no-audit',
      '--omit=optional',
      `git+file://${ROOT.replace(/\/$/, '')}#${commit}`,
    ],
    { cwd: project },
  )
  return tried(process.execPath, project)
}

async function tried(node, project) {
  cpSync(join(ROOT, '.ci', 'package', 'smoke.mjs'), join(project, 'smoke.mjs'))
  const said = (await run(node, ['smoke.mjs', ...entries], { cwd: project })).trim()
  const zcrxd = join(project, 'node_modules', 'zcrx', manifest.bin.zcrxd)
  const demo = (
    await run(node, [zcrxd, 'demo', '--json', '--bytes', '1M', '--driver', 'memory'], { cwd: project })
  ).trim()
  JSON.parse(demo.split('\n').at(-1))
  return `${said}; zcrxd demo`
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'zcrx-package-'))
  let failed = 0
  const step = async (what, work) => {
    try {
      say(`${what}: ${await work()}`)
    } catch (error) {
      failed++
      say(`${what} FAILED: ${error.message}`)
    }
  }
  try {
    // Downloads wait, packing computes.
    const fetched = Promise.allSettled([tools(), ...NODES.map(nodeOf)])
    const tarball = await pack(folder)
    writeFileSync(join(folder, 'package.json'), '{"private":true}')
    await run(
      'npm',
      ['install', '--no-fund', '--no-audit', '--omit=dev', '--omit=optional', '--prefer-offline', tarball],
      { cwd: folder },
    )
    const installed = join(folder, 'node_modules', 'zcrx')
    await fetched
    await step('contents', async () => contents(installed))
    const bin = join(await tools(), 'node_modules')
    const work = [
      ...NODES.map((version) => [`Node ${version}`, async () => tried(await nodeOf(version), folder)]),
      [
        'publint',
        () =>
          run(process.execPath, [
            join(bin, 'publint/src/cli.js'),
            tarball,
            '--strict',
            '--pack',
            'false',
          ]).then(() => 'clean'),
      ],
      [
        'types as arethetypeswrong sees them',
        () =>
          run(join(bin, '.bin/attw'), [tarball, '--format', 'ascii', '--profile', 'node16']).then(
            () => 'clean',
          ),
      ],
      ['documentation', () => documentation(folder, installed)],
      ...(options.includes('--examples') ? [['examples', () => examples(folder, installed)]] : []),
      ...(options.includes('--git') ? [['from git', () => fromGit(folder)]] : []),
    ]
    await inPairs(work, ([what, does]) => step(what, does))
    // Only programs in TypeScript need it.
    mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true })
    for (const name of ['@types/node', 'undici-types'])
      symlinkSync(join(bin, name), join(folder, 'node_modules', name))
    await inPairs(Object.entries(TYPESCRIPTS), ([name, version]) =>
      step('types', () => types(folder, { name, version })),
    )
  } finally {
    if (options.includes('--keep')) say(`left in ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  }
  say(failed === 0 ? 'as it should be' : `${failed} of the above failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main()
