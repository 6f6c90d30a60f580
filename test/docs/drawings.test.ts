import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
// @ts-expect-error plain JavaScript
import * as untyped from '../../scripts/draw.mjs'

const { draw, drawings } = untyped as {
  draw(text: string, theme: string): string
  drawings(): Map<string, string>
}

it('drawings are what their texts make: npm run docs', () => {
  const files = drawings()
  expect(files.size).toBeGreaterThan(1)
  for (const [file, svg] of files) expect(readFileSync(file, 'utf8'), file).toBe(svg)
})

it('a wrong line is told by its number', () => {
  expect(() => draw('title x\nbox a 0 0 9 9 | a\narrow a.left b.right', 'light')).toThrow('line 3: no box b')
  expect(() => draw('circle a', 'dark')).toThrow('line 1: no word circle')
})
