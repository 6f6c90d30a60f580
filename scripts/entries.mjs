// What an entry point of the package is made of beside its module, after compiling: a file that require() finds, and its types.
// Node's own modules only: the set-up runs it.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

/**
 * The module again, not a second one: classes and counters are those that import() gives. Node 20.19, 22.12 and later can require()
 * one; others say in words of their own what to do.
 */
const requirable = (module, name) => `'use strict'
try {
  module.exports = require('./${module}')
} catch (error) {
  if (error.code !== 'ERR_REQUIRE_ESM') throw error
  const told = new Error(
    "${name} is an ES module, which require() of Node " + process.versions.node + " can't load (20.19, 22.12 and later can).\\n" +
      "  what to do: const zcrx = await import('${name}')",
  )
  told.code = 'ERR_REQUIRE_ESM'
  throw told
}
`

/** TypeScript before 5.8 knows of no require() of a module; what it takes from there is right all the same. */
const typesOf = (module) => `// @ts-ignore
export * from './${module}'
`

/** Entry points of a manifest, which are files below dist/: `[['zcrx/driver', 'driver/index.js'], …]`. */
export function entryPoints(manifest) {
  return Object.entries(manifest.exports ?? {}).flatMap(([path, conditions]) => {
    const file = conditions.import?.default
    return file === undefined ? [] : [[join(manifest.name, path), file.replace('./dist/', '')]]
  })
}

/** Completes `dist`, in which what the compiler wrote lies. */
export function finish(dist, manifest) {
  for (const [name, file] of entryPoints(manifest)) {
    if (!existsSync(join(dist, file))) continue
    const stem = join(dist, file.replace(/\.js$/, ''))
    writeFileSync(`${stem}.cjs`, requirable(basename(file), name))
    writeFileSync(`${stem}.d.cts`, typesOf(basename(file)))
  }
  for (const file of readdirSync(dist, { recursive: true })) {
    if (!file.endsWith('.d.ts')) continue
    const written = readFileSync(join(dist, file), 'utf8')
    const declared = written
      // The compiler rewrites the names of files in modules only.
      .replaceAll(/(\bfrom\s*|\bimport\s*\(\s*|^import\s+)(['"])(\.{1,2}\/[^'"]*)\.ts\2/gm, '$1$2$3.js$2')
      // No type parameter before TypeScript 5.7.
      .replaceAll(/\b((?:Big)?(?:Uint|Int|Float)\d+(?:Clamped)?Array)<ArrayBuffer(?:Like)?>/g, '$1')
    if (declared !== written) writeFileSync(join(dist, file), declared)
  }
}
