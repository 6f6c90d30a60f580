import type { Flags, TcpOption } from '../script/ast.ts'
import { concat, get16, get32, put16, put32 } from './bytes.ts'

/** A TCP segment on the wire. Numbers are unsigned. */
export interface Segment {
  readonly source: number
  readonly destination: number
  readonly seq: number
  readonly ack: number
  readonly flags: Flags
  readonly window: number
  readonly urgent: number
  readonly options: readonly TcpOption[]
  readonly payload: Uint8Array
}

const HEADER_BYTES = 20
const FOEXP_MAGIC = 0xf989
const NUMBERS = { eol: 0, nop: 1, mss: 2, wscale: 3, sackOK: 4, sack: 5, TS: 8, md5: 19, FO: 34, FOEXP: 254 }

/** Bits of the flags, NS/AE in bit 8. */
export function flagBits(flags: Flags): number {
  return (
    (flags.fin ? 1 : 0) |
    (flags.syn ? 2 : 0) |
    (flags.rst ? 4 : 0) |
    (flags.psh ? 8 : 0) |
    (flags.ack ? 16 : 0) |
    (flags.urg ? 32 : 0) |
    (flags.ece ? 64 : 0) |
    (flags.cwr ? 128 : 0) |
    (flags.ae ? 256 : 0)
  )
}

export function flagsOf(bits: number): Flags {
  const has = (bit: number): boolean => (bits & bit) !== 0
  return {
    fin: has(1),
    syn: has(2),
    rst: has(4),
    psh: has(8),
    ack: has(16),
    urg: has(32),
    ece: has(64),
    cwr: has(128),
    ae: has(256),
  }
}

export const NO_FLAGS: Flags = flagsOf(0)

/** The segment's bytes with checksum 0. Options must fill whole words and fit the header: null when they don't. */
export function encodeSegment(segment: Segment): Uint8Array | null {
  const options = concat(...segment.options.map(encodeOption))
  if (options.length % 4 !== 0 || options.length > 40) return null
  const header = new Uint8Array(HEADER_BYTES)
  put16(header, 0, segment.source)
  put16(header, 2, segment.destination)
  put32(header, 4, segment.seq)
  put32(header, 8, segment.ack)
  const bits = flagBits(segment.flags)
  header[12] = (((HEADER_BYTES + options.length) / 4) << 4) | (bits >>> 8)
  header[13] = bits
  put16(header, 14, segment.window)
  put16(header, 18, segment.urgent)
  return concat(header, options, segment.payload)
}

/** Reads a segment; null when lengths make no sense. */
export function decodeSegment(bytes: Uint8Array): Segment | null {
  if (bytes.length < HEADER_BYTES) return null
  const headerBytes = (bytes[12]! >>> 4) * 4
  if (headerBytes < HEADER_BYTES || headerBytes > bytes.length) return null
  return {
    source: get16(bytes, 0),
    destination: get16(bytes, 2),
    seq: get32(bytes, 4),
    ack: get32(bytes, 8),
    flags: flagsOf(((bytes[12]! & 1) << 8) | bytes[13]!),
    window: get16(bytes, 14),
    urgent: get16(bytes, 18),
    options: decodeOptions(bytes.subarray(HEADER_BYTES, headerBytes)),
    payload: bytes.slice(headerBytes),
  }
}

export function encodeOption(option: TcpOption): Uint8Array {
  switch (option.kind) {
    case 'nop':
    case 'eol':
      return Uint8Array.of(NUMBERS[option.kind])
    case 'sackOK':
      return Uint8Array.of(NUMBERS.sackOK, 2)
    case 'mss':
      return Uint8Array.of(NUMBERS.mss, 4, option.value >>> 8, option.value)
    case 'wscale':
      return Uint8Array.of(NUMBERS.wscale, 3, option.value)
    case 'sack': {
      const bytes = new Uint8Array(2 + 8 * option.blocks.length)
      bytes.set([NUMBERS.sack, bytes.length])
      option.blocks.forEach(([left, right], i) => {
        put32(bytes, 2 + 8 * i, left)
        put32(bytes, 6 + 8 * i, right)
      })
      return bytes
    }
    case 'TS': {
      const bytes = new Uint8Array(10)
      bytes.set([NUMBERS.TS, 10])
      put32(bytes, 2, option.value ?? 0)
      put32(bytes, 6, option.echo ?? 0)
      return bytes
    }
    case 'FOEXP':
      return Uint8Array.of(
        NUMBERS.FOEXP,
        4 + option.bytes.length,
        FOEXP_MAGIC >>> 8,
        FOEXP_MAGIC,
        ...option.bytes,
      )
    case 'FO':
    case 'md5':
      return Uint8Array.of(NUMBERS[option.kind], 2 + option.bytes.length, ...option.bytes)
    case 'cookie':
      throw new TypeError('a cookie is looked up before it is sent')
    case 'unknown':
      return Uint8Array.of(option.number, 2 + option.bytes.length, ...option.bytes)
  }
}

/** Options as they stand; what has a length that makes no sense ends the list as unknown bytes. */
export function decodeOptions(bytes: Uint8Array): TcpOption[] {
  const options: TcpOption[] = []
  for (let at = 0; at < bytes.length; ) {
    const number = bytes[at]!
    if (number <= 1) {
      options.push({ kind: number === 0 ? 'eol' : 'nop' })
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > bytes.length) {
      options.push({ kind: 'unknown', number, bytes: [...bytes.subarray(at + 1)] })
      break
    }
    options.push(decodeOption(number, bytes.subarray(at + 2, at + length)))
    at += length
  }
  return options
}

function decodeOption(number: number, data: Uint8Array): TcpOption {
  const { length } = data
  if (number === NUMBERS.mss && length === 2) return { kind: 'mss', value: get16(data, 0) }
  if (number === NUMBERS.wscale && length === 1) return { kind: 'wscale', value: data[0]! }
  if (number === NUMBERS.sackOK && length === 0) return { kind: 'sackOK' }
  if (number === NUMBERS.TS && length === 8)
    return { kind: 'TS', value: get32(data, 0), echo: get32(data, 4) }
  if (number === NUMBERS.sack && length > 0 && length % 8 === 0) {
    const blocks: [number, number][] = []
    for (let at = 0; at < length; at += 8) blocks.push([get32(data, at), get32(data, at + 4)])
    return { kind: 'sack', blocks }
  }
  if (number === NUMBERS.FO) return { kind: 'FO', bytes: [...data] }
  if (number === NUMBERS.FOEXP && length >= 2 && get16(data, 0) === FOEXP_MAGIC) {
    return { kind: 'FOEXP', bytes: [...data.subarray(2)] }
  }
  if (number === NUMBERS.md5) return { kind: 'md5', bytes: [...data] }
  return { kind: 'unknown', number, bytes: [...data] }
}
