// Joins what zcrxd and its child processes load into a few files under dist/zcrxd/: some 370 modules, read one by one, cost
// each start 0.25 s of CPU. Packages stay what npm installed.
import { basename, join, resolve } from 'node:path'
import { rolldown } from 'rolldown'

/** Relative to dist/. They start each other as files of one directory. */
const PROGRAMS = [
  'daemon/main',
  'daemon/demo/sender',
  'daemon/demo/receiver',
  'daemon/doctor/peer',
  'uapi/backend/worker/thread',
  'driver/memory/shared-link',
  'daemon/run/wrapped-queue',
]

/**
 * What runs in the machine of scripts/vm, in place: there each of those modules costs as much as ten do here. And what those programs start,
 * examples as well, beside them.
 */
const IN_THE_MACHINE = {
  ...Object.fromEntries(
    [
      ...['vm/differential', 'vm/peer', 'vm/queue-setup', 'vm/zcrx', 'vm/zero-copy'],
      ...['conformance/main', 'differential/main'],
    ].map((program) => [`test/${program}`, `test/${program}`]),
  ),
  'test/vm/10-zcrx-selftest': 'examples/10-zcrx-selftest',
  'test/vm/09-zcrx-server': 'examples/09-zcrx-server',
  'test/vm/shared-link': 'driver/memory/shared-link',
  'test/vm/thread': 'uapi/backend/worker/thread',
}

const given = process.argv[2]
if (given === undefined) throw new Error('usage: node scripts/bundle.mjs DIST')
const dist = resolve(given)

/** An example looks whether it is the file that was started, also where its code is in one that two of them share. */
const ownName = {
  name: 'own-name',
  transform(code, id) {
    if (!id.startsWith(join(dist, 'examples'))) return null
    return code.replaceAll('import.meta.url', `new URL('./${basename(id)}', import.meta.url).href`)
  },
}

/** @param {Record<string, string>} programs names of files to write, each with the module it is made of */
async function bundleOf(programs, dir, chunkFileNames) {
  const input = Object.fromEntries(
    Object.entries(programs).map(([name, module]) => [name, join(dist, `${module}.js`)]),
  )
  const bundle = await rolldown({
    input,
    platform: 'node',
    plugins: [ownName],
    external: /^(node:|(?!zcrx$)[a-z])/,
    resolve: { alias: { zcrx: join(dist, 'index.js') } },
  })
  await bundle.write({ dir: join(dist, dir), format: 'esm', entryFileNames: '[name].js', chunkFileNames })
  await bundle.close()
}

await bundleOf(
  Object.fromEntries(PROGRAMS.map((program) => [program.split('/').at(-1), program])),
  'zcrxd',
  'shared-[hash].js',
)
await bundleOf(IN_THE_MACHINE, '.', 'test/vm/shared-[hash].js')
