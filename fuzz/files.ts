import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A folder of the sources, above what was compiled. */
export function sourceDirectory(...names: string[]): string {
  let at = dirname(fileURLToPath(import.meta.url))
  while (at !== '/' && !existsSync(join(at, 'package.json'))) at = dirname(at)
  return join(at, ...names)
}

/** A name that follows from the bytes. */
export function inputName(prefix: string, bytes: Uint8Array): string {
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  return prefix === '' ? hash : `${prefix}-${hash}`
}

/** The inputs kept for a target, in order of their names; none when there is no folder. */
export function readCorpus(directory: string): Uint8Array[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .sort()
    .map((name) => new Uint8Array(readFileSync(join(directory, name))))
}

/** Puts these inputs in the place of those that were there. */
export function writeCorpus(directory: string, inputs: readonly Uint8Array[]): void {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const bytes of inputs) writeFileSync(join(directory, inputName('', bytes)), bytes)
}
