import { halfSipHash } from '../entropy.ts'
import { seqDiff, seqGe, seqGt, seqLt } from '../wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import { FlowTable } from './flows.ts'
import { TcpInput } from './input.ts'
import { TcpOutput } from './output.ts'
import { PayloadTaker } from './payload.ts'
import { trimFront } from './reassembly.ts'
import type { Segment } from './segment.ts'
import { INITIAL_RTO_US, MAX_RTO_US } from './sender.ts'
import {
  CLOSE_WAIT,
  CLOSED,
  ECONNABORTED,
  ESTABLISHED,
  ETIMEDOUT,
  EVENT_ACCEPT,
  EVENT_CLOSED,
  EVENT_READABLE,
  EVENT_WRITABLE,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from './state.ts'
import { Listener, Tcb, type TimerHandler } from './tcb.ts'
import { WindowKeeper } from './window.ts'

/** Duplicate ACKs that mean loss (RFC 5681 section 3.2). */
const DUP_ACK_THRESHOLD = 3

/** The TCP module of a stack: connections, listeners, timers and the work that is owed at the end of a poll. */
export class Tcp implements TimerHandler {
  readonly context: TcpContext
  readonly window: WindowKeeper
  readonly #output: TcpOutput
  readonly #payload: PayloadTaker
  readonly #input: TcpInput
  readonly #flows: FlowTable
  readonly #listeners = new Map<number, Listener[]>()
  /** Connections and listeners with events, drained by the socket layer. */
  readonly ready: (Tcb | Listener)[] = []
  /** Connections that may owe an ACK. */
  readonly #touched: Tcb[] = []
  readonly #relieved: Tcb[] = []
  readonly #isnKey0: number
  readonly #isnKey1: number
  #nextId = 1
  #nextPort: number
  #challengeSecond = 0
  #challengesLeft = 0

  constructor(context: TcpContext) {
    this.context = context
    const { entropy, memory, config, link, counters, nic, burst, fragments } = context
    this.window = new WindowKeeper(memory, config, Math.max(64, nic.info.mtu - 52))
    this.#output = new TcpOutput(link, counters, config, this.window)
    this.#payload = new PayloadTaker(nic, burst, memory, fragments, counters)
    this.#input = new TcpInput(this, context, this.#output, this.#payload)
    this.#flows = new FlowTable(entropy(), entropy())
    this.#isnKey0 = entropy()
    this.#isnKey1 = entropy()
    this.#nextPort = 49_152 + ((entropy() >>> 0) % 16_384)
    link.onResolved = (address) => this.#retryAfterResolve(address)
  }

  /** Connections in any state but CLOSED. */
  get connections(): number {
    return this.#flows.count
  }

  [Symbol.iterator](): IterableIterator<Tcb> {
    return this.#flows[Symbol.iterator]()
  }

  // ---- segments in ----------------------------------------------------------------------------------------------

  /** One parsed, checksummed segment. */
  segment(segment: Segment, now: number): void {
    const tcb = this.#flows.find(
      segment.destination,
      segment.destinationPort,
      segment.source,
      segment.sourcePort,
    )
    if (tcb !== null) {
      if (this.#input.fast(tcb, segment, now)) return
      if (tcb.state !== TIME_WAIT || !this.#reopens(tcb, segment)) {
        this.#input.slow(tcb, segment, now)
        return
      }
    }
    this.#newcomer(segment, now)
  }

  /** RFC 9293 3.10.7.4: a SYN beyond what was received may take over a connection in TIME-WAIT. */
  #reopens(tcb: Tcb, segment: Segment): boolean {
    if ((segment.flags & (SYN | ACK | RST)) !== SYN || !seqGt(segment.seq, tcb.rcv.nxt)) return false
    this.end(tcb, 0)
    return true
  }

  #newcomer(segment: Segment, now: number): void {
    const { counters } = this.context
    const listener = this.#findListener(segment.destination, segment.destinationPort)
    if (listener === null || (segment.flags & ACK) !== 0) {
      counters.dropNoSocket++
      this.#output.resetFor(segment, this.context.header())
      return
    }
    if ((segment.flags & (SYN | RST | FIN)) !== SYN) {
      counters.dropNoSocket++
      return
    }
    const { config } = this.context
    if (
      listener.halfOpen >= config.maxHalfOpen ||
      listener.ready.length >= listener.backlog ||
      this.#flows.count >= config.maxConnections
    ) {
      counters.dropBacklog++
      return
    }
    segment.optionsParsed = true
    if (!segment.options.parse(this.context.header(), segment.optionsAt, segment.optionsLength)) {
      counters.dropTcpOptions++
    }
    const tcb = this.#create(segment.destination, segment.destinationPort, segment.source, segment.sourcePort)
    tcb.listener = listener
    listener.halfOpen++
    const header = this.context.header()
    for (let i = 0; i < 6; i++) tcb.remoteMac[i] = header[6 + i]!
    tcb.hasRemoteMac = true
    tcb.state = SYN_RECEIVED
    this.negotiate(tcb, segment, now)
    this.#startSequence(tcb, now)
    this.resendSyn(tcb, now)
  }

  /** Takes what the peer's SYN says. */
  negotiate(tcb: Tcb, segment: Segment, now: number): void {
    const { config } = this.context
    const { rcv, snd } = tcb
    const options = segment.options
    rcv.irs = segment.seq
    rcv.nxt = (segment.seq + 1) | 0
    rcv.adv = rcv.nxt
    rcv.lastAckSent = rcv.nxt
    tcb.timestamps = config.timestamps && options.hasTimestamps
    tcb.sack = config.sack && options.sackPermitted
    tcb.windowScaling = config.windowScaling && options.windowScale >= 0
    if (tcb.timestamps) {
      rcv.tsRecent = options.tsVal
      rcv.tsRecentAt = now
    }
    rcv.shift = tcb.windowScaling ? this.window.shift() : 0
    snd.shift = tcb.windowScaling ? options.windowScale : 0
    snd.wnd = segment.window
    snd.maxWnd = segment.window
    snd.wl1 = segment.seq
    // RFC 9293 3.7.1: 536 when the peer does not say; never less than 64, or a hostile peer makes us send dust.
    const peerMss = Math.max(64, options.mss === 0 ? 536 : options.mss)
    snd.mss = Math.max(
      32,
      Math.min(peerMss, this.#output.localMss, this.context.nic.txSlotBytes - 54) - (tcb.timestamps ? 12 : 0),
    )
    // RFC 6928.
    snd.cwnd = Math.min(10 * snd.mss, Math.max(2 * snd.mss, 14_600))
    this.window.open(tcb)
  }

  // ---- opening and closing --------------------------------------------------------------------------------------

  /** @param address 0 = every address. Null when the port is taken. */
  listen(address: number, port: number, backlog: number): Listener | null {
    const taken = this.#listeners.get(port) ?? []
    if (taken.some((other) => other.address === address || other.address === 0 || address === 0)) return null
    const listener = new Listener(address, port, Math.max(1, backlog))
    this.#listeners.set(port, [...taken, listener])
    return listener
  }

  /** Ends a listener: connections nobody has accepted are reset. */
  unlisten(listener: Listener): void {
    listener.closed = true
    const others = (this.#listeners.get(listener.port) ?? []).filter((other) => other !== listener)
    if (others.length === 0) this.#listeners.delete(listener.port)
    else this.#listeners.set(listener.port, others)
    for (const tcb of [...this.#flows]) {
      if (tcb.listener === listener) this.abort(tcb)
    }
    listener.ready.length = 0
  }

  /** A connection that waits on the listener, now the caller's; null when none does. */
  accept(listener: Listener): Tcb | null {
    const tcb = listener.ready.shift() ?? null
    if (tcb !== null) tcb.listener = null
    return tcb
  }

  /** Active open. Null when no local port is free. @param localPort 0 = choose one */
  connect(
    localAddress: number,
    localPort: number,
    remote: number,
    remotePort: number,
    now: number,
  ): Tcb | null {
    let port = localPort
    for (let tries = 0; port === 0 && tries < 16_384; tries++) {
      const candidate = 49_152 + (this.#nextPort++ & 16_383)
      if (
        this.#flows.find(localAddress, candidate, remote, remotePort) === null &&
        !this.#listeners.has(candidate)
      ) {
        port = candidate
      }
    }
    if (port === 0 || this.#flows.find(localAddress, port, remote, remotePort) !== null) return null
    const tcb = this.#create(localAddress, port, remote, remotePort)
    tcb.state = SYN_SENT
    this.context.counters.activeOpens++
    this.#startSequence(tcb, now)
    this.resendSyn(tcb, now)
    return tcb
  }

  /** Takes bytes to send; returns how many fitted into the send buffer. */
  send(tcb: Tcb, bytes: Uint8Array, from: number, now: number): number {
    const taken = tcb.snd.push(bytes, from, bytes.length)
    if (from + taken < bytes.length) tcb.snd.wantsRoom = true
    if (tcb.state === ESTABLISHED || tcb.state === CLOSE_WAIT) this.transmit(tcb, now)
    return taken
  }

  /** Half-close: a FIN follows what was given to `send`. */
  shutdownSend(tcb: Tcb, now: number): void {
    if (tcb.snd.finQueued || tcb.state < SYN_RECEIVED) return
    tcb.snd.finQueued = true
    if (tcb.state === ESTABLISHED) tcb.state = FIN_WAIT_1
    else if (tcb.state === CLOSE_WAIT) tcb.state = LAST_ACK
    this.transmit(tcb, now)
  }

  /** The application reads no more: what is queued and what still comes is dropped. */
  shutdownReceive(tcb: Tcb): void {
    tcb.rcv.shut = true
    this.dropQueue(tcb)
    tcb.rcv.ooo.clear()
  }

  /**
   * The application lets go of the connection. Unread data makes it a reset (RFC 1122 4.2.2.13), else the rest is sent
   * and the connection closes in order, on its own.
   */
  close(tcb: Tcb, now: number): void {
    tcb.orphaned = true
    tcb.owner = null
    if (tcb.state === CLOSED) {
      this.dropQueue(tcb)
      return
    }
    if (tcb.state <= SYN_SENT || tcb.rcv.queuedBytes > 0) {
      this.abort(tcb)
      return
    }
    if (tcb.snd.finQueued) {
      if (tcb.state === FIN_WAIT_2) this.startFinWait2(tcb, now)
    } else this.shutdownSend(tcb, now)
  }

  /** Resets the connection. */
  abort(tcb: Tcb): void {
    if (tcb.state >= SYN_RECEIVED && tcb.state !== TIME_WAIT) this.#output.reset(tcb)
    this.dropQueue(tcb)
    this.end(tcb, ECONNABORTED)
  }

  /** The protocol's part is over: no segment finds the connection any more. What is queued stays readable. */
  end(tcb: Tcb, error: number): void {
    if (tcb.state === CLOSED) return
    if (tcb.state === SYN_RECEIVED && tcb.listener !== null) tcb.listener.halfOpen--
    if (tcb.state !== SYN_SENT) this.window.close(tcb)
    tcb.state = CLOSED
    tcb.error = error
    const { wheel } = this.context
    wheel.cancel(tcb.retransmitTimer)
    wheel.cancel(tcb.ackTimer)
    wheel.cancel(tcb.lifeTimer)
    this.#flows.remove(tcb)
    tcb.rcv.ooo.clear()
    this.#payload.unpack(tcb.rcv)
    tcb.snd.clear()
    if (tcb.listener !== null) {
      const at = tcb.listener.ready.indexOf(tcb)
      if (at >= 0) tcb.listener.ready.splice(at, 1)
      tcb.listener = null
      tcb.orphaned = true
    }
    if (tcb.orphaned) this.dropQueue(tcb)
    else this.raise(tcb, EVENT_CLOSED | EVENT_READABLE)
  }

  /** Frees everything in the receive queue. */
  dropQueue(tcb: Tcb): void {
    this.context.fragments.discardList(tcb.rcv.head)
    tcb.rcv.head = -1
    tcb.rcv.tail = -1
    tcb.rcv.queuedBytes = 0
  }

  // ---- what input asks for --------------------------------------------------------------------------------------

  /** Notes an event for the owner. */
  raise(tcb: Tcb, event: number): void {
    if (tcb.orphaned) return
    if (tcb.events === 0) this.ready.push(tcb)
    tcb.events |= event
  }

  /** Data arrived: an ACK is owed by the end of this poll for two full segments, or later. */
  oweAck(tcb: Tcb, bytes: number): void {
    const rcv = tcb.rcv
    // A frame larger than a segment (segmentation offload) stands for several.
    rcv.unacked += bytes >= 2 * tcb.snd.mss ? 2 : 1
    if (rcv.quickAcks > 0) {
      rcv.quickAcks--
      rcv.ackNow = true
    }
    if (!rcv.touched) {
      rcv.touched = true
      this.#touched.push(tcb)
    }
  }

  /** An ACK is owed at the end of this poll. */
  ackSoon(tcb: Tcb): void {
    tcb.rcv.ackNow = true
    if (!tcb.rcv.touched) {
      tcb.rcv.touched = true
      this.#touched.push(tcb)
    }
  }

  /** A challenge ACK (RFC 5961), rate-limited over all connections. */
  challenge(tcb: Tcb, now: number): void {
    const second = Math.floor(now / 1_000_000)
    if (second !== this.#challengeSecond) {
      this.#challengeSecond = second
      // RFC 5961 section 10 with a random share, so that the limit can't be used to probe (CVE-2016-5696).
      const limit = this.context.config.challengeAcksPerSecond
      this.#challengesLeft = (limit >>> 1) + ((this.context.entropy() >>> 0) % Math.max(1, limit))
    }
    if (this.#challengesLeft-- <= 0) return
    this.context.counters.challengeAcks++
    this.ackSoon(tcb)
  }

  /** SYN-RECEIVED becomes ESTABLISHED. False when the listener has no room: the peer will send again. */
  promote(tcb: Tcb): boolean {
    const listener = tcb.listener
    if (listener !== null && listener.ready.length >= listener.backlog) {
      this.context.counters.dropBacklog++
      return false
    }
    tcb.state = ESTABLISHED
    this.context.wheel.cancel(tcb.retransmitTimer)
    tcb.snd.retries = 0
    if (tcb.snd.finQueued) tcb.state = FIN_WAIT_1
    if (listener !== null) {
      this.context.counters.passiveOpens++
      listener.halfOpen--
      listener.ready.push(tcb)
      if (listener.events === 0) this.ready.push(listener)
      listener.events |= EVENT_ACCEPT
    }
    return true
  }

  /** Sends our SYN or SYN,ACK, for the first time or again. */
  resendSyn(tcb: Tcb, now: number): void {
    const flags = tcb.state === SYN_SENT ? SYN : SYN | ACK
    this.#output.send(tcb, flags, tcb.snd.iss, 0, 0, now)
    if (!tcb.retransmitTimer.armed) this.#armRetransmit(tcb, now)
  }

  /** New data of ours was acknowledged. */
  acknowledged(tcb: Tcb, segment: Segment, now: number): void {
    const { snd } = tcb
    const acked = seqDiff(segment.ack, snd.una)
    const synBytes = snd.una === snd.iss ? 1 : 0
    const dataBytes = Math.min(acked - synBytes, snd.buffered)
    if (dataBytes > 0) snd.discard(dataBytes)
    snd.una = segment.ack
    if (seqLt(snd.nxt, snd.una)) snd.nxt = snd.una
    this.#measure(tcb, segment, now)
    snd.retries = 0
    if (snd.inRecovery) {
      if (seqGe(snd.una, snd.recover)) {
        snd.inRecovery = false
        snd.cwnd = snd.ssthresh
      } else {
        // RFC 6582 3.2 (4): a partial ACK means the next segment was lost too.
        this.#sendFrom(tcb, snd.una, now)
        snd.cwnd = Math.max(snd.mss, snd.cwnd - acked + snd.mss)
      }
    } else if (snd.cwnd < snd.ssthresh) snd.cwnd += Math.min(acked, 2 * snd.mss)
    else snd.cwnd += Math.max(1, Math.floor((snd.mss * snd.mss) / snd.cwnd))
    snd.dupAcks = 0
    if (snd.una === snd.max) this.context.wheel.cancel(tcb.retransmitTimer)
    else this.#armRetransmit(tcb, now)
    if (snd.wantsRoom && snd.room() >= snd.limit >>> 1) {
      snd.wantsRoom = false
      this.raise(tcb, EVENT_WRITABLE)
    }
  }

  /** RFC 5681 section 3.2. */
  duplicateAck(tcb: Tcb, now: number): void {
    const { snd } = tcb
    snd.dupAcks++
    if (snd.inRecovery) {
      snd.cwnd += snd.mss
      return
    }
    if (snd.dupAcks !== DUP_ACK_THRESHOLD) return
    snd.ssthresh = Math.max(seqDiff(snd.max, snd.una) >>> 1, 2 * snd.mss)
    snd.recover = snd.max
    snd.inRecovery = true
    snd.cwnd = snd.ssthresh + DUP_ACK_THRESHOLD * snd.mss
    this.context.counters.fastRetransmits++
    this.#sendFrom(tcb, snd.una, now)
    this.#armRetransmit(tcb, now)
  }

  /** Sends what windows and buffer allow: data, then the FIN. */
  transmit(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (tcb.state < ESTABLISHED || tcb.state === TIME_WAIT) return
    for (;;) {
      const inFlight = seqDiff(snd.nxt, snd.una)
      const unsent = snd.buffered - inFlight
      if (unsent <= 0) {
        // -1: the FIN is in flight, it takes one sequence number behind the last byte.
        if (unsent === 0 && snd.finQueued) this.#sendFin(tcb, now)
        break
      }
      const room = Math.min(snd.cwnd, snd.wnd) - inFlight
      const length = Math.min(snd.mss, unsent, room)
      if (length <= 0) {
        // RFC 9293 3.8.6.1: a closed window is probed, else a lost update would end everything.
        if (snd.wnd === 0 && inFlight === 0 && !tcb.retransmitTimer.armed) this.#armRetransmit(tcb, now)
        break
      }
      // Sender's silly window avoidance (RFC 9293 3.8.6.2.1): no fragment of a segment while more is in flight.
      if (length < snd.mss && length < unsent && inFlight > 0) break
      const last = length === unsent
      const fin = last && snd.finQueued
      const seq = snd.nxt
      if (!this.#output.send(tcb, this.#output.dataFlags(last, fin), seq, inFlight, length, now)) {
        if (!tcb.retransmitTimer.armed) this.#armRetransmit(tcb, now)
        break
      }
      this.#sent(tcb, seq, length + (fin ? 1 : 0), now)
      if (fin) {
        snd.finSent = true
        break
      }
    }
  }

  // ---- closing states -------------------------------------------------------------------------------------------

  enterTimeWait(tcb: Tcb, now: number): void {
    tcb.state = TIME_WAIT
    this.context.wheel.cancel(tcb.retransmitTimer)
    this.restartTimeWait(tcb, now)
    this.raise(tcb, EVENT_READABLE)
  }

  restartTimeWait(tcb: Tcb, now: number): void {
    this.context.wheel.arm(tcb.lifeTimer, now + this.context.config.timeWaitUs)
  }

  startFinWait2(tcb: Tcb, now: number): void {
    this.context.wheel.arm(tcb.lifeTimer, now + this.context.config.finWait2Us)
  }

  // ---- the end of a poll ----------------------------------------------------------------------------------------

  /** Sends the ACKs that are owed: one per connection however many segments the burst held. */
  flushAcks(now: number): void {
    const touched = this.#touched
    for (let i = 0; i < touched.length; i++) {
      const tcb = touched[i]!
      const rcv = tcb.rcv
      rcv.touched = false
      if (tcb.state === CLOSED || (!rcv.ackNow && rcv.unacked === 0)) continue
      if (rcv.ackNow || rcv.unacked >= 2) {
        if (tcb.ackTimer.armed) this.context.wheel.cancel(tcb.ackTimer)
        this.#output.sendAck(tcb, now)
      } else if (!tcb.ackTimer.armed) {
        this.context.wheel.arm(tcb.ackTimer, now + this.context.config.delayedAckUs)
      }
    }
    touched.length = 0
  }

  /** Memory came free: tells peers whose windows were small for want of it. */
  relieve(now: number): void {
    this.window.takeRelieved(this.#relieved)
    if (this.#relieved.length === 0) return
    for (const tcb of this.#relieved) {
      if (tcb.state < ESTABLISHED || tcb.rcv.finished) continue
      this.context.counters.windowUpdates++
      this.#output.sendAck(tcb, now)
    }
    this.#relieved.length = 0
  }

  // ---- timers ---------------------------------------------------------------------------------------------------

  onAckTimer(tcb: Tcb, now: number): void {
    if (tcb.state >= ESTABLISHED) this.#output.sendAck(tcb, now)
  }

  onLifeTimer(tcb: Tcb, _now: number): void {
    this.end(tcb, 0)
  }

  /** RFC 6298 section 5, and the persist timer. */
  onRetransmitTimer(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { config, counters } = this.context
    const opening = tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED
    const probing = !opening && snd.wnd === 0 && snd.buffered > 0
    snd.retries++
    // RFC 9293 3.8.6.1: a peer that answers probes keeps the connection however long its window is closed.
    if (snd.retries > (opening ? config.synRetries : config.dataRetries)) {
      if (tcb.state === SYN_RECEIVED) counters.halfOpenExpired++
      else counters.connectionsTimedOut++
      if (!opening) this.#output.reset(tcb)
      this.end(tcb, ETIMEDOUT)
      return
    }
    snd.rto = Math.min(MAX_RTO_US, snd.rto * 2)
    snd.timing = false
    counters.retransmitTimeouts++
    if (opening) {
      counters.retransmits++
      this.resendSyn(tcb, now)
      return
    }
    if (probing) {
      snd.nxt = snd.una
      if (this.#output.send(tcb, ACK, snd.una, 0, 1, now)) this.#sent(tcb, snd.una, 1, now)
      // Not counted as in flight: when the window opens everything leaves from the oldest byte on.
      snd.nxt = snd.una
    } else if (snd.una !== snd.max) {
      // RFC 5681 (4), then everything outstanding again from the oldest byte.
      if (snd.retries === 1) snd.ssthresh = Math.max(seqDiff(snd.max, snd.una) >>> 1, 2 * snd.mss)
      snd.cwnd = snd.mss
      snd.inRecovery = false
      snd.dupAcks = 0
      snd.nxt = snd.una
      counters.retransmits++
    }
    this.#armRetransmit(tcb, now)
    if (!probing) this.transmit(tcb, now)
  }

  // ---- lists of payload, for input ------------------------------------------------------------------------------

  /** Keeps the first `bytes` of a list and frees the rest. Returns the head, -1 when nothing is kept. */
  keepFront(head: number, bytes: number): number {
    const { fragments } = this.context
    if (bytes <= 0) {
      fragments.discardList(head)
      return -1
    }
    let node = head
    while (fragments.length[node]! < bytes) {
      bytes -= fragments.length[node]!
      node = fragments.next[node]!
    }
    if (fragments.length[node]! > bytes) fragments.split(node, bytes)
    fragments.discardList(fragments.next[node]!)
    fragments.next[node] = -1
    return head
  }

  dropFront(head: number, bytes: number): number {
    return trimFront(this.context.fragments, head, bytes)
  }

  lastOf(head: number): number {
    const { next } = this.context.fragments
    let node = head
    while (next[node]! >= 0) node = next[node]!
    return node
  }

  // ---- inside ---------------------------------------------------------------------------------------------------

  #create(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): Tcb {
    const { fragments, config, entropy } = this.context
    const tcb = new Tcb(fragments, this, config.maxHoles, config.sendBuffer)
    tcb.id = this.#nextId++
    tcb.localAddress = localAddress
    tcb.localPort = localPort
    tcb.remoteAddress = remoteAddress
    tcb.remotePort = remotePort
    tcb.tsOffset = entropy()
    tcb.ipId = entropy() & 0xffff
    this.#flows.add(tcb)
    return tcb
  }

  /** RFC 6528: a clock of 4 us plus a keyed hash of the addresses. */
  #startSequence(tcb: Tcb, now: number): void {
    const hash = halfSipHash(this.#isnKey0, this.#isnKey1, [
      tcb.localAddress,
      tcb.remoteAddress,
      (tcb.localPort << 16) | tcb.remotePort,
    ])
    const { snd } = tcb
    snd.iss = (Math.floor(now / 4) + hash) | 0
    snd.una = snd.iss
    snd.nxt = (snd.iss + 1) | 0
    snd.max = snd.nxt
    snd.rto = INITIAL_RTO_US
  }

  #findListener(address: number, port: number): Listener | null {
    const candidates = this.#listeners.get(port)
    if (candidates === undefined) return null
    for (const listener of candidates) {
      if (listener.address === address || listener.address === 0) return listener
    }
    return null
  }

  #measure(tcb: Tcb, segment: Segment, now: number): void {
    const { snd } = tcb
    if (tcb.timestamps && segment.options.hasTimestamps && segment.options.tsEcr !== 0) {
      const ms = (this.#output.timestamp(tcb, now) - segment.options.tsEcr) | 0
      if (ms >= 0) snd.measure(ms * 1000)
    } else if (snd.timing && seqGe(segment.ack, snd.timedSeq)) {
      snd.timing = false
      snd.measure(now - snd.timedAt)
    }
  }

  #sent(tcb: Tcb, seq: number, extent: number, now: number): void {
    const { snd } = tcb
    const end = (seq + extent) | 0
    snd.nxt = end
    if (seqGt(end, snd.max)) {
      snd.max = end
      if (!snd.timing && !tcb.timestamps) {
        snd.timing = true
        snd.timedSeq = end
        snd.timedAt = now
      }
    } else this.context.counters.retransmits++
    if (!tcb.retransmitTimer.armed) this.#armRetransmit(tcb, now)
  }

  #sendFin(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const seq = snd.nxt
    if (this.#output.send(tcb, ACK | FIN, seq, 0, 0, now)) {
      snd.finSent = true
      this.#sent(tcb, seq, 1, now)
    } else if (!tcb.retransmitTimer.armed) this.#armRetransmit(tcb, now)
  }

  /** Retransmits one segment that begins at `seq`, without moving SND.NXT. */
  #sendFrom(tcb: Tcb, seq: number, now: number): void {
    const { snd } = tcb
    const skip = seqDiff(seq, snd.una)
    const length = Math.min(snd.mss, snd.buffered - skip)
    const fin = snd.finSent && skip + length === snd.buffered
    if (length <= 0 && !fin) return
    this.context.counters.retransmits++
    snd.timing = false
    this.#output.send(tcb, this.#output.dataFlags(fin, fin), seq, skip, Math.max(0, length), now)
  }

  #armRetransmit(tcb: Tcb, now: number): void {
    this.context.wheel.arm(tcb.retransmitTimer, now + tcb.snd.rto)
  }

  /** Segments that waited for a neighbour's hardware address leave now instead of after a timeout. */
  #retryAfterResolve(address: number): void {
    for (const tcb of this.#flows) {
      if (tcb.remoteAddress !== address || tcb.hasRemoteMac) continue
      this.context.wheel.arm(tcb.retransmitTimer, 0)
    }
  }
}
