import { type Entropy, halfSipHash } from '../entropy.ts'
import type { Segment } from './segment.ts'

/** Seconds that one cookie counter lasts, and for how many of them an answer is taken. */
const PERIOD_US = 64_000_000
const PERIODS = 2

/** Segment sizes a cookie can name, ascending (RFC 4987 3.6): what paths have, for both families. */
const SIZES = [536, 1220, 1300, 1440, 1460, 4312, 8940, 65_495] as const

/** Bits of the options in the lowest six of our TSval. */
const OPTION_BITS = 6
const SACK_BIT = 1 << 4
const ECN_BIT = 1 << 5
/** Shift field of a peer that does not scale. */
const NO_SCALE = 15

/** What a cookie remembers of the SYN. */
export interface CookieContents {
  mss: number
  /** -1: no window scaling. */
  windowScale: number
  sack: boolean
  ecn: boolean
}

/**
 * SYN cookies (RFC 4987 section 3.6): when half-open connections use up their memory, the SYN,ACK's own sequence number
 * and timestamp carry what would be remembered, and the connection is made from the peer's ACK. Layout of the sequence
 * number: 5 bits of a 64 s counter, 3 bits of segment size, 24 bits of a keyed hash. The options need timestamps; without
 * them scaling and SACK are lost.
 */
export class SynCookies {
  readonly #key0: number
  readonly #key1: number
  /** Until when an ACK may be one to a cookie of ours (microseconds): before the first there is nothing to check. */
  #validUntil = Number.NEGATIVE_INFINITY

  constructor(entropy: Entropy) {
    this.#key0 = entropy()
    this.#key1 = entropy()
  }

  /** The initial sequence number for a SYN, and the segment size it stands for. */
  make(segment: Segment, mss: number, now: number): number {
    this.#validUntil = now + PERIODS * PERIOD_US
    let size = SIZES.length - 1
    while (size > 0 && SIZES[size]! > mss) size--
    return this.#cookie(segment, segment.seq, Math.floor(now / PERIOD_US) & 31, size)
  }

  /** Our TSval with the options in it, never ahead of `timestamp`. */
  stamp(timestamp: number, options: CookieContents): number {
    const bits =
      (options.windowScale < 0 ? NO_SCALE : options.windowScale) |
      (options.sack ? SACK_BIT : 0) |
      (options.ecn ? ECN_BIT : 0)
    const value = ((timestamp >> OPTION_BITS) << OPTION_BITS) | bits
    return ((value - timestamp) | 0) > 0 ? (value - (1 << OPTION_BITS)) | 0 : value
  }

  /** What the ACK of a cookie says; null when it is none of ours, or too old. */
  check(segment: Segment, now: number): CookieContents | null {
    if (now > this.#validUntil) return null
    const cookie = (segment.ack - 1) | 0
    const period = cookie >>> 27
    const age = ((Math.floor(now / PERIOD_US) & 31) - period) & 31
    const size = (cookie >>> 24) & 7
    if (age >= PERIODS || this.#cookie(segment, (segment.seq - 1) | 0, period, size) !== cookie) return null
    const { hasTimestamps, tsEcr } = segment.options
    const scale = tsEcr & 15
    return {
      mss: SIZES[size]!,
      windowScale: hasTimestamps && scale < NO_SCALE ? scale : -1,
      sack: hasTimestamps && (tsEcr & SACK_BIT) !== 0,
      ecn: hasTimestamps && (tsEcr & ECN_BIT) !== 0,
    }
  }

  #cookie(segment: Segment, irs: number, period: number, size: number): number {
    const hash = halfSipHash(this.#key0, this.#key1, [
      segment.source0,
      segment.source1,
      segment.source2,
      segment.source3,
      segment.destination0,
      segment.destination1,
      segment.destination2,
      segment.destination3,
      (segment.sourcePort << 16) | segment.destinationPort,
      irs,
      (period << 3) | size,
    ])
    return (period << 27) | (size << 24) | (hash & 0xff_ffff)
  }
}
