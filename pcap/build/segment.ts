import { get16, put16 } from '../../bytes.ts'
import { ArgumentError } from '../../errors.ts'
import { addSums, sumBytes } from '../../stack/wire/checksum.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import {
  ACK,
  AE,
  CWR,
  ECE,
  FIN,
  PSH,
  putMss,
  putSack,
  putSackPermitted,
  putTcp,
  putTimestamps,
  putWindowScale,
  RST,
  SYN,
  TCP_MIN_HEADER_BYTES,
  tcpField,
  URG,
} from '../../stack/wire/tcp.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * What the checksum field of TCP holds. `partial`: the folded sum of the pseudo-header, as a capture of one's own sending
 * has it when the device is to finish it.
 */
export type ChecksumMode = 'good' | 'bad' | 'partial'

const LETTERS: Record<string, number> = {
  F: FIN,
  S: SYN,
  R: RST,
  P: PSH,
  A: ACK,
  U: URG,
  E: ECE,
  C: CWR,
  N: AE,
}
const MAX_OPTION_BYTES = 40

/** Bits from letters: `F` `S` `R` `P` `A` `U` `E` `C`, `N` for Accurate ECN. @throws ArgumentError for others */
export function parseFlags(letters: string): number {
  let flags = 0
  for (const letter of letters) {
    const bit = LETTERS[letter]
    if (bit === undefined)
      throw new ArgumentError(`no TCP flag is called ${letter}`, 'use letters of FSRPAUECN')
    flags |= bit
  }
  return flags
}

/** A segment with absolute numbers. */
export interface Segment {
  source: Endpoint
  destination: Endpoint
  /** Absolute, modulo 2^32. */
  seq: number
  ack: number
  flags: number
  /** As in the field: not scaled. */
  window: number
  urgent: number
  payload: Uint8Array
  options: Uint8Array
  checksum: ChecksumMode
  /** Bytes that the data offset claims, a multiple of 4; by default what the header has. */
  dataOffset?: number | undefined
}

/** Options by name; they are written in the order that Linux uses. */
export interface OptionSpec {
  mss?: number | undefined
  sackPermitted?: boolean | undefined
  timestamps?: readonly [value: number, echo: number] | undefined
  windowScale?: number | undefined
  /** Edges, absolute. */
  sack?: readonly (readonly [number, number])[] | undefined
  /** Written behind the others as they are. */
  raw?: Uint8Array | undefined
}

/** Option bytes, padded with zeros to a multiple of 4. @throws ArgumentError when they take more than 40 bytes */
export function encodeOptions(spec: OptionSpec): Uint8Array {
  const bytes = new Uint8Array(256)
  let at = 0
  if (spec.mss !== undefined) at += putMss(bytes, at, spec.mss)
  if (spec.sackPermitted === true) at += putSackPermitted(bytes, at, spec.timestamps === undefined ? 2 : 0)
  if (spec.timestamps !== undefined) {
    const [value, echo] = spec.timestamps
    // Without NOPs where SACK-permitted has filled up the word.
    const from = at
    at += putTimestamps(bytes, at, value, echo)
    if (spec.sackPermitted === true) {
      bytes.copyWithin(from, from + 2, at)
      at -= 2
    }
  }
  if (spec.windowScale !== undefined) at += putWindowScale(bytes, at, spec.windowScale)
  const sack = spec.sack ?? []
  if (sack.length > 4) throw new ArgumentError('no more than 4 SACK blocks fit')
  if (sack.length > 0)
    at += putSack(
      bytes,
      at,
      Int32Array.from(sack.flat(), (edge) => edge | 0),
      sack.length,
    )
  const raw = spec.raw ?? new Uint8Array()
  const length = (at + raw.length + 3) & ~3
  if (length > MAX_OPTION_BYTES)
    throw new ArgumentError(`options of ${length} bytes don't fit`, 'at most 40 do')
  bytes.fill(0, at)
  bytes.set(raw, at)
  return bytes.slice(0, length)
}

/** Header, options and payload, with the checksum asked for. */
export function encodeSegment(segment: Segment): Uint8Array {
  const headerBytes = TCP_MIN_HEADER_BYTES + segment.options.length
  const bytes = new Uint8Array(headerBytes + segment.payload.length)
  putTcp(
    bytes,
    0,
    segment.source.port,
    segment.destination.port,
    segment.seq,
    segment.ack,
    segment.dataOffset ?? headerBytes,
    segment.flags,
    segment.window,
  )
  put16(bytes, tcpField.urgentPointer, segment.urgent)
  bytes.set(segment.options, TCP_MIN_HEADER_BYTES)
  bytes.set(segment.payload, headerBytes)
  const pseudo = pseudoHeader(segment.source.address, segment.destination.address, bytes.length)
  if (segment.checksum === 'partial') put16(bytes, tcpField.checksum, pseudo)
  else {
    put16(bytes, tcpField.checksum, ~addSums(pseudo, sumBytes(bytes, 0, bytes.length)) & 0xffff)
    if (segment.checksum === 'bad') put16(bytes, tcpField.checksum, get16(bytes, tcpField.checksum) ^ 0x5555)
  }
  return bytes
}

/** Folded sum of the pseudo-header of either version: its words are the same ones (RFC 9293 3.1, RFC 8200 8.1). */
function pseudoHeader(source: Uint8Array, destination: Uint8Array, length: number): number {
  const ends = addSums(sumBytes(source, 0, source.length), sumBytes(destination, 0, destination.length))
  return addSums(ends, addSums(IPPROTO_TCP, addSums(length >>> 16, length & 0xffff)))
}
