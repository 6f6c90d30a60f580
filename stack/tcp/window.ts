import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TcpConfig } from './options.ts'
import type { Tcb } from './tcb.ts'

/** Segments that a connection's window holds at least, however much the others were promised. */
const GUARANTEED_SEGMENTS = 4
/** Window that a connection begins with, as large as a SYN can say. */
const INITIAL_WINDOW = 65_535

/**
 * Turns free niovs into receive windows. A window is a promise: bytes that were announced must find niovs when they come,
 * however they are cut into frames, so promises of all connections together never exceed what is free, counted in whole
 * niovs. A slow application thus stalls its peers instead of losing their frames.
 */
export class WindowKeeper {
  /** Connections that may receive. */
  active = 0
  /** Niovs promised to all of them. */
  promised = 0
  readonly #memory: QueueMemory
  readonly #config: TcpConfig
  /** Payload bytes of a full segment from our peers. */
  readonly #segment: number
  /** Largest window that the connection last looked at could have: RFC 9293's RCV.BUFF. */
  #ceiling = 0
  /** Connections whose window is smaller than their share for want of memory. */
  #starved: Tcb[] = []

  constructor(memory: QueueMemory, config: TcpConfig, segmentBytes: number) {
    this.#memory = memory
    this.#config = config
    this.#segment = segmentBytes
  }

  open(tcb: Tcb): void {
    this.active++
    const payload = this.#memory.chunkPayload
    tcb.rcv.windowLimit = Math.min(this.#config.maxWindow, Math.max(INITIAL_WINDOW, 4 * this.#segment))
    tcb.rcv.bytesPerNiov = Math.max(1, Math.floor(this.#segment / Math.ceil((this.#segment + 66) / payload)))
  }

  close(tcb: Tcb): void {
    this.active--
    this.promised -= tcb.rcv.promised
    tcb.rcv.promised = 0
    tcb.rcv.starved = false
  }

  /** Shift to announce in our SYN: the smallest that can express the largest window (RFC 7323 section 2.3). */
  shift(): number {
    let shift = 0
    while (shift < 14 && 65_535 << shift < this.#config.maxWindow) shift++
    return shift
  }

  /**
   * The 16-bit window field for a segment that leaves now, already shifted; moves `rcv.adv`. The right edge never moves
   * left (RFC 9293 3.8.6), and grows only by a worthwhile step (3.8.6.2.2, receiver's silly window avoidance).
   */
  announce(tcb: Tcb, shift: number): number {
    const rcv = tcb.rcv
    const current = rcv.window()
    const allowed = this.#allowed(tcb, current)
    const step = Math.min(this.#segment, this.#ceiling / 2)
    let window = allowed - current >= step ? allowed : current
    const raw = Math.min(65_535, window > current ? window >>> shift : (current + (1 << shift) - 1) >>> shift)
    window = raw << shift
    if (window > current) rcv.adv = (rcv.nxt + window) | 0
    this.#promise(tcb, rcv.window())
    return raw
  }

  /**
   * Whether memory that has come free would let this connection's window grow enough to tell the peer: by two segments or
   * half of what it could have.
   */
  worthTelling(tcb: Tcb): boolean {
    const current = tcb.rcv.window()
    const allowed = this.#allowed(tcb, current)
    return allowed - current >= Math.min(2 * this.#segment, this.#ceiling / 2)
  }

  /** Connections that waited for memory and can be told of a larger window; they are no longer on the list. */
  takeRelieved(relieved: Tcb[]): void {
    if (this.#starved.length === 0) return
    let kept = 0
    for (const tcb of this.#starved) {
      if (!tcb.rcv.starved) continue
      if (this.worthTelling(tcb)) {
        tcb.rcv.starved = false
        relieved.push(tcb)
      } else this.#starved[kept++] = tcb
    }
    this.#starved.length = kept
  }

  #allowed(tcb: Tcb, current: number): number {
    const rcv = tcb.rcv
    const memory = this.#memory
    this.#learn(tcb)
    this.#promise(tcb, current)
    const perNiov = rcv.bytesPerNiov
    const capacity = memory.capacity() - memory.reserve
    const spare = Math.min(memory.available() - memory.reserve, capacity) - this.promised
    const share = Math.max(1, Math.floor(capacity / Math.max(1, this.active)))
    // Whoever came first may have been promised everything: a newcomer still gets enough to begin with. Should all of them
    // send at once, frames are dropped, counted and sent again, which beats never starting.
    const least = Math.min(share, Math.ceil((GUARANTEED_SEGMENTS * this.#segment) / perNiov))
    const niovs = Math.max(least, Math.min(share, rcv.promised + Math.max(0, spare)))
    let limit = Math.min(this.#config.maxWindow, rcv.windowLimit)
    if (memory.ringPackets > 0) {
      // What the path in front of the queue can hold, a quarter left for what is not data, shared by all.
      const packets = Math.max(2, Math.floor((memory.ringPackets * 0.75) / Math.max(1, this.active)))
      limit = Math.min(limit, packets * this.#segment)
    }
    const allowed = Math.min(limit, Math.floor(niovs * perNiov))
    this.#ceiling = Math.min(limit, Math.floor(share * perNiov))
    if (allowed < this.#ceiling / 2 && !rcv.starved) {
      rcv.starved = true
      this.#starved.push(tcb)
    }
    return allowed
  }

  /** Adjusts the mean payload of a niov to what this peer really sends. */
  #learn(tcb: Tcb): void {
    const rcv = tcb.rcv
    if (rcv.sinceNiovs === 0) return
    const mean = rcv.sinceBytes / rcv.sinceNiovs
    // Like a sender's slow start: a window grows by what the peer proves to use, so that idle connections promise little.
    rcv.windowLimit = Math.min(this.#config.maxWindow, rcv.windowLimit + 2 * rcv.sinceBytes)
    rcv.bytesPerNiov = Math.max(64, rcv.bytesPerNiov + (mean - rcv.bytesPerNiov) / 8)
    rcv.sinceBytes = 0
    rcv.sinceNiovs = 0
  }

  #promise(tcb: Tcb, window: number): void {
    const niovs = Math.ceil(window / tcb.rcv.bytesPerNiov)
    this.promised += niovs - tcb.rcv.promised
    tcb.rcv.promised = niovs
  }
}
