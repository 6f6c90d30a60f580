import type { Counters } from '../counters.ts'
import type { FrameHeaders } from '../ip/frame-headers.ts'
import type { PacketBytes } from '../ip/packet-bytes.ts'
import { TokenBucket } from '../ip/token-bucket.ts'
import type { Siblings } from './siblings.ts'

/** Frames told a second, and at once, of either kind: whoever floods one queue does not flood all threads. */
const TOLD_PER_SECOND = 1000
const TOLD_AT_ONCE = 500
/** Longest frame that is told: what teaches is short, but an ICMPv6 error quotes up to 1280 bytes. */
const MOST_BYTES = 2048

/** Tells siblings of frames that came to this queue and are of use to all. */
export class Teller {
  /** Null: this queue is the interface's only one. */
  siblings: Siblings | null = null
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #counters: Counters
  /** Of what comes from the link, and of what anybody can send: the latter keeps nothing of the former from being told. */
  readonly #near = new TokenBucket(TOLD_PER_SECOND, TOLD_AT_ONCE)
  readonly #far = new TokenBucket(TOLD_PER_SECOND, TOLD_AT_ONCE)

  constructor(headers: FrameHeaders, bytes: PacketBytes, counters: Counters) {
    this.#headers = headers
    this.#bytes = bytes
    this.#counters = counters
  }

  /**
   * Tells of the frame being processed. False when nobody was told. What came in fragments is not told.
   * @param near a neighbour sent it: ARP, or neighbour discovery with the hop limit that proves it
   */
  tell(near: boolean, now: number): boolean {
    if (this.siblings === null) return false
    const { first, last, frameBytes } = this.#headers
    if (first === last) return false
    if (frameBytes > MOST_BYTES || !(near ? this.#near : this.#far).take(now)) {
      this.#counters.siblingUntold++
      return false
    }
    const frame = new Uint8Array(frameBytes)
    this.#bytes.setFrame(first, last)
    this.#bytes.copy(0, frameBytes, frame, 0)
    this.#counters.siblingTold++
    this.siblings.tell(frame)
    return true
  }
}
