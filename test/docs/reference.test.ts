import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
// @ts-expect-error plain JavaScript
import { reference as untyped } from '../../scripts/reference.mjs'
import { ROOT, read } from './markdown.ts'

const FOLDER = join(ROOT, 'docs/api/reference')

let made: { files: Map<string, string>; offenders: string[] }

beforeAll(() => {
  made = (untyped as () => typeof made)()
}, 120_000)

describe('docs/api/reference', () => {
  it('is what the docstrings say: npm run docs', () => {
    const stale = [...made.files].filter(
      ([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text,
    )
    expect(stale.map(([file]) => relative(ROOT, file))).toEqual([])
    expect(readdirSync(FOLDER).sort()).toEqual(
      [...made.files.keys()].map((file) => relative(FOLDER, file)).sort(),
    )
  })

  it('has a docstring for every export', () => {
    expect(made.offenders).toEqual([])
  })

  it('has public members only, those of bases that are not exported too, and constants', () => {
    const page = read('docs/api/reference/zcrx.md')
    expect(page).toContain('\n### Connection\n')
    expect(page).toContain('- `batches(options?: IterateOptions): AsyncIterableIterator<Uint8Array[]>`: ')
    expect(page).toMatch(/\n### ServerOptions\n[^#]*- `readonly areaBytes\?: number`: /)
    expect(page).not.toContain('@internal')
    expect(page).not.toMatch(/- `abandon\(/)
    expect(read('docs/api/reference/abi.md')).toContain('| `IORING_OP_RECV_ZC` | `58` |')
  })
})
