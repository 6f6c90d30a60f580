import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crc32, tableCrc32 } from '../../../pcap/file/crc32.ts'

describe('crc32', () => {
  it.each([crc32, tableCrc32])('has the known value', (sum) => {
    expect(sum(new TextEncoder().encode('123456789'), 0)).toBe(0xcbf4_3926)
    expect(sum(new Uint8Array(0), 0)).toBe(0)
  })

  it('goes on from what was in front, with Node’s and with a table', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, at) => {
        const whole = crc32(bytes, 0)
        for (const sum of [crc32, tableCrc32]) {
          expect(sum(bytes.subarray(at), sum(bytes.subarray(0, at), 0))).toBe(whole)
        }
      }),
    )
  })
})
