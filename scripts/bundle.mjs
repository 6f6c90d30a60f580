// Joins what zcrxd and its child processes load into a few files under dist/zcrxd/: some 370 modules, read one by one, cost
// each start 0.25 s of CPU. Packages stay what npm installed.
import { join, resolve } from 'node:path'
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

const given = process.argv[2]
if (given === undefined) throw new Error('usage: node scripts/bundle.mjs DIST')
const dist = resolve(given)
const bundle = await rolldown({
  input: Object.fromEntries(
    PROGRAMS.map((program) => [program.split('/').at(-1), join(dist, `${program}.js`)]),
  ),
  platform: 'node',
  external: /^(node:|[a-z])/,
})
await bundle.write({
  dir: join(dist, 'zcrxd'),
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'shared-[hash].js',
})
await bundle.close()
