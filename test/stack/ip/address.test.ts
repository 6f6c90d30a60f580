import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatEndpoint, IpAddress } from '../../../address.ts'

const parse = (text: string): IpAddress => IpAddress.parse(text)!

describe('an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['[2001:db8::1]', '2001:db8::1'],
  ])('%s is written %s (RFC 5952)', (text, canonical) => {
    expect(parse(text).toString()).toBe(canonical)
    expect(parse(canonical).equals(parse(text))).toBe(true)
  })

  it.each(['', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9', '12345::'])(
    '"%s" is none',
    (text) => expect(IpAddress.parse(text)).toBeNull(),
  )

  it.each([
    '::1%eth0',
    '[192.0.2.1]',
    '1.2.3.4::',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    '192.0.2.256',
    'g::',
    '[::1',
  ])('"%s" is none either', (text) => expect(IpAddress.parse(text)).toBeNull())

  it('survives text and bytes, whichever it is', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
          minLength: 8,
          maxLength: 8,
        }),
        (groups) => {
          const text = groups.map((group) => group.toString(16)).join(':')
          const address = parse(text)
          expect(parse(address.toString()).equals(address)).toBe(true)
          expect(IpAddress.from(address.bytes()).equals(address)).toBe(true)
          if (address.version === 6) expect(isIPv6(address.toString())).toBe(true)
        },
      ),
    )
    expect(() => IpAddress.from(new Uint8Array(5))).toThrow(RangeError)
  })

  it('knows its scope', () => {
    const of = (text: string): boolean[] => {
      const { unspecified, loopback, linkLocal, multicast, unicast } = parse(text)
      return [unspecified, loopback, linkLocal, multicast, unicast]
    }
    expect(of('0.0.0.0')).toEqual([true, false, false, false, false])
    expect(of('::')).toEqual([true, false, false, false, false])
    expect(of('127.1.2.3')).toEqual([false, true, false, false, true])
    expect(of('::1')).toEqual([false, true, false, false, true])
    expect(of('169.254.1.1')).toEqual([false, false, true, false, true])
    expect(of('febf::1')).toEqual([false, false, true, false, true])
    expect(of('224.0.0.1')).toEqual([false, false, false, true, false])
    expect(of('ff02::1')).toEqual([false, false, false, true, false])
    expect(of('2001:db8::1')).toEqual([false, false, false, false, true])
  })

  it.each([
    ['192.0.2.77', '192.0.2.0', 24, true],
    ['192.0.3.77', '192.0.2.0', 24, false],
    ['192.0.3.77', '192.0.2.0', 23, true],
    ['8.8.8.8', '0.0.0.0', 0, true],
    ['2001:db8::1', '0.0.0.0', 0, false],
    ['2001:db8::1', '2001:db8::', 64, true],
    ['2001:db8:0:1::1', '2001:db8::', 64, false],
    ['2001:db8::1', '2001:db8::1', 128, true],
    ['2001:db8::1', '2001:db8::3', 127, false],
  ])('%s within %s/%i: %s', (address, prefix, bits, expected) => {
    expect(parse(address).within(parse(prefix), bits)).toBe(expected)
  })

  it('stands in brackets before a port', () => {
    expect(formatEndpoint(parse('2001:db8::1'), 80)).toBe('[2001:db8::1]:80')
    expect(formatEndpoint('192.0.2.1', 80)).toBe('192.0.2.1:80')
  })
})
