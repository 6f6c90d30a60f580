/** What an algorithm sees and sets of a connection's sending half, the `Sender`. All windows in bytes. */
export interface CongestionState {
  /** SMSS (RFC 5681) */
  readonly mss: number
  /** Smoothed round trip, microseconds. */
  readonly srtt: number
  cwnd: number
  /** What is kept of a byte still to be added to `cwnd`. */
  cwndCredit: number
  ssthresh: number
  /** Null before CUBIC needs it. */
  cubic: CubicState | null
}

/** CUBIC's memory of the last congestion; windows in segments, times in microseconds. */
export class CubicState {
  /** Window just before the last reduction, and before the one that counts for fast convergence. */
  wMax = 0
  cwndPrior = 0
  /** When the current growth began, -1 before; where it began; seconds from there to `wMax`. */
  epochAt = -1
  k = 0
  /** What Reno would have. */
  wEst = 0
}

/**
 * How much may be in the network: what RFC 5681 calls the congestion control algorithm. Stateless; its numbers live in
 * the `CongestionState`.
 */
export interface CongestionControl {
  readonly name: 'reno' | 'cubic'
  /** `acked` bytes were delivered outside recovery and the window had been used: lets `snd.cwnd` grow. */
  grow(snd: CongestionState, acked: number, now: number): void
  /** Loss, or a congestion mark: the new slow start threshold. @param inFlight bytes outstanding before it was noticed */
  reduce(snd: CongestionState, inFlight: number): number
  /** The retransmission timer fired, or the connection was idle: what was learnt of the path's capacity is old. */
  restart(snd: CongestionState): void
}

/**
 * RFC 5681 (2) by bytes (RFC 3465), without that RFC's limit of two segments an ACK: peers whose NICs put segments together
 * acknowledge many at once, and would else be sent to at a fraction of the pace. Returns the bytes that it did not use.
 */
export function slowStart(snd: CongestionState, acked: number): number {
  const room = snd.ssthresh - snd.cwnd
  if (acked <= room) {
    snd.cwnd += acked
    return 0
  }
  snd.cwnd = snd.ssthresh
  return acked - room
}

/** RFC 5681 with RFC 6582: additive increase, halving. */
export const reno: CongestionControl = {
  name: 'reno',

  grow(snd: CongestionState, acked: number): void {
    if (snd.cwnd < snd.ssthresh) {
      acked = slowStart(snd, acked)
      if (acked === 0) return
    }
    // RFC 5681 section 3.1, by bytes: one segment for every window that was acknowledged.
    snd.cwndCredit += acked
    if (snd.cwndCredit < snd.cwnd) return
    snd.cwndCredit -= snd.cwnd
    snd.cwnd += snd.mss
  },

  reduce(snd: CongestionState, inFlight: number): number {
    snd.cwndCredit = 0
    return Math.max(inFlight >>> 1, 2 * snd.mss)
  },

  restart(snd: CongestionState): void {
    snd.cwndCredit = 0
  },
}
