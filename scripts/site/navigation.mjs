// The list of pages, docs/navigation.json, which orders the site and is docs/README.md too.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

/**
 * @typedef {{ title: string, of: string, pages: { file: string, title: string, what: string }[] }} Section
 * @param {string} root the checkout @returns {Section[]} with files as paths from the root
 */
export function navigation(root) {
  const { sections } = JSON.parse(readFileSync(join(root, 'docs/navigation.json'), 'utf8'))
  return sections.map(({ title, of = '', pages }) => ({
    title,
    of,
    pages: pages.map((page) => {
      const {
        file,
        title: name,
        what = '',
      } = typeof page === 'string' ? { file: posix.join(of, `${page}.md`), title: page } : page
      return { file: posix.normalize(posix.join('docs', file)), title: name, what }
    }),
  }))
}

/** Pages that are there, and are in no list, or the other way round: one line each. */
export function unlisted(root, sections) {
  const listed = new Set([
    'docs/README.md',
    ...sections.flatMap(({ pages }) => pages.map(({ file }) => file)),
  ])
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  const there = docs.filter((name) => name.endsWith('.md')).map((name) => posix.join('docs', name))
  return there
    .filter((file) => !listed.has(file))
    .sort()
    .map((file) => `${file} is not in docs/navigation.json`)
}

/** docs/README.md. */
export function indexPage(sections) {
  const link = (file) => posix.relative('docs', file)
  const out = [
    '<!-- Made by npm run docs out of navigation.json: change that. -->',
    '',
    '# Documentation',
    '',
  ]
  for (const { title, of, pages } of sections) {
    // Pages of the library are on one line: api/README.md says what each is.
    if (of === '') {
      out.push(`## ${title}`, '')
      const rows = pages.map((page) => [`[${page.title}](${link(page.file)})`, page.what])
      const widths = [0, 1].map((i) => Math.max(...rows.map((row) => row[i].length)))
      const line = (a, b, fill) => `| ${a.padEnd(widths[0], fill)} | ${b.padEnd(widths[1], fill)} |`
      out.push(
        line('page', 'what it is', ' '),
        line('-', '-', '-'),
        ...rows.map(([a, b]) => line(a, b, ' ')),
        '',
      )
    } else {
      out.push(`${title}:`)
      out.push(`${pages.map((page) => `[${page.title}](${link(page.file)})`).join(',\n')}.`, '')
    }
  }
  return out.join('\n')
}
