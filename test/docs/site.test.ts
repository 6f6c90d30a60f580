import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { runInNewContext } from 'node:vm'
import MiniSearch, { type AsPlainObject, type Options } from 'minisearch'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
// @ts-expect-error plain JavaScript
import { indexPage, navigation } from '../../scripts/site/navigation.mjs'
// @ts-expect-error plain JavaScript
import { buildSite as untyped } from '../../scripts/site.mjs'
import { anchors, pages, ROOT, read } from './markdown.ts'

const buildSite = untyped as (out: string, root?: string) => { pages: number; bytes: number }

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zcrx-site-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A checkout with these files, and a list of these pages. */
function checkout(files: Record<string, string>, listed: string[]): string {
  const root = join(folder, 'root')
  const list = { sections: [{ title: 'All', pages: listed.map((file) => ({ file, title: file })) }] }
  const all = { ...files, 'docs/README.md': '# All\n', 'docs/navigation.json': JSON.stringify(list) }
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

describe('the site', () => {
  it('has every page of docs/, with its drawings, styles and search; every link leads somewhere', () => {
    const out = join(folder, 'out')
    const built = buildSite(out)
    const names = readdirSync(out, { recursive: true, encoding: 'utf8' })
    const expected = pages()
      .filter((page) => page.startsWith('docs/') && !page.endsWith('README.md'))
      .map((page) => page.replace(/^docs\//, '').replace(/\.md$/, '.html'))
    expect(names).toEqual(
      expect.arrayContaining([...expected, 'index.html', 'contents.html', 'api/index.html']),
    )
    expect(names).toEqual(expect.arrayContaining(['style.css', 'client.js', 'minisearch.js']))
    expect(built.pages).toBe(names.filter((name) => name.endsWith('.html')).length)
    const concepts = readFileSync(join(out, 'concepts.html'), 'utf8')
    expect(concepts).toContain('srcset="drawings/buffer-life-dark.svg"')
    expect(existsSync(join(out, 'drawings/buffer-life-dark.svg'))).toBe(true)
    expect(concepts).toContain('<a href="api/workers.html">')
    expect(readFileSync(join(out, 'index.html'), 'utf8')).toContain('src="plots/e2e-light.svg"')
    expect(readFileSync(join(out, 'api/ring.html'), 'utf8')).toContain('href="../style.css"')
    for (const anchor of anchors(read('docs/concepts.md'))) expect(concepts).toContain(`id="${anchor}"`)
  })

  it('finds an export, and what is written in a page', () => {
    const out = join(folder, 'out')
    buildSite(out)
    const window = {} as { ZCRX_SEARCH: { index: AsPlainObject; options: Options } }
    runInNewContext(readFileSync(join(out, 'search-index.js'), 'utf8'), { window })
    const search = MiniSearch.loadJS(window.ZCRX_SEARCH.index, window.ZCRX_SEARCH.options)
    const found = (words: string): unknown[] =>
      search.search(words, { prefix: true, boost: { title: 4 }, combineWith: 'AND' }).map(({ href }) => href)
    expect(found('createServer')).toContain('api/reference/zcrx.html#createserver')
    expect(found('what keeping costs')[0]).toBe('concepts.html#what-keeping-costs')
    expect(readFileSync(join(out, 'minisearch.js'), 'utf8')).toContain('MiniSearch')
  })

  it('is not built when a link, an anchor or a file of a picture leads nowhere', () => {
    const root = checkout(
      {
        'docs/a.md': '# A\n\n[b](b.md#there) [b](b.md#gone) [c](c.md) ![p](p.svg)\n\n<img src="q.svg">\n',
        'docs/b.md': '# B\n\n## There\n\n## There\n\n[back](a.md) [twice](#there-1) [source](../x.ts)\n',
        'x.ts': '',
      },
      ['a.md', 'b.md'],
    )
    const out = join(folder, 'out')
    expect(() => buildSite(out, root)).toThrow(
      [
        'docs/a.md: b.md#gone: no such heading',
        'docs/a.md: c.md: no such file',
        'docs/a.md: p.svg: no such file',
        'docs/a.md: q.svg: no such file',
      ].join('\n'),
    )
    expect(existsSync(out)).toBe(false)
  })

  it('is not built when a page is in no list, or a listed one is not there', () => {
    const root = checkout({ 'docs/a.md': '# A\n', 'docs/b.md': '# B\n' }, ['a.md', 'gone.md'])
    expect(() => buildSite(join(folder, 'out'), root)).toThrow(
      'docs/b.md is not in docs/navigation.json\ndocs/gone.md is in docs/navigation.json, and does not exist',
    )
  })

  it('has the order that docs/README.md has: npm run docs', () => {
    expect(read('docs/README.md')).toBe(indexPage(navigation(ROOT)))
  })
})
