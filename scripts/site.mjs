// Builds the pages of docs/ into a static site: `npm run site [-- FOLDER]`, default site/. Ends with an error when a link or an
// anchor leads nowhere, or a page is in no list.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import MiniSearch from 'minisearch'
import { navigation, unlisted } from './site/navigation.mjs'
import { outputOf, Pages } from './site/pages.mjs'
import { wholePage } from './site/template.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const PARTS = fileURLToPath(new URL('site', import.meta.url))

const SEARCH = { fields: ['title', 'text', 'page'], storeFields: ['title', 'page', 'href'] }
/** Of the text under a heading so much is searched: tables of figures are long. */
const SEARCHED = 4000

/** What is wrong with the pages, a line each. */
export class SiteError extends Error {
  constructor(problems) {
    super(problems.join('\n'))
    this.name = 'SiteError'
    this.problems = problems
  }
}

function searchIndex(pages) {
  const search = new MiniSearch(SEARCH)
  let id = 0
  for (const file of pages.files) {
    const { title: page, sections } = pages.page(file)
    for (const { anchor, title, text } of sections)
      if (title !== '' || text.trim() !== '')
        search.add({
          id: id++,
          title: title === '' ? page : title,
          page: `${page} — ${outputOf(file)}`,
          href: anchor === '' ? outputOf(file) : `${outputOf(file)}#${anchor}`,
          text: text.slice(0, SEARCHED),
        })
  }
  return `window.ZCRX_SEARCH = ${JSON.stringify({ index: search, options: SEARCH })}\n`
}

/**
 * @param {string} out a folder that is made anew @param {string} root the checkout
 * @returns {{ pages: number, bytes: number }} how many, and how large the search is @throws SiteError; nothing is written then
 */
export function buildSite(out, root = ROOT) {
  const sections = navigation(root)
  const listed = sections.flatMap(({ pages }) => pages.map(({ file }) => file))
  const pages = new Pages(root, [...new Set(['docs/README.md', ...listed])])
  const html = new Map(
    pages.files.map((file) => [
      outputOf(file),
      wholePage({ file, page: pages.page(file), html: pages.render(file), sections }),
    ]),
  )
  const problems = [...unlisted(root, sections), ...pages.problems]
  if (problems.length > 0) throw new SiteError(problems)
  rmSync(out, { recursive: true, force: true })
  const put = (name, text) => {
    mkdirSync(dirname(join(out, name)), { recursive: true })
    writeFileSync(join(out, name), text)
  }
  for (const [name, text] of html) put(name, text)
  for (const asset of pages.assets) cpSync(join(root, asset), join(out, outputOf(asset)))
  for (const name of ['style.css', 'client.js']) put(name, readFileSync(join(PARTS, name)))
  const minisearch = dirname(createRequire(import.meta.url).resolve('minisearch'))
  put('minisearch.js', readFileSync(join(minisearch, '../umd/index.js')))
  const index = searchIndex(pages)
  put('search-index.js', index)
  return { pages: html.size, bytes: index.length }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = resolve(process.argv[2] ?? join(ROOT, 'site'))
  try {
    const { pages, bytes } = buildSite(out)
    console.log(`${pages} pages in ${out}, ${(bytes / 2 ** 20).toFixed(1)} MiB of search`)
  } catch (error) {
    if (!(error instanceof SiteError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}
