import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AddressCache, bytesOf, textOf } from '../../../driver/raw/address.ts'

test.each([
  ['10.77.0.2', [10, 77, 0, 2]],
  ['::', Array(16).fill(0)],
  ['::1', [...Array(15).fill(0), 1]],
  ['fd00:77::2', [0xfd, 0, 0, 0x77, ...Array(11).fill(0), 2]],
  ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  ['fe80::', [0xfe, 0x80, ...Array(14).fill(0)]],
  ['::ffff:10.1.2.3', [...Array(10).fill(0), 255, 255, 10, 1, 2, 3]],
])('%s', (text, bytes) => {
  expect([...bytesOf(text)]).toEqual(bytes)
})

test.each(['', 'here', '10.0.0', 'fe80::1%eth0', '1::2::3'])('%j is none', (text) => {
  expect(() => bytesOf(text)).toThrow(/is not an IP address/)
})

test('text and bytes are each other’s, from a cache that is full too', () => {
  const cache = new AddressCache(3)
  const address = fc.uint8Array({ minLength: 16, maxLength: 16 })
  fc.assert(
    fc.property(fc.array(address, { maxLength: 10 }), (addresses) => {
      for (const bytes of addresses) {
        const text = cache.text6(bytes, 0)
        expect(isIPv6(text)).toBe(true)
        expect([cache.bytes(text), cache.bytes(text)]).toEqual([bytes, bytes])
        expect(bytesOf(cache.text4(bytes, 4))).toEqual(bytes.slice(4, 8))
        expect(textOf(bytes, 4, 4)).toBe(cache.text4(bytes, 4))
      }
    }),
    { seed: 2, numRuns: 100 },
  )
})
