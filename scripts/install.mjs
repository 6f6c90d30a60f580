// npm's install script: finds a prebuilt addon or builds one. Never fails the installation, because all but AF_XDP works
// without the addon; loading it later says what is missing.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function loads() {
  try {
    createRequire(import.meta.url)('node-gyp-build')(root)
    return true
  } catch {
    return false
  }
}

if (!process.env.ZCRX_SKIP_ADDON && process.platform === 'linux' && !loads()) {
  // Under npm, node-gyp is in the PATH.
  const { status, error } = spawnSync('node-gyp', ['rebuild', '--silent'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    const reason = error === undefined ? `node-gyp ended with status ${status}` : error.message
    process.stderr.write(
      `zcrx: the native addon could not be built (${reason}).\n` +
        'zcrx: everything but AF_XDP works. For AF_XDP: install make, g++ and python3, then npm rebuild zcrx\n',
    )
  }
}
