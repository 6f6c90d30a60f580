import type { Spread } from './spread.ts'

/** Whose a figure is: this package's, somebody else's, or what the machine gives at the most. */
export type Whose = 'ours' | 'others' | 'ceiling'

export interface Bar {
  readonly label: string
  readonly whose: Whose
  readonly value: Spread
}

export interface BarGroup {
  /** Above its bars; empty: nothing. */
  readonly title: string
  readonly bars: readonly Bar[]
}

/** Horizontal bars from 0 to the median, with a line from the least to the most. */
export interface Plot {
  /** Of its files. */
  readonly name: string
  readonly title: string
  /** What it shows, for who does not see it. */
  readonly description: string
  readonly unit: string
  /** Behind the point, of the numbers at the bars. */
  readonly digits: number
  readonly groups: readonly BarGroup[]
  /** A value with a line through all bars. */
  readonly mark?: number
}

export const THEMES = ['light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

interface Colours extends Readonly<Record<Whose, string>> {
  readonly ground: string
  readonly text: string
  readonly faint: string
  readonly line: string
}

const COLOURS: Readonly<Record<Theme, Colours>> = {
  light: {
    ground: '#ffffff',
    text: '#1f2328',
    faint: '#59636e',
    line: '#d1d9e0',
    ours: '#0969da',
    others: '#8c959f',
    ceiling: '#bf8700',
  },
  dark: {
    ground: '#0d1117',
    text: '#f0f6fc',
    faint: '#9198a1',
    line: '#3d444d',
    ours: '#4493f8',
    others: '#6e7681',
    ceiling: '#d29922',
  },
}

const WIDTH = 700
const LEFT = 190
/** For the number behind a bar that is as long as there is room for. */
const RIGHT = 70
const TOP = 44
const ROW = 22
const BAR = 13
const GROUP = 24
const BOTTOM = 34
const TICKS = 5

/** The least of 1, 2 and 5 times a power of ten that is `value` or more. */
function niceStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= value * (1 - 1e-9)) ?? 10)
}

/** Values at which an axis from 0 to `most` or a little more has lines. */
export function ticksTo(most: number): number[] {
  if (!(most > 0) || !Number.isFinite(most)) return [0, 1]
  const step = niceStep(most / TICKS)
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => i * step)
}

export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** A number of an axis: no more digits than it needs. */
function short(value: number): string {
  return String(Number(value.toPrecision(6)))
}

/** The plot as an SVG document. @throws RangeError for one without bars */
export function renderPlot(plot: Plot, theme: Theme): string {
  const bars = plot.groups.flatMap((group) => group.bars)
  if (bars.length === 0) throw new RangeError(`plot ${plot.name} has no bars`)
  const colours = COLOURS[theme]
  const ticks = ticksTo(Math.max(plot.mark ?? 0, ...bars.map(({ value }) => value.max)))
  const most = ticks.at(-1)!
  const x = (value: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * value) / most
  const at = (value: number): string => x(value).toFixed(1)
  const titles = plot.groups.filter(({ title }) => title !== '').length
  const end = TOP + titles * GROUP + bars.length * ROW
  const text = (
    left: number | string,
    y: number,
    anchor: string,
    size: number,
    colour: string,
    content: string,
    more = '',
  ): string =>
    `<text x="${left}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${colour}"${more}>${escapeXml(content)}</text>`

  const parts: string[] = [
    `<rect width="${WIDTH}" height="${end + BOTTOM}" fill="${colours.ground}"/>`,
    text(12, 24, 'start', 15, colours.text, plot.title, ' font-weight="600"'),
  ]
  for (const tick of ticks)
    parts.push(
      `<line x1="${at(tick)}" y1="${TOP}" x2="${at(tick)}" y2="${end}" stroke="${colours.line}"/>`,
      text(at(tick), end + 14, 'middle', 11, colours.faint, short(tick)),
    )
  parts.push(text(WIDTH - 12, end + 28, 'end', 11, colours.faint, plot.unit))
  let y = TOP
  for (const group of plot.groups) {
    if (group.title !== '') {
      parts.push(text(12, y + 16, 'start', 12, colours.text, group.title, ' font-weight="600"'))
      y += GROUP
    }
    for (const { label, whose, value } of group.bars) {
      const middle = y + ROW / 2
      const width = (x(value.median) - LEFT).toFixed(1)
      parts.push(
        text(LEFT - 8, middle + 4, 'end', 12, colours.text, label),
        `<rect x="${LEFT}" y="${middle - BAR / 2}" width="${width}" height="${BAR}" rx="2" fill="${colours[whose]}"/>`,
        `<path d="M${at(value.min)} ${middle}H${at(value.max)}M${at(value.min)} ${middle - 4}v8M${at(value.max)} ${middle - 4}v8" stroke="${colours.text}" fill="none"/>`,
        text(
          (x(Math.max(value.median, value.max)) + 6).toFixed(1),
          middle + 4,
          'start',
          11,
          colours.faint,
          value.median.toFixed(plot.digits),
        ),
      )
      y += ROW
    }
  }
  if (plot.mark !== undefined)
    parts.push(
      `<line x1="${at(plot.mark)}" y1="${TOP}" x2="${at(plot.mark)}" y2="${end}" stroke="${colours.text}" stroke-dasharray="4 3"/>`,
    )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${end + BOTTOM}" width="${WIDTH}" height="${end + BOTTOM}" role="img" aria-labelledby="title desc" font-family="ui-sans-serif, system-ui, sans-serif">`,
    `<title id="title">${escapeXml(plot.title)}</title>`,
    `<desc id="desc">${escapeXml(plot.description)}</desc>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}
