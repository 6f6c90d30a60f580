// npm's prepare script: compiles a checkout that was installed, so that npm can pack it when the package is asked for from git.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

// The set-up does it itself afterwards. Without the compiler, dependencies for development were left out on purpose.
if (!process.env.ZCRX_SKIP_ADDON && existsSync(`${root}node_modules/typescript`)) {
  const { setup } = await import('./setup.mjs')
  try {
    setup({ root, say: (text) => process.stderr.write(`prepare: ${text}\n`), only: ['dist'] })
    // npm has just built the addon in its clone of the repository; whoever asked for the package need not do so again.
    if (process.env._PACOTE_NO_PREPARE_ && existsSync(`${root}build/Release/zcrx.node`)) {
      const { prebuild } = await import('./prebuild.mjs')
      const { TARGETS } = await import('./prebuild/targets.mjs')
      const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc'
      prebuild(
        TARGETS.filter((target) => target.arch === process.arch && target.libc === libc),
        { reuse: true },
      )
    }
  } catch (error) {
    process.stderr.write(`prepare: ${error.message}\n`)
    process.exitCode = 1
  }
}
