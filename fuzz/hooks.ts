import { readFile } from 'node:fs/promises'
import type { InitializeHook, LoadHook } from 'node:module'
import { fileURLToPath } from 'node:url'
import { instrument } from './instrument.ts'

/** Module customization hooks (node:module): what is loaded from the folders given is instrumented. */

let folders: readonly string[] = []
let next = 0

/** @param data URLs that end with a slash */
export const initialize: InitializeHook<readonly string[]> = (data) => {
  folders = data
}

export const load: LoadHook = async (url, context, nextLoad) => {
  if (!url.endsWith('.js') || !folders.some((folder) => url.startsWith(folder))) return nextLoad(url, context)
  const instrumented = instrument(await readFile(fileURLToPath(url), 'utf8'), next)
  next = instrumented.next
  return { format: 'module', source: instrumented.code, shortCircuit: true }
}
