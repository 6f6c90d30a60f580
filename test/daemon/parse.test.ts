import { describe, expect, it } from 'vitest'
import {
  deviceString,
  parseDuration,
  parseInteger,
  parseListen,
  parseSink,
  parseSize,
  UsageError,
} from '../../daemon/cli/parse.ts'

describe('parseSize', () => {
  it.each([
    ['1', 1],
    ['4096', 4096],
    ['64K', 65536],
    ['64k', 65536],
    ['64M', 64 * 2 ** 20],
    ['64MiB', 64 * 2 ** 20],
    ['1.5G', 1.5 * 2 ** 30],
    ['2T', 2 * 2 ** 40],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes))

  it.each(['', '0', '-1', '1X', '1.3', 'M', '1e9', '9999999T', '64 M M'])('refuses "%s"', (text) => {
    expect(() => parseSize(text)).toThrow(/64M, 1G/)
  })
})

describe('parseListen', () => {
  it.each([
    ['192.0.2.1:9000', { address: '192.0.2.1', port: 9000 }],
    [':9000', { port: 9000 }],
    ['*:9000', { port: 9000 }],
    ['9000', { port: 9000 }],
    ['192.0.2.1:0', { address: '192.0.2.1', port: 0 }],
    ['[2001:db8::1]:9000', { address: '2001:db8::1', port: 9000 }],
  ])('%s', (text, expected) => expect(parseListen(text)).toEqual(expected))

  it.each([
    '',
    'x',
    '192.0.2.1',
    '192.0.2:80',
    '192.0.2.1:65536',
    '::1:80',
    '[192.0.2.1]:80',
    '[::1%eth0]:80',
    'host:80',
    '192.0.2.1:-1',
  ])('refuses "%s"', (text) => expect(() => parseListen(text)).toThrow(UsageError))
})

describe('parseSink', () => {
  it('knows the three', () => {
    expect(parseSink('discard')).toEqual({ kind: 'discard' })
    expect(parseSink('hash')).toEqual({ kind: 'hash' })
    expect(parseSink('file:/srv/a:b')).toEqual({ kind: 'file', directory: '/srv/a:b' })
  })

  it.each(['', 'file', 'file:', 'null', 'Hash'])('refuses "%s"', (text) => {
    expect(() => parseSink(text)).toThrow('allowed are discard, hash and file:DIR')
  })
})

describe('the rest', () => {
  it('durations', () => {
    expect([
      parseDuration('500ms'),
      parseDuration('2s'),
      parseDuration('2'),
      parseDuration('1m'),
      parseDuration('0'),
    ]).toEqual([500, 2000, 2000, 60_000, 0])
    expect(() => parseDuration('soon')).toThrow(UsageError)
  })

  it('integers say their range', () => {
    expect(parseInteger('7', 'queue', 0, 8)).toBe(7)
    for (const bad of ['9', '-1', '1.5', '0x1', '', 'NaN', '1e3']) {
      expect(() => parseInteger(bad, 'queue', 0, 8)).toThrow('from 0 to 8')
    }
  })

  it('device strings', () => {
    expect(deviceString('eth0', undefined, undefined)).toBe('xdp:eth0/0')
    expect(deviceString('eth0', 3, 'native')).toBe('xdp:eth0/3?mode=native')
    expect(deviceString('eth0', 3, 'auto')).toBe('xdp:eth0/3')
    expect(deviceString('xdp:eth0/1?mode=generic', undefined, undefined)).toBe('xdp:eth0/1?mode=generic')
    expect(() => deviceString('xdp:eth0', 1, undefined)).toThrow('names the driver itself')
    expect(() => deviceString('an interface name too long', 0, undefined)).toThrow('not an interface name')
  })
})
