import { type Entropy, halfSipHash } from '../entropy.ts'
import type { Segment } from './segment.ts'

/** Bytes of our cookies (RFC 7413 4.1.1 allows 4 to 16, even). */
export const FAST_OPEN_COOKIE_BYTES = 8

/** The server side of TCP Fast Open's cookies (RFC 7413 section 4.1.2): a keyed hash of the client's address. */
export class FastOpen {
  readonly #key0: number
  readonly #key1: number

  constructor(entropy: Entropy) {
    this.#key0 = entropy()
    this.#key1 = entropy()
  }

  /** The cookie of the host that sent this SYN, as two words. */
  cookie(segment: Segment): Int32Array {
    const words = [segment.source0, segment.source1, segment.source2, segment.source3]
    return Int32Array.of(
      halfSipHash(this.#key0, this.#key1, words),
      halfSipHash(this.#key1, this.#key0, words),
    )
  }

  /** Whether the SYN carries its host's cookie. @param header the headers that `options.fastOpenAt` indexes */
  verify(segment: Segment, header: Uint8Array): boolean {
    const { fastOpenAt, fastOpenLength } = segment.options
    if (fastOpenLength !== FAST_OPEN_COOKIE_BYTES) return false
    const expected = this.cookie(segment)
    let difference = 0
    for (let i = 0; i < FAST_OPEN_COOKIE_BYTES; i++) {
      difference |= header[fastOpenAt + i]! ^ ((expected[i >>> 2]! >>> (24 - 8 * (i & 3))) & 0xff)
    }
    return difference === 0
  }
}
