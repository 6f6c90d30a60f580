import { checkThat } from '../check.ts'

/** Which end of a conversation sends. */
export type Side = 'client' | 'server'

export function otherSide(side: Side): Side {
  return side === 'client' ? 'server' : 'client'
}

const LINE_BYTES = 16

/**
 * Bytes that say where they belong: 16-byte lines of eight hexadecimal digits (where the line begins in the stream), the
 * sender's name and a line feed.
 * @param from position in the sender's stream, 0 for its first byte @param length bytes @throws ArgumentError
 */
export function pattern(side: Side, from: number, length: number): Uint8Array {
  checkThat('side', side, side === 'client' || side === 'server', 'client or server')
  checkThat('from', from, Number.isSafeInteger(from) && from >= 0, 'a position from 0 on')
  checkThat(
    'length',
    length,
    Number.isInteger(length) && length >= 0 && length <= 2 ** 31,
    'a number of bytes',
  )
  const bytes = new Uint8Array(length)
  let line = -1
  let text = ''
  for (let i = 0; i < length; i++) {
    const at = from + i
    const index = Math.floor(at / LINE_BYTES)
    if (index !== line) {
      line = index
      text = `${((index * LINE_BYTES) >>> 0).toString(16).padStart(8, '0')} ${side}\n`
    }
    bytes[i] = text.charCodeAt(at - index * LINE_BYTES)
  }
  return bytes
}

/** Payload as a script gives it: text (UTF-8), bytes, or how many bytes of `pattern`. */
export type Data = string | Uint8Array | number

/** @param from position in the sender's stream, for a number */
export function dataBytes(data: Data, side: Side, from: number): Uint8Array {
  if (typeof data === 'number') return pattern(side, from, data)
  return typeof data === 'string' ? new TextEncoder().encode(data) : data.slice()
}
