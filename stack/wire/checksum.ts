import { littleEndian } from '../../bytes.ts'

/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit big-endian words.
 * Sums here are *folded sums*: 0..0xffff, not yet complemented, so that they can be added and subtracted.
 */

/** Folds the carries of a sum of 16-bit words (below 2^32) back in. */
export function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16)
  return (sum & 0xffff) + (sum >>> 16)
}

/** One's complement sum of two folded sums. */
export function addSums(a: number, b: number): number {
  return fold(a + b)
}

/** The folded sum whose addition to `part` gives `whole`: removes the words of `part` from `whole`. */
export function subtractSums(whole: number, part: number): number {
  return fold(whole + (~part & 0xffff))
}

/** A sum over bytes that begin at an odd offset of the enclosing sum has its two bytes exchanged (RFC 1071 section 2 (B)). */
export function swapSum(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8)
}

/**
 * Folded sum of `bytes[offset..offset+length)`; an odd last byte is padded with zero.
 * The caller has checked the bounds.
 */
export function sumBytes(bytes: Uint8Array, offset: number, length: number): number {
  let sum = 0
  let at = offset
  const end = offset + (length & ~1)
  // 32768 words of 0xffff still fit in 31 bits, so folding once per 64 KiB is enough to stay an integer.
  while (at < end) {
    const stop = Math.min(end, at + 65_534)
    const unrolled = stop - 7
    while (at < unrolled) {
      sum +=
        ((bytes[at]! + bytes[at + 2]! + bytes[at + 4]! + bytes[at + 6]!) << 8) +
        bytes[at + 1]! +
        bytes[at + 3]! +
        bytes[at + 5]! +
        bytes[at + 7]!
      at += 8
    }
    while (at < stop) {
      sum += (bytes[at]! << 8) | bytes[at + 1]!
      at += 2
    }
    sum = fold(sum)
  }
  if ((length & 1) !== 0) sum = fold(sum + (bytes[end]! << 8))
  return sum
}

/**
 * `sumBytes` for payloads: reads 32-bit words where `offset` is a multiple of four. `words` covers the same memory as
 * `bytes`. About four times as fast as byte by byte (`docs/performance.md`).
 */
export function sumWords(bytes: Uint8Array, words: Uint32Array, offset: number, length: number): number {
  if ((offset & 3) !== 0 || length < 16) return sumBytes(bytes, offset, length)
  let low = 0
  let high = 0
  let index = offset >>> 2
  const whole = length >>> 2
  const end = index + whole
  while (index < end) {
    // Each step adds below 2^18 to either half: 4096 steps stay below 2^31.
    const stop = Math.min(end, index + 16_384)
    const unrolled = stop - 3
    while (index < unrolled) {
      const a = words[index]!
      const b = words[index + 1]!
      const c = words[index + 2]!
      const d = words[index + 3]!
      low += (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)
      high += (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)
      index += 4
    }
    while (index < stop) {
      const a = words[index]!
      low += a & 0xffff
      high += a >>> 16
      index++
    }
    low = fold(low)
    high = fold(high)
  }
  const sum = fold(low + high)
  const body = littleEndian ? swapSum(sum) : sum
  const rest = length & 3
  return rest === 0 ? body : addSums(body, sumBytes(bytes, offset + length - rest, rest))
}

/** The addresses of a segment. */
interface AddressPair {
  readonly source0: number
  readonly source1: number
  readonly source2: number
  readonly source3: number
  readonly destination0: number
  readonly destination1: number
  readonly destination2: number
  readonly destination3: number
}

/** Like `pseudoHeaderSum6`, of a segment's addresses. */
export function pseudoHeaderSumOf(pair: AddressPair, protocol: number, length: number): number {
  return fold(
    halves(pair.source0) +
      halves(pair.source1) +
      halves(pair.source2) +
      halves(pair.source3) +
      halves(pair.destination0) +
      halves(pair.destination1) +
      halves(pair.destination2) +
      halves(pair.destination3) +
      halves(length) +
      protocol,
  )
}

/** The words of an IPv6 address, as `IpAddress` has them. */
interface Words {
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}

/** Sum of a word's halves, not folded. */
export function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff)
}

/** Folded sum of the pseudo-header of IPv6 (RFC 8200 section 8.1). @param length bytes of upper-layer header and payload */
export function pseudoHeaderSum6(
  source: Words,
  destination: Words,
  protocol: number,
  length: number,
): number {
  return fold(
    halves(source.w0) +
      halves(source.w1) +
      halves(source.w2) +
      halves(source.w3) +
      halves(destination.w0) +
      halves(destination.w1) +
      halves(destination.w2) +
      halves(destination.w3) +
      halves(length) +
      protocol,
  )
}

/**
 * Folded sum of the TCP pseudo-header (RFC 9293 section 3.1).
 * @param source,destination IPv4 addresses as integers @param length bytes of TCP header and payload
 */
export function pseudoHeaderSum(
  source: number,
  destination: number,
  protocol: number,
  length: number,
): number {
  return fold(
    (source >>> 16) +
      (source & 0xffff) +
      (destination >>> 16) +
      (destination & 0xffff) +
      protocol +
      (length >>> 16) +
      (length & 0xffff),
  )
}
