import type { CubicState } from './congestion/control.ts'
import type { Outstanding } from './outstanding.ts'
import { type Lender, SendBuffer } from './send-buffer.ts'

/** Bytes from which a loan costs less than the copy it saves. */
const WORTH_LENDING = 4096

/**
 * RFC 6298 (2.4) asks for 1 s. Like Linux we let the timeout be no less than this beyond the round trip, which outlasts
 * the delayed ACKs of any peer.
 */
const MIN_RTO_MARGIN_US = 200_000
const MAX_RTO_US = 120_000_000

/** RFC 6298 5; RFC 8985 7 and 6.2; RFC 9293 3.8.6.1; and the override of silly window avoidance (3.8.6.2.1). */
export const TIMER_FOR_TIMEOUT = 0
export const TIMER_FOR_PROBE = 1
export const TIMER_FOR_REORDERING = 2
export const TIMER_FOR_PERSIST = 3
export const TIMER_FOR_OVERRIDE = 4

/** The sending half of a connection: RFC 9293's SND variables, the bytes not yet acknowledged, RFC 6298's timing. */
export class Sender {
  /** Initial send sequence number. */
  iss = 0
  /** SND.UNA */
  una = 0
  /** SND.NXT */
  nxt = 0
  /** Highest sequence number sent so far; `nxt` falls back behind it on a timeout. */
  max = 0
  /** SND.WND, scaled. */
  wnd = 0
  /** SND.WL1, SND.WL2: segment that last updated the window. */
  wl1 = 0
  wl2 = 0
  /** Largest window the peer ever announced (RFC 5961 section 5.2 MAX.SND.WND). */
  maxWnd = 0
  /** Shift of the windows the peer announces. */
  shift = 0
  /** Payload bytes of a full segment, options already deducted. */
  mss = 536
  /** What the peer announced, options not deducted. */
  peerMss = 536

  /** Congestion window, bytes; what `CongestionControl` keeps of a byte still to be added to it. */
  cwnd = 0
  cwndCredit = 0
  ssthresh = 0x7fffffff
  cubic: CubicState | null = null
  /** Lent by the transmitter while something is unacknowledged. */
  out: Outstanding | null = null
  /** What was learnt of the path before: `Rack.minRtt` and `Rack.reordering`. */
  minRtt = 0
  reordering = 0
  /** End of a tail loss probe that repeated what was out: an ACK beyond it tells what it did; null when there is none. */
  tailProbe: number | null = null

  /** Microseconds; 0 before the first measurement. */
  srtt = 0
  rttvar = 0
  rto = 0
  /** Consecutive timeouts. */
  retries = 0
  /** Milliseconds: a number that is no small integer would have an object of its own. */
  #progressMs = 0
  /** What the retransmission timer is armed for: `TIMER_FOR_*`. */
  timerFor = 0
  /** When the SYN left, 31 bits of microseconds: 0 before, -1 once it had to be sent again. It times the handshake (Karn). */
  synAt = 0
  /** When data was last sent (microseconds). */
  lastSentAt = 0
  /** End of the last segment that was less than full: another is held back while this is unacknowledged (Nagle). */
  smallEnd = 0
  /** Pacing: when the next segment may leave (microseconds). */
  paceAt = 0
  /** Urgent data is outstanding, up to `Seldom.sendUrgentEnd`. */
  urgent = false

  /** Bytes from `una` on (SYN and FIN take none); null while there are none: most connections need no memory most of the time. */
  #buffer: SendBuffer | null = null
  /** How many. */
  buffered = 0
  /** Most bytes buffered. */
  limit: number
  /** The application has closed its half: a FIN follows the last byte. */
  finQueued = false
  finSent = false
  /** The application was told that the buffer is full and wants to hear when it isn't. */
  wantsRoom = false

  /** @param limit most bytes buffered */
  constructor(limit: number) {
    this.limit = limit
  }

  /** When SND.UNA last moved, or something was first sent after a pause (microseconds, to the millisecond). */
  get progressAt(): number {
    return this.#progressMs * 1000
  }

  set progressAt(us: number) {
    this.#progressMs = Math.floor(us / 1000)
  }

  /**
   * The number for a segment without data: SND.MAX, but nothing that lies beyond the peer's window, or it would be discarded with
   * all it acknowledges (RFC 9293 3.10.7.4, first check). Window probes, and windows that were taken back, put SND.MAX there.
   */
  acceptable(): number {
    // Our SYN is not acknowledged: no window has begun yet.
    if (this.una === this.iss) return this.max
    const edge = (this.una + this.wnd) | 0
    return ((edge - this.max) | 0) < 0 ? edge : this.max
  }

  /** What is buffered is in flight, or can't leave, and nothing is missing: without news of the peer's there is nothing to do. */
  waits(): boolean {
    return this.wnd > 0 && (this.out === null || this.out.flight.lostBytes === 0)
  }

  room(): number {
    return this.limit - this.buffered
  }

  /**
   * Takes as much of `bytes[from..to)` as there is room for; returns how much.
   * @param lender what is worth it stays where it is until it is acknowledged; without one all is copied
   */
  push(bytes: Uint8Array, from: number, to: number, lender?: Lender): number {
    const count = Math.min(to - from, this.room())
    if (count <= 0) return 0
    this.#buffer ??= SendBuffer.take()
    if (lender === undefined || count < WORTH_LENDING || !this.#buffer.lend(bytes, from, count, lender))
      this.#buffer.push(bytes, from, count)
    this.buffered += count
    return count
  }

  /** Copies `count` bytes, `skip` bytes behind the first unacknowledged one, to `target[at..]`. */
  peek(skip: number, count: number, target: Uint8Array, at: number): void {
    if (count > 0) this.#buffer!.peek(skip, count, target, at)
  }

  /** `peek`; returns the folded sum of the bytes (RFC 1071). */
  peekSum(skip: number, count: number, target: Uint8Array, at: number): number {
    return count === 0 ? 0 : this.#buffer!.peekSum(skip, count, target, at)
  }

  /** All that is to be sent is still there: nobody has detached memory that he had lent. */
  get intact(): boolean {
    return this.#buffer === null || this.#buffer.intact
  }

  /** Forgets the first `count` bytes: they were acknowledged. */
  discard(count: number): void {
    this.#buffer?.discard(count)
    this.buffered -= count
  }

  /** Gives memory back when nothing waits: an idle connection needs none. */
  shrink(): void {
    if (this.buffered === 0) this.clear()
  }

  /** Frees the buffer. */
  clear(): void {
    const buffer = this.#buffer
    this.#buffer = null
    this.buffered = 0
    buffer?.end()
  }

  /** RFC 6298 (2.2), (2.3): takes a round-trip measurement in microseconds. */
  measure(rtt: number): void {
    // Timestamps tick in milliseconds: 0 is a measurement too.
    rtt = Math.max(1, Math.round(rtt))
    if (this.srtt === 0) {
      this.srtt = rtt
      this.rttvar = rtt >>> 1
    } else {
      this.rttvar += (Math.abs(this.srtt - rtt) - this.rttvar) >> 2
      this.srtt = Math.max(1, this.srtt + ((rtt - this.srtt) >> 3))
    }
    this.clearBackoff()
  }

  /** RFC 6298 (5.5). */
  backOff(): void {
    this.rto = Math.min(MAX_RTO_US, this.rto * 2)
  }

  /** The timeout as measurements have it, without the doubling of RFC 6298 (5.5). */
  clearBackoff(): void {
    if (this.srtt === 0) return
    this.rto = Math.min(MAX_RTO_US, this.srtt + Math.max(MIN_RTO_MARGIN_US, 4 * this.rttvar))
  }
}
