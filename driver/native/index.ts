import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { useBulkLoops } from '../../bulk-loops.ts'
import { useCopies } from '../../copies.ts'
import { NicError } from '../../errors.ts'
import type { Native } from './native.ts'
import { addonProblem } from './remedy.ts'

export type { LinkInfo, Native, Watcher, XdpAttachment } from './native.ts'

type Loaded = { native: Native; failure: null } | { native: null; failure: Error }

let loaded: Loaded | undefined

/** The code runs from the sources and from `dist/`: the addon lies beside the package.json in either case. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const manifest = join(directory, 'package.json')
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'zcrx') return directory
    const parent = dirname(directory)
    if (parent === directory) throw new Error(`no package.json of zcrx above ${import.meta.url}`)
    directory = parent
  }
}

function load(): Loaded {
  if (loaded === undefined) {
    try {
      const require = createRequire(import.meta.url)
      const native = require('node-gyp-build')(packageRoot()) as Native
      useCopies(native)
      useBulkLoops(() => new native.BulkLoops(), native.postRun)
      loaded = { native, failure: null }
    } catch (error) {
      loaded = { native: null, failure: error instanceof Error ? error : new Error(String(error)) }
    }
  }
  return loaded
}

/**
 * The addon, loaded at the first call.
 * @throws NicError `ZCRX_NIC_ADDON` when it is not built or can't be loaded here
 */
export function loadNative(): Native {
  const { native, failure } = load()
  if (native !== null) return native
  const { reason, remedy } = addonProblem(packageRoot(), failure)
  throw new NicError('ZCRX_NIC_ADDON', `the native addon can't be loaded (${reason})`, remedy)
}

/** The addon, or null where it is not built. */
export function nativeOrNull(): Native | null {
  return load().native
}
