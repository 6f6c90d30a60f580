// Pages of Markdown as HTML: links turned and looked up, headings with the anchors that GitHub gives them.
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import MarkdownIt from 'markdown-it'

/** Where a page goes: README.md is the first, docs/ the root of the site. */
export function outputOf(file) {
  if (file === 'README.md') return 'index.html'
  if (file === 'docs/README.md') return 'contents.html'
  return file
    .replace(/^docs\//, '')
    .replace(/README\.md$/, 'index.html')
    .replace(/\.md$/, '.html')
}

/** A heading's anchor, as GitHub makes it; `taken` counts those of the page. */
function anchorOf(heading, taken) {
  const slug = heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
  const count = taken.get(slug) ?? 0
  taken.set(slug, count + 1)
  return count === 0 ? slug : `${slug}-${count}`
}

/** What is read of a heading's Markdown: links are their text. */
const textOf = (inline) =>
  inline.children.map(({ type, content }) => (type === 'image' ? '' : content)).join('')

const ATTRIBUTE = /\b(src|srcset|href)="([^"]+)"/g

const isAddress = (target) => /^[a-z][a-z0-9+.-]*:/.test(target)

export class Pages {
  /** By path from the root: tokens, anchors, sections. */
  #pages = new Map()
  #markdown = new MarkdownIt({ html: true, linkify: false, typographer: false })
  /** Files beside the pages that they show: copied. */
  assets = new Set()
  /** What is wrong with links, a line each. */
  problems = []

  /** @param {string} root @param {string[]} files paths from there */
  constructor(root, files) {
    this.root = root
    const { rules } = this.#markdown.renderer
    rules.table_open = () => '<div class="table"><table>\n'
    rules.table_close = () => '</table></div>\n'
    for (const file of files) {
      if (existsSync(join(root, file))) this.#read(file)
      else this.problems.push(`${file} is in docs/navigation.json, and does not exist`)
    }
  }

  #read(file) {
    const tokens = this.#markdown.parse(readFileSync(join(this.root, file), 'utf8'), {})
    const taken = new Map()
    /** What is found by the search: a heading, and the text under it. */
    const sections = [{ anchor: '', title: '', text: '' }]
    let title = file
    for (const [i, token] of tokens.entries()) {
      if (token.type === 'heading_open') {
        const heading = textOf(tokens[i + 1])
        const anchor = anchorOf(heading, taken)
        token.attrSet('id', anchor)
        if (token.tag === 'h1') title = heading
        sections.push({ anchor, title: heading, text: '', level: Number(token.tag[1]) })
      } else if (token.type === 'inline' && tokens[i - 1]?.type !== 'heading_open') {
        sections.at(-1).text += `${textOf(token)} `
      } else if (token.type === 'fence') sections.at(-1).text += `${token.content} `
    }
    const anchors = new Set(
      [...taken].flatMap(([slug, count]) => [
        slug,
        ...Array.from({ length: count - 1 }, (_, n) => `${slug}-${n + 1}`),
      ]),
    )
    this.#pages.set(file, { tokens, anchors, sections, title })
  }

  get files() {
    return [...this.#pages.keys()]
  }

  page(file) {
    return this.#pages.get(file)
  }

  /** The page's HTML; what its links miss is put to `problems`. */
  render(file) {
    const { tokens } = this.#pages.get(file)
    for (const token of tokens) {
      if (token.type === 'html_block') token.content = this.#turned(file, token.content)
      for (const child of token.children ?? []) {
        if (child.type === 'html_inline') child.content = this.#turned(file, child.content)
        else if (child.type === 'image') child.attrSet('src', this.#target(file, child.attrGet('src')) ?? '')
        else if (child.type === 'link_open') {
          const target = this.#target(file, child.attrGet('href'))
          // In the repository, and not on the site: no link.
          if (target === null) child.attrs = [['class', 'file']]
          else child.attrSet('href', target)
        }
      }
    }
    return this.#markdown.renderer.render(tokens, this.#markdown.options, {})
  }

  #turned(file, html) {
    return html.replace(ATTRIBUTE, (_all, name, target) => `${name}="${this.#target(file, target) ?? ''}"`)
  }

  /** Where a link of a page leads on the site; null when only the repository has it. */
  #target(file, link) {
    if (isAddress(link)) return link
    const [path, anchor = ''] = decodeURI(link).split('#')
    const there = path === '' ? file : posix.normalize(posix.join(posix.dirname(file), path))
    const here = posix.dirname(outputOf(file))
    const page = this.#pages.get(there) ?? this.#pages.get(posix.join(there, 'README.md'))
    if (page !== undefined) {
      if (anchor !== '' && !page.anchors.has(anchor)) this.problems.push(`${file}: ${link}: no such heading`)
      const name = this.#pages.has(there) ? there : posix.join(there, 'README.md')
      const relative = there === file ? '' : posix.relative(here, outputOf(name))
      return anchor === '' ? relative || posix.basename(outputOf(name)) : `${relative}#${anchor}`
    }
    if (there.startsWith('..') || !existsSync(join(this.root, there))) {
      this.problems.push(`${file}: ${link}: no such file`)
      return null
    }
    if (!/\.(svg|png)$/.test(there)) return null
    this.assets.add(there)
    return posix.relative(here, outputOf(there))
  }
}
