/** The sending half of a connection: RFC 9293's SND variables, the bytes not yet acknowledged, RFC 6298's timing. */

/** RFC 6298 (2.1): before the first measurement. */
export const INITIAL_RTO_US = 1_000_000
/** RFC 6298 (2.4) asks for 1 s; like Linux and the BSDs we use 200 ms, which suits today's delayed ACKs of 40 ms. */
export const MIN_RTO_US = 200_000
export const MAX_RTO_US = 120_000_000

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

  cwnd = 0
  ssthresh = 0x7fffffff
  dupAcks = 0
  /** RFC 6582: in fast recovery until this is acknowledged. */
  recover = 0
  inRecovery = false

  /** Microseconds; 0 before the first measurement. */
  srtt = 0
  rttvar = 0
  rto = INITIAL_RTO_US
  /** Consecutive timeouts. */
  retries = 0
  /** When the timer last made us send something again (microseconds). */
  timeoutAt = 0
  /** The segment being timed when there are no timestamps (Karn: never a retransmitted one). */
  timing = false
  timedSeq = 0
  timedAt = 0

  /** Bytes from `una` on (SYN and FIN take none), as a ring. */
  #ring = new Uint8Array(0)
  #start = 0
  /** Bytes in the ring. */
  buffered = 0
  readonly limit: number
  /** The application has closed its half: a FIN follows the last byte. */
  finQueued = false
  finSent = false
  /** The application was told that the buffer is full and wants to hear when it isn't. */
  wantsRoom = false

  /** @param limit most bytes buffered; a power of two */
  constructor(limit: number) {
    this.limit = limit
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
    this.#ring.set(bytes.subarray(from, from + first), at)
    if (first < count) this.#ring.set(bytes.subarray(from + first, from + count), 0)
    this.buffered += count
    return count
  }

  /** Copies `count` bytes, `skip` bytes behind the first unacknowledged one, to `target[at..]`. */
  peek(skip: number, count: number, target: Uint8Array, at: number): void {
    const mask = this.#ring.length - 1
    const from = (this.#start + skip) & mask
    const first = Math.min(count, this.#ring.length - from)
    target.set(this.#ring.subarray(from, from + first), at)
    if (first < count) target.set(this.#ring.subarray(0, count - first), at + first)
  }

  /** Forgets the first `count` bytes: they were acknowledged. */
  discard(count: number): void {
    this.#start = (this.#start + count) & (this.#ring.length - 1)
    this.buffered -= count
  }

  /** Frees the buffer. */
  clear(): void {
    this.#ring = new Uint8Array(0)
    this.#start = 0
    this.buffered = 0
  }

  /** RFC 6298 (2.2), (2.3): takes a round-trip measurement in microseconds. */
  measure(rtt: number): void {
    // Timestamps tick in milliseconds: 0 is a measurement too.
    rtt = Math.max(1, rtt)
    if (this.srtt === 0) {
      this.srtt = rtt
      this.rttvar = rtt / 2
    } else {
      this.rttvar += (Math.abs(this.srtt - rtt) - this.rttvar) / 4
      this.srtt += (rtt - this.srtt) / 8
    }
    this.clearBackoff()
  }

  /** The timeout as measurements have it, without the doubling of RFC 6298 (5.5). */
  clearBackoff(): void {
    if (this.srtt === 0) return
    this.rto = Math.min(MAX_RTO_US, Math.max(MIN_RTO_US, this.srtt + Math.max(1000, 4 * this.rttvar)))
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#ring.length) return
    let size = Math.max(4096, this.#ring.length)
    while (size < bytes) size *= 2
    const ring = new Uint8Array(size)
    if (this.buffered > 0) this.peek(0, this.buffered, ring, 0)
    this.#ring = ring
    this.#start = 0
  }
}
