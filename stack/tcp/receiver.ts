import type { OutOfOrderQueue } from './out-of-order-queue.ts'

/** PAWS: TS.Recent older than this proves nothing any more (RFC 7323 section 5.5). */
const TS_RECENT_EXPIRES_US = 24 * 86_400 * 1_000_000

/** It may owe an ACK at the end of the burst; one waits for the next burst. */
export const LISTED_TOUCHED = 1
export const LISTED_HELD = 2

/** What `WindowKeeper` has to know of a connection's share of the memory. */
const SHARE_COUNTED = 1
const SHARE_SILENT = 2
const SHARE_LENT = 4
const SHARE_STARVED = 8

/** A niov that small payloads are copied into; it holds one stack reference. */
export interface Packing {
  readonly niov: number
  /** Id of its pool. */
  readonly pool: number
  /** Area offset of its first unused byte. */
  at: number
}

/** The receiving half of a connection: RFC 9293's RCV variables, the queue of payload and what we told the peer. */
export class Receiver {
  /** RCV.NXT */
  nxt = 0
  /** Initial receive sequence number. */
  irs = 0
  /** Right edge of the window as the peer knows it: RCV.NXT + RCV.WND. Never moves left. */
  adv = 0
  /** Shift of the windows we announce (RFC 7323). */
  shift = 0
  /** RCV.NXT of the last ACK sent: RFC 7323's Last.ACK.sent. */
  lastAckSent = 0
  /** Sequence number of the peer's FIN; null before it was seen. */
  finSeq: number | null = null
  /** The FIN was reached: nothing comes after what is queued. */
  finished = false
  /** SHUT_RD was called: see `Tcp.shutdownReceive`. */
  shut = false

  /** TS.Recent, and when it was set, seconds: a number that is no small integer would have an object of its own. */
  tsRecent = 0
  #tsRecentSecond = 0

  /** In-order payload not yet taken by the application: a fragment list. */
  head = -1
  tail = -1
  queuedBytes = 0
  /** About how many niovs it holds. */
  niovs = 0
  /** What arrived beyond a hole; to be written to through `holes`. */
  ooo: OutOfOrderQueue

  /** Full-sized segments received since the last ACK. */
  unacked = 0
  /** An ACK must leave at the end of this poll. */
  ackNow = false
  /** `LISTED_*`: on which lists of connections that may owe an ACK it is. */
  listed = 0
  /** Segments still acknowledged at once at the start of a connection. */
  quickAcks = 16
  /** A range is to be reported with the next ACK: `Seldom.dsackStart`. */
  hasDsack = false

  /** Niovs it is charged for its window. */
  promised = 0
  /** When it last sent more than that, in periods of `WindowKeeper`. */
  period = 0
  /** Bytes and niovs that it has brought in a period, and which. */
  brought = 0
  broughtNiovs = 0
  broughtIn = 0
  /** Running mean of payload bytes per niov, for turning niovs into window. */
  bytesPerNiov = 0
  /** Bytes and niovs received since `bytesPerNiov` was last adjusted. */
  sinceBytes = 0
  sinceNiovs = 0
  /** What a round trip brings: since when (milliseconds) and how much; the least trip, when it was seen, and the echo that times it. */
  epochTick = 0
  epochBytes = 0
  rttMs = 0
  rttTick = 0
  tsEcr = 0
  /** Largest window the connection may have now; grows with what it receives. */
  windowLimit = 0
  /** `SHARE_*`: in one number, as idle connections are to stay small. */
  #share = SHARE_SILENT

  /** Where small payloads are copied together under pressure, null when nowhere. */
  pack: Packing | null = null

  /** @param none the empty queue that all connections without holes share; it knows the limits of a real one */
  constructor(none: OutOfOrderQueue) {
    this.ooo = none
  }

  /** When TS.Recent was set (microseconds, to the second): for what is measured in days. */
  get tsRecentAt(): number {
    return this.#tsRecentSecond * 1_000_000
  }

  set tsRecentAt(us: number) {
    this.#tsRecentSecond = Math.floor(us / 1_000_000)
  }

  get finSeen(): boolean {
    return this.finSeq !== null
  }

  /** Among the connections that share the memory (`WindowKeeper`). */
  get counted(): boolean {
    return (this.#share & SHARE_COUNTED) !== 0
  }

  set counted(value: boolean) {
    this.#share = value ? this.#share | SHARE_COUNTED : this.#share & ~SHARE_COUNTED
  }

  /** The peer has never sent more than a few segments in a period: it takes no share. */
  get silent(): boolean {
    return (this.#share & SHARE_SILENT) !== 0
  }

  set silent(value: boolean) {
    this.#share = value ? this.#share | SHARE_SILENT : this.#share & ~SHARE_SILENT
  }

  /** Nothing has come for long: it is charged for a few segments only, whatever its window. */
  get lent(): boolean {
    return (this.#share & SHARE_LENT) !== 0
  }

  set lent(value: boolean) {
    this.#share = value ? this.#share | SHARE_LENT : this.#share & ~SHARE_LENT
  }

  /** On the list of connections that wait for memory before their window can grow. */
  get starved(): boolean {
    return (this.#share & SHARE_STARVED) !== 0
  }

  set starved(value: boolean) {
    this.#share = value ? this.#share | SHARE_STARVED : this.#share & ~SHARE_STARVED
  }

  /** The connection's own queue, made with the first hole. */
  holes(): OutOfOrderQueue {
    if (this.ooo.shared) this.ooo = this.ooo.own()
    return this.ooo
  }

  /** PAWS: whether a timestamp is older than the last one taken, as far as that still proves anything (RFC 7323 section 5). */
  predates(tsVal: number, now: number): boolean {
    return ((tsVal - this.tsRecent) | 0) < 0 && now - this.tsRecentAt < TS_RECENT_EXPIRES_US
  }

  /** Bytes the peer may still send. */
  window(): number {
    return (this.adv - this.nxt) | 0
  }
}
