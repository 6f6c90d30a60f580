import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TcpConfig } from './options.ts'
import type { Receiver } from './receiver.ts'
import type { Tcb } from './tcb.ts'

/** Window that a connection that sends begins with, as large as a SYN can say. */
const INITIAL_WINDOW = 65_535
/** Segments for whoever has sent nothing, where many have not: RFC 6928's initial window, then fewer. */
const SILENT_SEGMENTS = 10
const FEW_SEGMENTS = 2
/** Part of the area, as a shift, that promises of more than that to silent connections may take. */
const SILENT_SHARE = 3
/** Part of the area, as a shift, that one connection alone can't have: newcomers find something. */
const RESERVED_SHARE = 3
/** Part of the area, as a shift, below which what is left counts as short. */
const SHORT_SHARE = 3
/** How long the least round trip is believed: routes change. Linux uses the same for its own. */
const ROUND_TRIP_EXPIRES_MS = 300_000
/** Segments that a window holds beyond what the last round trip brought. */
const SPARE_SEGMENTS = 16
/** Milliseconds, as a shift, of the periods in which those that send are counted. */
const PERIOD_SHIFT = 10
/** Who has sent nothing since so many periods began is idle. */
const IDLE_PERIODS = 2

/**
 * Turns free niovs into receive windows. A window is a promise: bytes that were announced must find niovs when they come,
 * however they are cut into frames. What counts is niovs, and each connection is charged with those it holds and those it was
 * promised: promises of all together never exceed what is free, and nobody's charge exceeds a share among those that
 * send. Whoever sends nothing is promised a few segments and takes from nobody. docs/architecture.md has the rule.
 */
export class WindowKeeper {
  /** Connections that may receive. */
  active = 0
  /** Niovs promised to all of them. */
  promised = 0
  /** Of them, those of connections that have sent nothing yet. */
  #silent = 0
  readonly #memory: QueueMemory
  readonly #config: TcpConfig
  /** Payload bytes of a full segment from our peers. */
  readonly #segment: number
  /** Connections whose window is smaller than their share for want of memory. */
  #starved: Tcb[] = []
  /** Entries of that list whose connections have ended since. */
  #stale = 0
  /** Milliseconds of the stack's clock, as an integer that wraps. */
  #tick = 0
  /** The period that it is in, and the connections that have sent in it, and in the one before but not in it. */
  #period = 0
  #sendingNow = 0
  #sendingBefore = 0
  /** What the connection last asked about could have if all memory were free, bytes. */
  #reachable = 0

  constructor(memory: QueueMemory, config: TcpConfig, segmentBytes: number) {
    this.#memory = memory
    this.#config = config
    this.#segment = segmentBytes
  }

  /** A connection begins; it has no share of the memory before `enter`. */
  open(tcb: Tcb): void {
    const payload = this.#memory.chunkPayload
    const { maxWindow, moderateWindow } = this.#config
    const begin = moderateWindow ? Math.max(INITIAL_WINDOW, 4 * this.#segment) : maxWindow
    tcb.rcv.windowLimit = Math.min(maxWindow, begin)
    // Half of what full segments put into a niov: a promise made before we know what the peer sends must hold for smaller
    // ones too. What it really sends corrects it soon.
    const perNiov = this.#segment / Math.ceil((this.#segment + 66) / payload)
    tcb.rcv.bytesPerNiov = Math.max(1, Math.floor(perNiov / 2))
  }

  /** Window for data that comes with a SYN, before anything was announced: a full initial flight, as a SYN,ACK would say. */
  initial(tcb: Tcb): number {
    return Math.min(tcb.rcv.windowLimit, SILENT_SEGMENTS * this.#segment)
  }

  /** The connection is established. Half-open ones are promised nothing, or a SYN flood would take everybody's window. */
  enter(tcb: Tcb): void {
    if (tcb.rcv.counted) return
    tcb.rcv.counted = true
    this.active++
    this.#promise(tcb, tcb.rcv.window())
  }

  /** Nothing more comes from the peer: what was promised is free for others. */
  close(tcb: Tcb): void {
    const { rcv } = tcb
    if (rcv.counted) {
      this.#charge(tcb, 0)
      rcv.counted = false
      this.active--
      this.#stopsSending(tcb)
    }
    if (!rcv.starved) return
    rcv.starved = false
    this.#stale++
    if (this.#stale > 32 && this.#stale * 2 > this.#starved.length) {
      this.#starved = this.#starved.filter((other) => other.rcv.starved)
      this.#stale = 0
    }
  }

  /** Some window is smaller than it could be, and hardly any memory is left that is not promised. */
  get short(): boolean {
    if (this.#starved.length === this.#stale) return false
    const { total, reserve } = this.#memory
    return this.slack() - reserve < total >>> SHORT_SHARE
  }

  /**
   * Takes back what a connection was promised and does not use, but a few segments: it has sent nothing for a period. Its window
   * stays what it was told; when it sends again it begins with a few segments (RFC 5681 section 4.1) and is charged again, with
   * what is there then.
   */
  lend(tcb: Tcb, now: number): void {
    const { rcv } = tcb
    this.#moveTo(now)
    if (!rcv.counted || rcv.lent || !this.#idle(rcv)) return
    rcv.lent = true
    this.#promise(tcb, rcv.window())
  }

  /**
   * Whether a connection that has lent what it was promised may have `bytes` now: where memory runs short, not of what others
   * were promised.
   */
  admits(tcb: Tcb, bytes: number): boolean {
    const { rcv } = tcb
    if (!rcv.lent || this.#memory.roomy || rcv.niovs + rcv.ooo.niovs < this.#few(rcv)) return true
    return this.#unpromised(tcb) * this.#memory.chunkPayload >= bytes
  }

  /** Charges for the window anew: what had arrived of it was given up. */
  recharge(tcb: Tcb): void {
    this.#promise(tcb, tcb.rcv.window())
  }

  /** Niovs that are neither in use nor promised; less than nothing when the queue was restarted over a smaller area. */
  slack(): number {
    return this.#memory.available() - this.promised
  }

  /** Shift to announce in our SYN: the smallest that can express the largest window (RFC 7323 section 2.3). */
  shift(): number {
    let shift = 0
    while (shift < 14 && 65_535 << shift < this.#config.maxWindow) shift++
    return shift
  }

  /**
   * The 16-bit window field for a segment that leaves now, already shifted; moves `rcv.adv`. The right edge never moves
   * left (RFC 9293 3.8.6), and grows only by a worthwhile step (3.8.6.2.2, receiver's silly window avoidance): a segment,
   * or half of what the connection could have where that is less.
   *
   * A window that is no multiple of the scale is rounded down: what the peer sees may step back by less than one unit
   * (RFC 7323 2.4), what we accept does not. Rounded up, the edge would creep ahead with every small segment for ever.
   */
  announce(tcb: Tcb, shift: number, now: number): number {
    this.#moveTo(now)
    const rcv = tcb.rcv
    const current = rcv.window()
    if (rcv.finished) return Math.min(65_535, current >>> shift)
    const allowed = this.#allowed(tcb, current)
    let raw = current >>> shift
    if (allowed > current && allowed - (raw << shift) >= Math.min(this.#segment, this.#reachable >>> 1)) {
      raw = Math.max(raw, Math.min(65_535, allowed >>> shift))
    }
    raw = Math.min(65_535, raw)
    if (raw << shift > current) rcv.adv = (rcv.nxt + (raw << shift)) | 0
    this.#promise(tcb, rcv.window())
    return raw
  }

  /**
   * Whether memory that has come free would let this connection's window grow enough to tell the peer: by two segments or
   * half of what it could have.
   */
  worthTelling(tcb: Tcb): boolean {
    const { rcv } = tcb
    const current = rcv.window()
    const allowed = this.#allowed(tcb, current)
    const seen = (current >>> rcv.shift) << rcv.shift
    return allowed > current && allowed - seen >= Math.min(2 * this.#segment, this.#reachable >>> 1)
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
    this.#stale = 0
  }

  #allowed(tcb: Tcb, current: number): number {
    const rcv = tcb.rcv
    const memory = this.#memory
    this.#learn(tcb)
    if (this.#config.backpressure === 'drop') return this.#regardless(tcb)
    this.#promise(tcb, current)
    const free = memory.available() - memory.reserve
    const share = this.#share()
    // What it holds, in order or not, is charged as what it is promised.
    const held = rcv.niovs + rcv.ooo.niovs
    let niovs = Math.min(Math.max(0, share - held), rcv.promised + Math.max(0, free - this.promised))
    // What others hold as promises must not silence for ever who holds nothing: two segments while there is memory for them.
    // Should all of them send at once, some frames find none, are counted and come again.
    const least = Math.min(this.#few(rcv) - held, free)
    if (niovs < least) niovs = least
    const buffer = tcb.options.receiveBuffer || this.#config.maxWindow
    let ceiling = Math.min(rcv.windowLimit, buffer)
    if (rcv.silent) ceiling = Math.min(ceiling, this.#forSilent(tcb))
    // RFC 6928: more than ten segments don't come before the handshake is over.
    if (!rcv.counted) ceiling = Math.min(ceiling, SILENT_SEGMENTS * this.#segment)
    ceiling = Math.min(ceiling, this.#inFront())
    // What the application has not read counts against its buffer (SO_RCVBUF), as it counts against the area anyway.
    const limit = Math.min(ceiling, Math.max(0, buffer - rcv.queuedBytes))
    const allowed = Math.min(limit, this.#bytesFor(rcv, niovs))
    this.#reachable = Math.min(ceiling, this.#bytesFor(rcv, share))
    if (allowed < this.#reachable / 2 && !rcv.starved && rcv.counted) {
      rcv.starved = true
      this.#starved.push(tcb)
    }
    return allowed
  }

  /** Niovs that one connection may hold and be promised. */
  #share(): number {
    const { total, reserve } = this.#memory
    // What the application keeps is nobody's to be promised: a newcomer finds something however much that is.
    const capacity = Math.max(0, total - reserve - this.#memory.withUser())
    const senders = Math.max(1, this.#sendingNow + this.#sendingBefore)
    return Math.max(
      1,
      senders === 1 ? capacity - (capacity >>> RESERVED_SHARE) : Math.floor(capacity / senders),
    )
  }

  /** Bytes for a connection that has sent nothing: the less, the more such connections there are. */
  #forSilent(tcb: Tcb): number {
    const { rcv } = tcb
    const left = (this.#memory.total >>> SILENT_SHARE) - this.#silent + rcv.promised
    if (rcv.windowLimit <= left * rcv.bytesPerNiov) return rcv.windowLimit
    const initial = SILENT_SEGMENTS * this.#segment
    return initial <= left * rcv.bytesPerNiov ? initial : FEW_SEGMENTS * this.#segment
  }

  /** Bytes that the path in front of the stack can hold for one of those that send. */
  #inFront(): number {
    const { ringPackets, ringNiovs, chunkPayload } = this.#memory
    const senders = Math.max(1, this.#sendingNow + this.#sendingBefore)
    let packets = Number.POSITIVE_INFINITY
    // A quarter is left for what is not data.
    if (ringPackets > 0) packets = Math.floor((ringPackets * 0.75) / senders)
    if (ringNiovs > 0) {
      const each = Math.ceil(this.#segment / chunkPayload)
      packets = Math.min(packets, Math.floor(ringNiovs / (each * senders)))
    }
    return Math.max(FEW_SEGMENTS, packets) * this.#segment
  }

  /** What a connection is allowed whatever is free: its buffer less what is unread. */
  #regardless(tcb: Tcb): number {
    const { rcv } = tcb
    const buffer = tcb.options.receiveBuffer || this.#config.maxWindow
    let ceiling = Math.min(rcv.windowLimit, buffer)
    if (!rcv.counted) ceiling = Math.min(ceiling, SILENT_SEGMENTS * this.#segment)
    const allowed = Math.min(ceiling, Math.max(0, buffer - rcv.queuedBytes))
    this.#reachable = ceiling
    if (allowed < ceiling / 2 && !rcv.starved) {
      rcv.starved = true
      this.#starved.push(tcb)
    }
    return allowed
  }

  /** Adjusts to what this peer really sends: the mean payload of a niov, and how much a round trip brings. */
  #learn(tcb: Tcb): void {
    const rcv = tcb.rcv
    if (rcv.sinceNiovs === 0) return
    if (rcv.broughtIn !== this.#period) {
      rcv.broughtIn = this.#period
      rcv.brought = rcv.broughtNiovs = 0
    }
    rcv.brought += rcv.sinceBytes
    rcv.broughtNiovs += rcv.sinceNiovs
    // Who brings less needs no more than the silent are promised, and takes no share from those who send.
    if (rcv.brought > FEW_SEGMENTS * this.#segment || rcv.broughtNiovs > FEW_SEGMENTS) this.#sends(tcb)
    const mean = rcv.sinceBytes / rcv.sinceNiovs
    // Never so little that the whole share is less than the smallest window that can be said.
    const floor = Math.min(this.#memory.chunkPayload, Math.max(64, 1 << rcv.shift))
    // Rounded down: what is promised must find a place.
    rcv.bytesPerNiov = Math.max(floor, Math.floor(rcv.bytesPerNiov + (mean - rcv.bytesPerNiov) / 8))
    this.#tune(tcb, rcv.sinceBytes)
    rcv.sinceBytes = 0
    rcv.sinceNiovs = 0
  }

  /**
   * Dynamic right-sizing (Fisk and Feng 2001): the window is kept at twice what came in the last round trip, so that it
   * never limits a sender that doubles its rate, and that slow or idle connections promise little.
   */
  #tune(tcb: Tcb, bytes: number): void {
    const rcv = tcb.rcv
    rcv.epochBytes += bytes
    const elapsed = (this.#tick - rcv.epochTick) | 0
    const rtt = this.#roundTrip(tcb)
    if (elapsed < rtt) return
    const perRoundTrip = (rcv.epochBytes * rtt) / elapsed
    const wanted = Math.ceil(2 * perRoundTrip) + SPARE_SEGMENTS * this.#segment
    if (wanted > rcv.windowLimit) rcv.windowLimit = Math.min(this.#config.maxWindow, wanted)
    rcv.epochTick = this.#tick
    rcv.epochBytes = 0
  }

  /**
   * Milliseconds, at least 1: from the timestamp the peer echoes with its data, else as our own segments were timed. The
   * least seen counts: what a large window adds by standing in queues must not make it larger.
   */
  #roundTrip(tcb: Tcb): number {
    const { rcv, snd } = tcb
    if (!tcb.timestamps || rcv.tsEcr === 0) return Math.max(1, Math.round(snd.srtt / 1000))
    const sample = tcb.echoAge(rcv.tsEcr, this.#tick)
    const old = ((this.#tick - rcv.rttTick) | 0) > ROUND_TRIP_EXPIRES_MS
    if (sample >= 0 && (rcv.rttTick === 0 || sample <= rcv.rttMs || old)) {
      rcv.rttMs = sample
      rcv.rttTick = this.#tick
    }
    return Math.max(1, rcv.rttMs)
  }

  #promise(tcb: Tcb, window: number): void {
    const { rcv } = tcb
    if (!rcv.counted || this.#config.backpressure === 'drop') return
    // What lies beyond a hole has its niovs.
    const bytes = Math.max(0, window - rcv.ooo.bytes)
    const niovs = this.#niovsFor(rcv, bytes)
    if (!rcv.lent) this.#charge(tcb, niovs)
    else {
      // As much of it as nobody else was promised meanwhile.
      const few = this.#few(rcv)
      const most = this.#idle(rcv) ? few : Math.max(few, this.#unpromised(tcb))
      if (niovs <= most) rcv.lent = false
      this.#charge(tcb, Math.min(niovs, most))
    }
  }

  #charge(tcb: Tcb, niovs: number): void {
    const { rcv } = tcb
    const more = niovs - rcv.promised
    this.promised += more
    if (rcv.silent) this.#silent += more
    rcv.promised = niovs
  }

  /** Niovs that are there and promised to nobody else. */
  #unpromised(tcb: Tcb): number {
    return this.#memory.available() - this.#memory.reserve - this.promised + tcb.rcv.promised
  }

  #idle(rcv: Receiver): boolean {
    return rcv.silent || ((this.#period - rcv.period) | 0) >= IDLE_PERIODS
  }

  #few(rcv: Receiver): number {
    return this.#niovsFor(rcv, FEW_SEGMENTS * this.#segment)
  }

  /** Niovs that `bytes` from this peer take. Of small payloads some lie alone, and the others are packed. */
  #niovsFor(rcv: Receiver, bytes: number): number {
    const { smallBytes } = this.#memory
    const alone = Math.ceil(bytes / rcv.bytesPerNiov)
    return rcv.bytesPerNiov >= smallBytes
      ? alone
      : Math.min(alone, this.#alone(rcv) + Math.ceil(bytes / smallBytes))
  }

  /** The most bytes from this peer that so many niovs take: the inverse of `#niovsFor`. */
  #bytesFor(rcv: Receiver, niovs: number): number {
    const { smallBytes } = this.#memory
    const alone = Math.floor(niovs * rcv.bytesPerNiov)
    return rcv.bytesPerNiov >= smallBytes ? alone : Math.max(alone, (niovs - this.#alone(rcv)) * smallBytes)
  }

  /** Niovs that the connection may still take for small payloads before they are packed. */
  #alone(rcv: Receiver): number {
    const { thinNiovs, packBelow } = this.#memory
    const room = Math.min(thinNiovs - rcv.niovs - rcv.ooo.niovs, this.#memory.available() - packBelow)
    return Math.max(0, room)
  }

  /** Data has come: the connection is one of those that share the memory. */
  #sends(tcb: Tcb): void {
    const { rcv } = tcb
    if (!rcv.counted) return
    if (rcv.silent) {
      rcv.silent = false
      this.#silent -= rcv.promised
    } else {
      if (rcv.period === this.#period) return
      if (((this.#period - rcv.period) | 0) === 1) this.#sendingBefore--
    }
    rcv.period = this.#period
    this.#sendingNow++
  }

  #stopsSending(tcb: Tcb): void {
    const { rcv } = tcb
    if (rcv.silent) return
    if (rcv.period === this.#period) this.#sendingNow--
    else if (((this.#period - rcv.period) | 0) === 1) this.#sendingBefore--
  }

  #moveTo(now: number): void {
    this.#tick = Math.floor(now / 1000) | 0
    const period = this.#tick >> PERIOD_SHIFT
    if (period === this.#period) return
    this.#sendingBefore = ((period - this.#period) | 0) === 1 ? this.#sendingNow : 0
    this.#sendingNow = 0
    this.#period = period
  }
}
