/** What became of one direction of one conversation: an object of the output of `zcrxd follow` and `zcrxd replay`. */
export interface StreamReport {
  /** The capture. */
  readonly file: string
  /** Number in order of first packets, from 0: Wireshark's `tcp.stream`. */
  readonly stream: number
  /** `192.0.2.1:40000`, `[2001:db8::1]:40000` */
  readonly client: string
  /** Address and port, as `client`. */
  readonly server: string
  /** Who sent these bytes. */
  readonly direction: 'client' | 'server'
  /** Payload bytes delivered; of a hole only its marker counts, as in the digest. */
  readonly bytes: number
  /** In hexadecimal; null when it was not asked for, or the conversation was left out. */
  readonly sha256: string | null
  /** Data completions of the ring; 0 without an endpoint. */
  readonly completions: number
  /** Bytes that lay where the queue put them, and bytes that were moved; 0 without an endpoint. */
  readonly zeroCopiedBytes: number
  /** Bytes that were moved; 0 without an endpoint. */
  readonly copiedBytes: number
  /** Holes: bytes that the receiver acknowledged, or that follow, but the capture does not have. */
  readonly gaps: number
  /** Bytes of those holes, and of payloads that were cut off when they were captured. */
  readonly missingBytes: number
  /** How the stream ended: with the sender's FIN behind all data, with a reset of either, or not in the capture. */
  readonly end: 'fin' | 'rst' | 'none'
  /** Why it was left out; else null. */
  readonly skipped: string | null
}

/** What stands in the place of a hole, in streams and their digests: Wireshark's own words, with the NUL it puts behind them. */
export function gapMarker(bytes: number): Uint8Array {
  return new TextEncoder().encode(`[${bytes} bytes missing in capture file]\0`)
}

/** Reports that wait for those of earlier conversations. */
const MAX_WAITING = 65_536

/** Brings reports, which come as conversations end, into the order of conversations, as far as bounded memory allows. */
export class ReportOrder {
  readonly #hand: (report: StreamReport) => void
  readonly #waiting = new Map<number, StreamReport[]>()
  /** The conversation whose turn it is. */
  #next = 0

  constructor(hand: (report: StreamReport) => void) {
    this.#hand = hand
  }

  /** All reports of a conversation, once. */
  add(stream: number, reports: StreamReport[]): void {
    if (stream < this.#next) {
      for (const report of reports) this.#hand(report)
      return
    }
    this.#waiting.set(stream, reports)
    this.#handOut()
    if (this.#waiting.size <= MAX_WAITING) return
    // One conversation outlives all others: it has lost its turn.
    for (const waiting of [...this.#waiting.keys()].sort((a, b) => a - b)) {
      this.#next = Math.max(this.#next, waiting)
      this.#handOut()
    }
  }

  #handOut(): void {
    for (;;) {
      const reports = this.#waiting.get(this.#next)
      if (reports === undefined) return
      this.#waiting.delete(this.#next++)
      for (const report of reports) this.#hand(report)
    }
  }
}
