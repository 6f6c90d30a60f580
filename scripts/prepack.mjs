// npm's prepack script: what the tarball is made of is compiled and built. A pack of a plain clone has the addons that this machine has
// the tools for, a published one has to have all.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { TARGETS } from './prebuild/targets.mjs'
import { isFresh, prebuild } from './prebuild.mjs'
import { setup } from './setup.mjs'

const say = (text) => process.stderr.write(`prepack: ${text}\n`)
const publishing = process.env.npm_command === 'publish'

try {
  const root = fileURLToPath(new URL('..', import.meta.url))
  // This machine's own is made by the set-up, unless that can't; what comes of it is what was published.
  const installed = existsSync(`${root}node_modules/typescript`)
  setup({ root, say, only: installed ? ['addon', 'dist'] : undefined })
  // Which to make, where not all that can be made here.
  const wanted = process.env.ZCRX_PREBUILDS?.split(',')
  const targets =
    publishing || wanted === undefined ? TARGETS : TARGETS.filter(({ name }) => wanted.includes(name))
  const left = prebuild(targets, { reuse: true })
  for (const reason of left) say(`no addon for ${reason}`)
  const inside = TARGETS.filter(isFresh)
  say(
    `addons inside: ${inside.map(({ name }) => name).join(', ') || 'none; it is built where the package is installed'}`,
  )
  if (publishing && inside.length < TARGETS.length) {
    say('a published package has all of them: npm run prebuild -- --all && npm run prebuild:verify -- --all')
    process.exitCode = 1
  }
} catch (error) {
  say(error.message)
  process.exitCode = 1
}
