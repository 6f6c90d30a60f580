import { afterEach, describe, expect, it } from 'vitest'
import { copyBytes, useCopies } from '../copies.ts'
import { nativeOrNull } from '../driver/native/index.ts'

const native = nativeOrNull()

describe.each([
  ['JavaScript', null],
  ['the addon', native],
])('copies made by %s', (_, copies) => {
  afterEach(() => useCopies(native))

  /** The second kind of memory is what the addon is asked for. */
  const memories = [
    (): Uint8Array => new Uint8Array(1000),
    (): Uint8Array => new Uint8Array(new SharedArrayBuffer(1000)),
  ]

  it('write so many bytes, and only there', () => {
    useCopies(copies)
    const from = Uint8Array.from({ length: 600 }, (_, i) => i)
    for (const memory of memories) {
      const into = memory()
      copyBytes(into, 7, from, 3, 500)
      expect(into.slice(7, 507)).toEqual(from.slice(3, 503))
      expect([...into.slice(0, 7), ...into.slice(507)].every((byte) => byte === 0)).toBe(true)
    }
  })

  it('write nothing where either memory has not so many', () => {
    useCopies(copies)
    const from = new Uint8Array(600).fill(1)
    for (const memory of memories) {
      const into = memory()
      expect(() => copyBytes(into, 0, from, 300, 301)).toThrow(RangeError)
      expect(() => copyBytes(into, 0, from, 0, 601)).toThrow(RangeError)
      expect(() => copyBytes(into, 700, from, 0, 301)).toThrow(RangeError)
      expect(() => copyBytes(into, 401, from, 0, 600)).toThrow(RangeError)
      expect(into.every((byte) => byte === 0)).toBe(true)
    }
  })
})
