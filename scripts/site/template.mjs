// What stands around a page.
import { posix } from 'node:path'
import { outputOf } from './pages.mjs'

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

/** Groups of pages that are open on every page. */
const FIRST = 4

function sidebar(sections, file, up) {
  const groups = sections.map(({ title, pages }, i) => {
    const items = pages.map((page) => {
      const here = page.file === file ? ' aria-current="page"' : ''
      return `<li><a href="${up}${outputOf(page.file)}"${here}>${escaped(page.title)}</a></li>`
    })
    const open = pages.some((page) => page.file === file) || i < FIRST
    return `<details${open ? ' open' : ''}><summary>${escaped(title)}</summary><ul>${items.join('')}</ul></details>`
  })
  return groups.join('\n')
}

/** Headings of the second level, where there are some. */
function contents(headings) {
  const second = headings.filter(({ level }) => level === 2)
  if (second.length < 3) return ''
  const items = second.map(({ anchor, title }) => `<li><a href="#${anchor}">${escaped(title)}</a></li>`)
  return `<nav class="contents" aria-label="On this page"><p>On this page</p><ul>${items.join('')}</ul></nav>`
}

/** The pages before and behind, in the order of the list. */
function neighbours(sections, file, up) {
  const all = sections.flatMap(({ pages }) => pages)
  const at = all.findIndex((page) => page.file === file)
  if (at < 0) return ''
  const link = (page, way) =>
    page === undefined
      ? '<span></span>'
      : `<a rel="${way}" href="${up}${outputOf(page.file)}">${escaped(page.title)}</a>`
  return `<nav class="neighbours" aria-label="Next">${link(all[at - 1], 'prev')}${link(all[at + 1], 'next')}</nav>`
}

/** @param {{ file: string, page: { title: string, sections: object[] }, html: string, sections: object[] }} parts */
export function wholePage({ file, page, html, sections }) {
  const depth = outputOf(file).split('/').length - 1
  const up = '../'.repeat(depth)
  const title = page.title === 'zcrx' ? 'zcrx' : `${page.title} · zcrx`
  return `<!doctype html>
<html lang="en" data-up="${up}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<link rel="stylesheet" href="${up}style.css">
<script src="${up}client.js" defer></script>
</head>
<body>
<a class="skip" href="#main">To the text</a>
<header>
<button id="menu" aria-expanded="false" aria-controls="sidebar">Menu</button>
<a class="name" href="${up}index.html">zcrx</a>
<div class="search"><input id="search" type="search" placeholder="Search ( / )" aria-label="Search" autocomplete="off"><ol id="results" hidden></ol></div>
<button id="theme" aria-label="Dark or light">◐</button>
</header>
<nav id="sidebar" aria-label="Pages">
${sidebar(sections, file, up)}
</nav>
<main id="main" data-source="${escaped(posix.normalize(file))}">
${contents(page.sections)}
${html}
${neighbours(sections, file, up)}
</main>
</body>
</html>
`
}
