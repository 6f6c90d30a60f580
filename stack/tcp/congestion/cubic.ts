import { type CongestionControl, type CongestionState, CubicState, slowStart } from './control.ts'

/** RFC 9438 4.1 and 4.6. */
const C = 0.4
const BETA = 0.7
/** RFC 9438 4.3: what makes the Reno-friendly estimate as aggressive as Reno. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

/** RFC 9438: growth by the time since the last congestion, not by round trips. */
export const cubic: CongestionControl = {
  name: 'cubic',

  grow(snd: CongestionState, acked: number, now: number): void {
    if (snd.cwnd < snd.ssthresh) {
      acked = slowStart(snd, acked)
      if (acked === 0) return
    }
    snd.cubic ??= new CubicState()
    const state = snd.cubic
    const cwnd = snd.cwnd / snd.mss
    if (state.epochAt < 0) {
      state.epochAt = now
      state.wEst = cwnd
      if (state.cwndPrior === 0) state.cwndPrior = cwnd
      if (cwnd >= state.wMax) {
        state.wMax = cwnd
        state.k = 0
      } else state.k = Math.cbrt((state.wMax - cwnd) / C)
    }
    const segments = acked / snd.mss
    const alpha = state.wEst >= state.cwndPrior ? 1 : ALPHA
    state.wEst += (alpha * segments) / cwnd
    const t = (now - state.epochAt) / 1_000_000
    const now3 = (t - state.k) ** 3 * C + state.wMax
    if (now3 < state.wEst) {
      // RFC 9438 4.3: the Reno-friendly region.
      snd.cwnd = Math.max(snd.cwnd, Math.floor(state.wEst * snd.mss))
      return
    }
    // RFC 9438 4.2: where the window should be one round trip from now, at most half as much again.
    const ahead = t + snd.srtt / 1_000_000
    const target = Math.min(1.5 * cwnd, Math.max(cwnd, (ahead - state.k) ** 3 * C + state.wMax))
    snd.cwndCredit += ((target - cwnd) / cwnd) * acked
    const whole = Math.floor(snd.cwndCredit)
    snd.cwndCredit -= whole
    snd.cwnd += whole
  },

  reduce(snd: CongestionState): number {
    snd.cubic ??= new CubicState()
    const state = snd.cubic
    const cwnd = snd.cwnd / snd.mss
    // RFC 9438 4.7, fast convergence: less than last time, so others came; leave them room.
    state.wMax = cwnd < state.wMax ? (cwnd * (1 + BETA)) / 2 : cwnd
    state.cwndPrior = cwnd
    state.epochAt = -1
    snd.cwndCredit = 0
    // RFC 9438 4.6 allows the window instead of what is in flight where, as here, it does not grow unused (5.8).
    return Math.max(Math.floor(snd.cwnd * BETA), 2 * snd.mss)
  },

  restart(snd: CongestionState): void {
    snd.cwndCredit = 0
    if (snd.cubic !== null) snd.cubic.epochAt = -1
  },
}
