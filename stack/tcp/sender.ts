import { copyBytes, copySums } from '../../copying.ts'
import { addSums, sumBytes, swapSum } from '../wire/checksum.ts'
import type { CubicState } from './congestion/control.ts'
import type { Outstanding } from './outstanding.ts'

const NOTHING = new Uint8Array(0)
/** Rings of the smallest size that nobody uses: most connections need none most of the time. */
const SMALL_RING = 4096
/** As many as may wait for an answer at a time: 4 MiB. */
const MOST_IDLE_RINGS = 1024
const idleRings: Uint8Array<ArrayBuffer>[] = []

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

  /** Bytes from `una` on (SYN and FIN take none), as a ring. */
  #ring = NOTHING
  #start = 0
  /** Bytes in the ring. */
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

  /** Copies as much of `bytes[from..to)` as there is room for; returns how much. */
  push(bytes: Uint8Array, from: number, to: number): number {
    const count = Math.min(to - from, this.room())
    if (count <= 0) return 0
    this.#reserve(this.buffered + count)
    const mask = this.#ring.length - 1
    const at = (this.#start + this.buffered) & mask
    const first = Math.min(count, this.#ring.length - at)
    copyBytes(this.#ring, at, bytes, from, first)
    if (first < count) copyBytes(this.#ring, 0, bytes, from + first, count - first)
    this.buffered += count
    return count
  }

  /** Copies `count` bytes, `skip` bytes behind the first unacknowledged one, to `target[at..]`. */
  peek(skip: number, count: number, target: Uint8Array, at: number): void {
    const mask = this.#ring.length - 1
    const from = (this.#start + skip) & mask
    const first = Math.min(count, this.#ring.length - from)
    copyBytes(target, at, this.#ring, from, first)
    if (first < count) copyBytes(target, at + first, this.#ring, 0, count - first)
  }

  /** `peek`; returns the folded sum of the bytes (RFC 1071), made in passing where the addon is there. */
  peekSum(skip: number, count: number, target: Uint8Array, at: number): number {
    const mask = this.#ring.length - 1
    const from = (this.#start + skip) & mask
    const first = Math.min(count, this.#ring.length - from)
    const copies = copySums(first)
    if (copies === null) {
      this.peek(skip, count, target, at)
      return sumBytes(target, at, count)
    }
    const sum = copies.copySum(target, at, this.#ring, from, first)
    if (first === count) return sum
    copyBytes(target, at + first, this.#ring, 0, count - first)
    const rest = sumBytes(target, at + first, count - first)
    return addSums(sum, (first & 1) === 0 ? rest : swapSum(rest))
  }

  /** Forgets the first `count` bytes: they were acknowledged. */
  discard(count: number): void {
    this.#start = (this.#start + count) & (this.#ring.length - 1)
    this.buffered -= count
  }

  /** Gives memory back when nothing waits: an idle connection needs none. */
  shrink(): void {
    if (this.buffered === 0) this.clear()
  }

  /** Frees the buffer. */
  clear(): void {
    if (this.#ring.length === SMALL_RING && idleRings.length < MOST_IDLE_RINGS) idleRings.push(this.#ring)
    this.#ring = NOTHING
    this.#start = 0
    this.buffered = 0
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

  #reserve(bytes: number): void {
    if (bytes <= this.#ring.length) return
    let size = Math.max(SMALL_RING, this.#ring.length)
    while (size < bytes) size *= 2
    const ring = (size === SMALL_RING ? idleRings.pop() : undefined) ?? new Uint8Array(size)
    if (this.buffered > 0) this.peek(0, this.buffered, ring, 0)
    this.#ring = ring
    this.#start = 0
  }
}
