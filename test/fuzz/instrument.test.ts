import { describe, expect, it } from 'vitest'
import { COUNTERS, instrument, REGISTER } from '../../fuzz/instrument.ts'

/** Runs a module; what it exports, and the numbers of the blocks that were entered. */
async function load(
  source: string,
): Promise<{ module: Record<string, unknown>; entered: number[]; blocks: number }> {
  const counters = new Uint8Array(64)
  const { code, next } = instrument(source, 1)
  let blocks = 0
  Object.assign(globalThis, {
    [COUNTERS]: counters,
    [REGISTER]: (count: number) => {
      blocks = count
    },
  })
  expect(code.split('\n').length).toBe(source.split('\n').length)
  const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Record<string, unknown>
  expect(blocks).toBe(next)
  const entered = [...counters.keys()].filter((i) => counters[i]! > 0)
  return { module, entered, blocks: next - 1 }
}

describe('instrumented code', () => {
  it.each([
    ['let x = 0; if (x) x = 1; export { x }', 0, 2, [1]],
    ['let x = 1; if (x) x = 2; else x = 3; export { x }', 2, 2, [2]],
    ['let x = 1; if (x) if (!x) x = 2; else x = 3; export { x }', 3, 4, null],
    ['let x = 1; if (x) { x = 5 } else if (x > 2) { x = 6 } export { x }', 5, 4, null],
    ['export const x = [1, 2].map((v) => v * 2).length', 2, 1, [1]],
    ['export const x = (() => ({ a: 1 }))().a', 1, 1, [1]],
    ['const y = null; export const x = y ?? (y && 1) ?? "z"', 'z', 3, null],
    ['export const x = true ? "é…" : false ? "b" : "c"', 'é…', 4, [1]],
    ['let x = 0; for (const v of [1, 2, 3]) x += v; export { x }', 6, 1, [1]],
    ['let x = 0; do x++; while (x < 3); export { x }', 3, 1, [1]],
    ['let x = 0; while (x < 4) x++; for (;;) { if (x++ > 5) break } export { x }', 7, 4, null],
    ['let x; try { throw 1 } catch { x = "caught" } finally { } export { x }', 'caught', 1, [1]],
    [
      'let x = ""; switch (2) { case 1: x = "a"; case 2: x += "b"; default: x += "c" } export { x }',
      'bc',
      3,
      [2, 3],
    ],
    [
      'class A { #v = 3; get v() { return this.#v } } class B extends A { constructor() { super() } } export const x = new B().v',
      3,
      2,
      [1, 2],
    ],
    ['async function f() { return (await 1) || (await 2) } export const x = await f()', 1, 2, [1]],
    ['export const x = [..."ab"].map((c, i, all) => i ? c : all[1]).join()', 'b,b', 3, null],
    ['const g = function* () { yield 1; }; export const x = [...g()].length', 1, 1, [1]],
    ['const f = ({ a } = { a: (() => 7)() }) => a; export const x = f()', 7, 2, [1, 2]],
  ])('%s', async (source, x, blocks, entered) => {
    const result = await load(source)
    expect(result.module.x).toBe(x)
    expect(result.blocks).toBe(blocks)
    if (entered !== null) expect(result.entered).toEqual(entered)
    else expect(result.entered.length).toBeGreaterThan(0)
  })
})
