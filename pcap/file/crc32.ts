import * as zlib from 'node:zlib'

const POLYNOMIAL = 0xedb8_8320
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ POLYNOMIAL
  return value
})

/** Node has one of its own since 20.15. */
const native: ((bytes: Uint8Array, before: number) => number) | undefined = zlib.crc32

/** The checksum of gzip (RFC 1952 section 8), unsigned. @param before that of the bytes in front, 0 at the start */
export function crc32(bytes: Uint8Array, before: number): number {
  return native === undefined ? tableCrc32(bytes, before) : native(bytes, before)
}

/** @internal */
export function tableCrc32(bytes: Uint8Array, before: number): number {
  let value = ~before
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ TABLE[(value ^ bytes[i]!) & 0xff]!
  return ~value >>> 0
}
