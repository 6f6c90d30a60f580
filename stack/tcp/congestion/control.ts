import type { Sender } from '../sender.ts'

/**
 * How much may be in the network: what RFC 5681 calls the congestion control algorithm. Stateless; its numbers live in
 * the `Sender`. All windows in bytes.
 */
export interface CongestionControl {
  readonly name: 'reno' | 'cubic'
  /** `acked` bytes were delivered outside recovery and the window had been used: lets `snd.cwnd` grow. */
  grow(snd: Sender, acked: number, now: number): void
  /** Loss, or a congestion mark: the new slow start threshold. @param inFlight bytes outstanding before it was noticed */
  reduce(snd: Sender, inFlight: number): number
  /** The retransmission timer fired, or the connection was idle: what was learnt of the path's capacity is old. */
  restart(snd: Sender): void
}

/**
 * RFC 5681 (2) by bytes (RFC 3465), without that RFC's limit of two segments an ACK: peers whose NICs put segments together
 * acknowledge many at once, and would else be sent to at a fraction of the pace. Returns the bytes that it did not use.
 */
export function slowStart(snd: Sender, acked: number): number {
  const room = snd.ssthresh - snd.cwnd
  if (acked <= room) {
    snd.cwnd += acked
    return 0
  }
  snd.cwnd = snd.ssthresh
  return acked - room
}
