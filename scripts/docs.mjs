// Writes what is made of something else in docs/: drawings of their texts, the reference of the docstrings, README.md of the list of pages. `--check` writes
// nothing and fails when something is stale.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { drawings } from './draw.mjs'
import { reference } from './reference.mjs'
import { indexPage, navigation } from './site/navigation.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

const check = process.argv.includes('--check')
const { files, offenders } = reference()
let stale = 0
const index = [join(ROOT, 'docs/README.md'), indexPage(navigation(ROOT))]
for (const [file, text] of [...drawings(), ...files, index]) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  stale++
  console.log(`${check ? 'stale' : 'wrote'} ${relative('.', file)}`)
  if (check) continue
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
for (const offender of offenders) console.log(`no docstring: ${offender}`)
if (offenders.length > 0 || (check && stale > 0)) process.exitCode = 1
