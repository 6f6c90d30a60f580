import { describe, expect, it } from 'vitest'
import { type Plot, renderPlot, THEMES, ticksTo } from '../../bench/plot.ts'
import { elementsOf } from './xml.ts'

const plot: Plot = {
  name: 'one',
  title: 'Rates <of> "both" & more',
  description: 'What is shown',
  unit: 'Gbit/s',
  digits: 1,
  groups: [
    {
      title: '1 flow',
      bars: [
        { label: 'zcrx', whose: 'ours', value: { min: 10, median: 20, max: 30 } },
        { label: 'node:net', whose: 'others', value: { min: 5, median: 10, max: 40 } },
      ],
    },
    { title: '', bars: [{ label: 'C', whose: 'ceiling', value: { min: 50, median: 50, max: 50 } }] },
  ],
}

describe('a plot', () => {
  it.each(THEMES)('is an SVG document with a title and a description, %s', (theme) => {
    const elements = elementsOf(renderPlot(plot, theme))
    expect(elements[0]).toMatchObject({ name: 'svg', attributes: { role: 'img', width: '700' } })
    expect(elements.find(({ name }) => name === 'title')?.text).toBe(
      'Rates &lt;of&gt; &quot;both&quot; &amp; more',
    )
    expect(elements.find(({ name }) => name === 'desc')?.text).toBe('What is shown')
    const text = elements.filter(({ name }) => name === 'text').map((element) => element.text)
    for (const label of ['zcrx', 'node:net', 'C', '1 flow', 'Gbit/s', '20.0', '10.0', '50.0'])
      expect(text).toContain(label)
  })

  it('has bars as long as their medians, and a line from the least to the most', () => {
    const elements = elementsOf(renderPlot(plot, 'light'))
    const [, ...bars] = elements.filter(({ name }) => name === 'rect')
    const [ours, others, ceiling] = bars.map(({ attributes }) => Number(attributes.width))
    expect(ours! / others!).toBeCloseTo(2, 2)
    expect(ceiling! / ours!).toBeCloseTo(2.5, 2)
    const ranges = elements.filter(({ name }) => name === 'path').map(({ attributes }) => attributes.d!)
    const [, from, to] = /^M([\d.]+) [\d.]+H([\d.]+)/.exec(ranges[0]!)!
    expect(Number(to) - Number(from)).toBeCloseTo(ours!, 1)
    expect(ranges).toHaveLength(3)
  })

  it('keeps all it draws within its size', () => {
    const elements = elementsOf(renderPlot({ ...plot, mark: 25 }, 'dark'))
    const height = Number(elements[0]!.attributes.height)
    for (const { attributes } of elements.slice(1)) {
      for (const name of ['x', 'x1', 'x2']) expect(Number(attributes[name] ?? 0)).toBeLessThanOrEqual(700)
      for (const name of ['y', 'y1', 'y2']) expect(Number(attributes[name] ?? 0)).toBeLessThanOrEqual(height)
    }
  })

  it('differs between the themes in nothing but colours', () => {
    const [light, dark] = THEMES.map((theme) => renderPlot(plot, theme).replaceAll(/#[0-9a-f]{6}/g, ''))
    expect(light).toBe(dark)
    expect(renderPlot(plot, 'light')).not.toBe(renderPlot(plot, 'dark'))
  })

  it('of nothing there is none', () => {
    expect(() => renderPlot({ ...plot, groups: [] }, 'light')).toThrow(RangeError)
  })
})

describe('an axis', () => {
  it.each([
    [50, [0, 10, 20, 30, 40, 50]],
    [51, [0, 20, 40, 60]],
    [0.9, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [0, [0, 1]],
  ])('to %d', (most, ticks) => {
    const found = ticksTo(most)
    expect(found).toHaveLength(ticks.length)
    for (const [i, tick] of ticks.entries()) expect(found[i]).toBeCloseTo(tick)
  })
})
