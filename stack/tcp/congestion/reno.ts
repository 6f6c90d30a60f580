import type { Sender } from '../sender.ts'
import { type CongestionControl, slowStart } from './control.ts'

/** RFC 5681 with RFC 6582: additive increase, halving. */
export const reno: CongestionControl = {
  name: 'reno',

  grow(snd: Sender, acked: number): void {
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

  reduce(snd: Sender, inFlight: number): number {
    snd.cwndCredit = 0
    return Math.max(inFlight >>> 1, 2 * snd.mss)
  },

  restart(snd: Sender): void {
    snd.cwndCredit = 0
  },
}
