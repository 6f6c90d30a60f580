// Makes each docs/drawings/NAME.txt two drawings, NAME-light.svg and NAME-dark.svg. The words of a text are those of `WORDS` below.
// Node's own modules only: `node scripts/draw.mjs` writes what changed.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../docs/drawings', import.meta.url))

/** The colours of docs/plots. */
const THEMES = {
  light: {
    paper: '#ffffff',
    ink: '#1f2328',
    muted: '#59636e',
    rule: '#d1d9e0',
    accent: '#0969da',
    tint: '#ddf4ff',
  },
  dark: {
    paper: '#0d1117',
    ink: '#f0f6fc',
    muted: '#9198a1',
    rule: '#3d444d',
    accent: '#4493f8',
    tint: '#121d2f',
  },
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** What a line may begin with, and what it draws; `rest` are its words, `labels` what stands behind bars. */
const WORDS = {
  place: (drawing, rest, labels) => drawing.box(rest, labels, 'place'),
  box: (drawing, rest, labels) => drawing.box(rest, labels, 'box'),
  note: (drawing, rest, labels) => drawing.box(rest, labels, 'note'),
  line(drawing, [x1, y1, x2, y2]) {
    drawing.put(
      `<path d="M${x1} ${y1}L${x2} ${y2}" stroke="${drawing.colours.rule}" stroke-dasharray="5 4"/>`,
    )
  },
  text(drawing, [x, y, anchor, ...words]) {
    drawing.text(
      x,
      y,
      words.join(' '),
      `text-anchor="${anchor}" font-size="12" fill="${drawing.colours.muted}"`,
    )
  },
  /** Straight, or across and then up or down. */
  arrow(drawing, [from, to]) {
    const [x1, y1] = drawing.end(from)
    const [x2, y2] = drawing.end(to)
    drawing.arrow(x1 === x2 || y1 === y2 ? `M${x1} ${y1}L${x2} ${y2}` : `M${x1} ${y1}H${x2}V${y2}`)
  },
  /** Over the top, from the first to the second. */
  arc(drawing, [from, to]) {
    const [x1, y1] = drawing.end(from)
    const [x2, y2] = drawing.end(to)
    drawing.arrow(`M${x1} ${y1}V${y1 - 22}H${x2}V${y2}`)
  },
}

class Drawing {
  title = ''
  desc = ''
  size = [0, 0]
  #boxes = new Map()
  #lines = []

  constructor(colours) {
    this.colours = colours
  }

  put(line) {
    this.#lines.push(line)
  }

  text(x, y, words, attributes) {
    this.put(`<text x="${x}" y="${y}" ${attributes}>${escaped(words)}</text>`)
  }

  arrow(path) {
    this.put(
      `<path d="${path}" fill="none" stroke="${this.colours.accent}" stroke-width="1.5" marker-end="url(#head)"/>`,
    )
  }

  box([name, ...numbers], [head, ...rest], kind) {
    const [x, y, width, height] = numbers.map(Number)
    const { tint, paper, accent, rule, ink, muted } = this.colours
    const looks = {
      place: `fill="${tint}" stroke="${accent}"`,
      box: `fill="${paper}" stroke="${ink}"`,
      note: `fill="${paper}" stroke="${rule}" stroke-dasharray="3 3"`,
    }[kind]
    this.#boxes.set(name, { x, y, width, height })
    this.put(`<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" ${looks}/>`)
    const middle = x + width / 2
    const top = y + height / 2 - rest.length * 8 + 5
    this.text(middle, top, head, `text-anchor="middle" font-size="14" font-weight="600" fill="${ink}"`)
    for (const [i, words] of rest.entries())
      this.text(middle, top + 17 * (i + 1), words, `text-anchor="middle" font-size="11" fill="${muted}"`)
  }

  /** Where an arrow meets a box: `fill.left`. */
  end(place) {
    const [name, side] = place.split('.')
    const box = this.#boxes.get(name)
    if (box === undefined) throw new Error(`no box ${name}`)
    const { x, y, width, height } = box
    const ends = {
      left: [x, y + height / 2],
      right: [x + width, y + height / 2],
      top: [x + width / 2, y],
      bottom: [x + width / 2, y + height],
    }
    if (ends[side] === undefined) throw new Error(`no side ${place}`)
    return ends[side]
  }

  toString() {
    const [width, height] = this.size
    const { paper, ink, accent } = this.colours
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc" font-family="ui-sans-serif, system-ui, sans-serif">`,
      `<title id="title">${escaped(this.title)}</title>`,
      `<desc id="desc">${escaped(this.desc)}</desc>`,
      `<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="${accent}"/></marker></defs>`,
      `<rect width="${width}" height="${height}" fill="${paper}"/>`,
      `<text x="20" y="26" font-size="15" font-weight="600" fill="${ink}">${escaped(this.title)}</text>`,
      ...this.#lines,
      '</svg>',
      '',
    ].join('\n')
  }
}

/** @param {string} text a drawing in words @param {keyof typeof THEMES} theme @throws Error with the line that is wrong */
export function draw(text, theme) {
  const drawing = new Drawing(THEMES[theme])
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [word, ...all] = line.trim().split(/\s+/)
    const said = line.trim().slice(word.length).trim()
    try {
      if (word === 'title' || word === 'desc') drawing[word] = said
      else if (word === 'size') drawing.size = all.map(Number)
      else {
        const [front, ...labels] = said.split(/\s*\|\s*/)
        if (WORDS[word] === undefined) throw new Error(`no word ${word}`)
        WORDS[word](drawing, front.split(/\s+/), labels)
      }
    } catch (error) {
      throw new Error(`line ${i + 1}: ${error.message}`, { cause: error })
    }
  }
  return drawing.toString()
}

/** Every drawing there is, by the file it belongs in. @returns {Map<string, string>} */
export function drawings() {
  const files = new Map()
  for (const name of readdirSync(FOLDER).sort())
    if (name.endsWith('.txt'))
      for (const theme of Object.keys(THEMES))
        files.set(
          join(FOLDER, name.replace(/\.txt$/, `-${theme}.svg`)),
          draw(readFileSync(join(FOLDER, name), 'utf8'), theme),
        )
  return files
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const [file, svg] of drawings()) writeFileSync(file, svg)
