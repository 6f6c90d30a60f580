// What runs in the reader's browser: search, dark and light, the menu. No modules and no fetch, so that it works from a folder too.
;(() => {
  const root = document.documentElement
  const up = root.dataset.up
  const field = document.getElementById('search')
  const results = document.getElementById('results')
  let index = null
  let loading = null

  function load(file) {
    return new Promise((resolve, reject) => {
      const script = document.createElement('script')
      script.src = up + file
      script.onload = resolve
      script.onerror = reject
      document.head.append(script)
    })
  }

  function ready() {
    loading ??= load('minisearch.js')
      .then(() => load('search-index.js'))
      .then(() => {
        index = window.MiniSearch.loadJS(window.ZCRX_SEARCH.index, window.ZCRX_SEARCH.options)
      })
    return loading
  }

  async function search() {
    const words = field.value.trim()
    if (words === '') {
      results.hidden = true
      return
    }
    await ready()
    const found = index
      .search(words, { prefix: true, fuzzy: 0.1, boost: { title: 4, page: 2 }, combineWith: 'AND' })
      .slice(0, 12)
    results.replaceChildren(
      ...found.map((one, i) => {
        const item = document.createElement('li')
        const link = document.createElement('a')
        const page = document.createElement('small')
        item.setAttribute('aria-selected', String(i === 0))
        link.href = up + one.href
        link.textContent = one.title
        page.textContent = one.page
        link.append(page)
        item.append(link)
        return item
      }),
    )
    results.hidden = found.length === 0
  }

  function move(step) {
    const items = [...results.children]
    const at = items.findIndex((item) => item.getAttribute('aria-selected') === 'true')
    const next = items[(at + step + items.length) % items.length]
    if (next === undefined) return
    items[at]?.setAttribute('aria-selected', 'false')
    next.setAttribute('aria-selected', 'true')
    next.scrollIntoView({ block: 'nearest' })
  }

  field.addEventListener('focus', ready)
  field.addEventListener('input', search)
  field.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') move(1)
    else if (event.key === 'ArrowUp') move(-1)
    else if (event.key === 'Enter') results.querySelector('[aria-selected="true"] a')?.click()
    else if (event.key === 'Escape') field.blur()
    else return
    event.preventDefault()
  })
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.target.closest('input')) return
    event.preventDefault()
    field.focus()
  })
  document.addEventListener('click', (event) => {
    if (!event.target.closest('.search')) results.hidden = true
  })

  const dark = matchMedia('(prefers-color-scheme: dark)')

  /** Drawings follow the choice of the page, not only that of the system. */
  function paint(theme) {
    if (theme !== null) root.dataset.theme = theme
    for (const source of document.querySelectorAll('picture source')) {
      source.dataset.media ??= source.media
      source.media = theme === null ? source.dataset.media : theme === 'dark' ? 'all' : 'not all'
    }
  }

  function kept() {
    try {
      return localStorage.getItem('theme')
    } catch {
      return null
    }
  }

  paint(kept())
  document.getElementById('theme').addEventListener('click', () => {
    const now = root.dataset.theme ?? (dark.matches ? 'dark' : 'light')
    const next = now === 'dark' ? 'light' : 'dark'
    paint(next)
    try {
      localStorage.setItem('theme', next)
    } catch {}
  })

  const menu = document.getElementById('menu')
  menu.addEventListener('click', () => {
    const open = document.getElementById('sidebar').classList.toggle('open')
    menu.setAttribute('aria-expanded', String(open))
  })
})()
