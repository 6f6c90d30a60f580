import { seqGt, seqLt } from '../wire/seq.ts'
import { type Flight, LOST, RESENT } from './flight.ts'

/** Duplicate ACKs, or segments sacked beyond a hole, that mean loss (RFC 5681, RFC 6675). */
export const DUP_THRESHOLD = 3

/** RFC 8985 6.2.4: recoveries without a D-SACK after which the widened reordering window falls back. */
const WINDOW_PERSISTS = 16

/** Of the reordering window, in quarters of the least round trip. */
const MAX_MULTIPLIER = 255

/** How long a minimum round trip is believed, microseconds: routes change. Linux uses the same. */
const MIN_RTT_EXPIRES_US = 300_000_000

/**
 * RACK (RFC 8985 section 6): a segment is lost when one sent later was delivered and more time has passed than reordering
 * explains. And the state of the tail loss probe (section 7).
 */
export class Rack {
  /** The most recently sent segment that was delivered: when it was sent (microseconds), its end, its round trip. */
  xmitAt = -1
  endSeq = 0
  rtt = 0
  /** Highest sequence number delivered. */
  fack = 0
  reorderingSeen = false
  /** Smallest round trip seen lately, microseconds; 0 before the first. */
  minRtt = 0
  #minRttAt = 0
  #windowMultiplier = 1
  #windowPersist = 0
  #dsackRound = 0
  #hasDsackRound = false

  /** SND.NXT when a probe left; valid while `probing`. */
  probeEnd = 0
  probing = false
  /** The probe was a retransmission: whether it repaired a loss is to be told from its ACK. */
  probeResent = false

  /** Microseconds after which what is missing now is lost; 0 when nothing is in doubt. */
  wait = 0

  /** TSecr of the ACK being processed in microseconds of our clock, -1 without timestamps. */
  echoedAt = -1

  /** Forgets the segments of the connection served before. @param reordering what `reordering` gave for this one before */
  begin(una: number, minRtt: number, reordering: number, tailProbe: number | null = null): void {
    this.xmitAt = -1
    this.rtt = 0
    this.fack = una
    this.minRtt = minRtt
    this.#minRttAt = 0
    this.reorderingSeen = (reordering & 1) !== 0
    this.#windowMultiplier = Math.max(1, (reordering >>> 1) & 0xff)
    this.#windowPersist = reordering >>> 9
    this.#hasDsackRound = false
    this.probing = tailProbe !== null
    this.probeResent = tailProbe !== null
    this.probeEnd = tailProbe ?? 0
    this.wait = 0
  }

  /** What is known of the path's reordering, as one number. */
  get reordering(): number {
    return (this.reorderingSeen ? 1 : 0) | (this.#windowMultiplier << 1) | (this.#windowPersist << 9)
  }

  /** A segment was acknowledged, cumulatively or selectively, for the first time. */
  delivered(sentAt: number, end: number, everResent: boolean, now: number): void {
    // Step 3: delivered below what was delivered before, although sent once: the path reorders.
    if (seqGt(end, this.fack)) this.fack = end
    else if (seqLt(end, this.fack) && !everResent) this.reorderingSeen = true
    const rtt = now - sentAt
    if (everResent) {
      // Step 2: this may be the ACK of the first copy.
      if (this.echoedAt >= 0 && this.echoedAt + 1000 <= sentAt) return
      if (rtt < this.minRtt) return
    } else this.#measure(rtt, now)
    this.rtt = rtt
    if (sentAt > this.xmitAt || (sentAt === this.xmitAt && seqGt(end, this.endSeq))) {
      this.xmitAt = sentAt
      this.endSeq = end
    }
  }

  #measure(rtt: number, now: number): void {
    if (this.#minRttAt === 0) this.#minRttAt = now
    if (this.minRtt !== 0 && rtt > this.minRtt && now - this.#minRttAt < MIN_RTT_EXPIRES_US) return
    this.minRtt = Math.max(1, Math.round(rtt))
    this.#minRttAt = now
  }

  /** A D-SACK came: the reordering window was too small (step 4). */
  duplicateReported(una: number, nxt: number): void {
    if (this.#hasDsackRound && seqLt(una, this.#dsackRound)) return
    this.#hasDsackRound = true
    this.#dsackRound = nxt
    this.#windowMultiplier = Math.min(MAX_MULTIPLIER, this.#windowMultiplier + 1)
    this.#windowPersist = WINDOW_PERSISTS
  }

  /** A recovery is over. */
  recovered(): void {
    if (this.#windowPersist > 0 && --this.#windowPersist === 0) this.#windowMultiplier = 1
  }

  /** How much reordering is borne, microseconds (step 4). */
  reorderingWindow(flight: Flight, recovering: boolean, srtt: number): number {
    if (!this.reorderingSeen && (recovering || flight.sackedCount >= DUP_THRESHOLD)) return 0
    return Math.min((this.#windowMultiplier * this.minRtt) / 4, srtt)
  }

  /**
   * Marks what is lost (step 5). Returns the microseconds after which to look again, 0 when nothing is in doubt.
   */
  detect(flight: Flight, window: number, now: number): number {
    let wait = 0
    let slot = flight.oldest
    while (slot >= 0) {
      const sentAt = flight.sentAt[slot]!
      const before = sentAt < this.xmitAt || (sentAt === this.xmitAt && seqLt(flight.end[slot]!, this.endSeq))
      if (!before) break
      const next = flight.later(slot)
      const remaining = sentAt + this.rtt + window - now
      if (remaining <= 0) flight.lose(slot)
      else wait = Math.max(wait, remaining)
      slot = next
    }
    return wait
  }

  /** Marks what a retransmission timeout means lost (section 6.3): the first, and all sent longer ago than a round trip. */
  timeout(flight: Flight, window: number, now: number): void {
    for (let i = 0; i < flight.count; i++) {
      const slot = flight.slot(i)
      const known = (flight.flags[slot]! & (LOST | RESENT)) === LOST
      if (!known && (i === 0 || flight.sentAt[slot]! + this.rtt + window - now <= 0)) flight.lose(slot)
    }
  }
}

/** `Rack.reordering` after a D-SACK that came with nothing outstanding (step 4). */
export function widened(reordering: number): number {
  const multiplier = Math.min(MAX_MULTIPLIER, Math.max(1, (reordering >>> 1) & 0xff) + 1)
  return (reordering & 1) | (multiplier << 1) | (WINDOW_PERSISTS << 9)
}
