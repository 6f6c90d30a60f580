import { halfSipHash } from '../entropy.ts'
import { type IpAddress, isUnicastWords } from '../ip/address.ts'
import type { Neighbour } from '../ip/neighbours.ts'
import { get16, get32 } from '../wire/bytes.ts'
import { seqGt } from '../wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import { FlowTable } from './flows.ts'
import { TcpIcmp } from './icmp.ts'
import { TcpInput } from './input.ts'
import { TcpOutput } from './output.ts'
import { PayloadTaker } from './payload.ts'
import type { Segment } from './segment.ts'
import { INITIAL_RTO_US } from './sender.ts'
import { SocketOptions } from './socket-options.ts'
import {
  CLOSE_WAIT,
  CLOSED,
  ECONNABORTED,
  EHOSTUNREACH,
  ESTABLISHED,
  EVENT_ACCEPT,
  EVENT_CLOSED,
  EVENT_CONNECTED,
  EVENT_READABLE,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from './state.ts'
import { Listener, Tcb, TIMER_LIFE, TIMER_RETRANSMIT, type TimerHandler } from './tcb.ts'
import { Transmitter } from './transmitter.ts'
import { WindowKeeper } from './window.ts'

/** The TCP module of a stack: connections, listeners, timers and the work that is owed at the end of a poll. */
export class Tcp implements TimerHandler {
  readonly context: TcpContext
  readonly window: WindowKeeper
  readonly #output: TcpOutput
  readonly #payload: PayloadTaker
  readonly #transmitter: Transmitter
  readonly #input: TcpInput
  readonly #flows: FlowTable
  readonly #icmp: TcpIcmp
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
    this.#transmitter = new Transmitter(this, context, this.#output)
    this.#input = new TcpInput(this, context, this.#output, this.#payload, this.#transmitter)
    this.#flows = new FlowTable(entropy(), entropy())
    this.#isnKey0 = entropy()
    this.#isnKey1 = entropy()
    this.#nextPort = 49_152 + ((entropy() >>> 0) % 16_384)
    this.#icmp = new TcpIcmp(this, context, this.#flows, this.#transmitter)
    link.onUnreachable = (neighbour) => this.#neighbourLost(neighbour)
    link.onResolved = (neighbour, now) => this.#retryAfterResolve(neighbour, now)
  }

  /** Connections in any state but CLOSED. */
  get connections(): number {
    return this.#flows.count
  }

  [Symbol.iterator](): IterableIterator<Tcb> {
    return this.#flows[Symbol.iterator]()
  }

  // ---- segments in ----------------------------------------------------------------------------------------------

  /** The next segment of an established connection; false, and nothing is changed, for any other. */
  fastSegment(segment: Segment, now: number): boolean {
    const tcb = this.#flows.find(segment)
    return tcb !== null && this.#input.fast(tcb, segment, now)
  }

  /** One parsed, checksummed segment. */
  segment(segment: Segment, now: number): void {
    const tcb = this.#flows.find(segment)
    if (tcb !== null) {
      if (this.#input.fast(tcb, segment, now)) return
      if (tcb.state !== TIME_WAIT || !this.#reopens(tcb, segment)) {
        this.#input.slow(tcb, segment, now)
        return
      }
    }
    this.#newcomer(segment, now)
  }

  /** An ICMP error quotes this segment of ours (`IcmpErrorTaker`); false when none of our connections has it in flight. */
  icmpError(quoted: Segment, errno: number, _now: number): boolean {
    return this.#icmp.error(quoted, errno)
  }

  /** A router could not forward this segment of ours; false when none of our connections has it in flight. */
  icmpTooBig(quoted: Segment, mtu: number, packetBytes: number, now: number): boolean {
    return this.#icmp.tooBig(quoted, mtu, packetBytes, now)
  }

  /** RFC 9293 3.10.7.4: a SYN beyond what was received may take over a connection in TIME-WAIT. */
  #reopens(tcb: Tcb, segment: Segment): boolean {
    if ((segment.flags & (SYN | ACK | RST)) !== SYN || !seqGt(segment.seq, tcb.rcv.nxt)) return false
    this.end(tcb, 0)
    return true
  }

  #newcomer(segment: Segment, now: number): void {
    const { counters } = this.context
    const { version, source0, source1, source2, source3 } = segment
    if (!isUnicastWords(version, source0, source1, source2, source3)) {
      counters.dropNotForUs++
      return
    }
    const listener = this.#findListener(segment)
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
    const tcb = this.#create(
      this.context.link.localOf(segment),
      segment.destinationPort,
      segment.source(),
      segment.sourcePort,
      listener.options,
    )
    tcb.listener = listener
    listener.halfOpen++
    const header = this.context.header()
    tcb.remoteMacHigh = get16(header, 6)
    tcb.remoteMacLow = get32(header, 8)
    tcb.hasRemoteMac = true
    tcb.state = SYN_RECEIVED
    this.negotiate(tcb, segment, now)
    this.#startSequence(tcb, now)
    this.#transmitter.resendSyn(tcb, now)
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
    snd.mss = Math.max(32, Math.min(peerMss, this.#output.pathMss(tcb, now)) - (tcb.timestamps ? 12 : 0))
    // RFC 6928.
    snd.cwnd = Math.min(10 * snd.mss, Math.max(2 * snd.mss, 14_600))
  }

  // ---- opening and closing --------------------------------------------------------------------------------------

  /** @param address see `Listener`. Null when the port is taken. */
  listen(
    address: IpAddress | null,
    port: number,
    backlog: number,
    options: SocketOptions = SocketOptions.default,
  ): Listener | null {
    const taken = this.#listeners.get(port) ?? []
    if (taken.some((other) => other.conflicts(address, options.v6Only))) return null
    const listener = new Listener(address, port, Math.max(1, backlog), options)
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
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    now: number,
    options: SocketOptions = SocketOptions.default,
  ): Tcb | null {
    let port = localPort
    for (let tries = 0; port === 0 && tries < 16_384; tries++) {
      const candidate = 49_152 + (this.#nextPort++ & 16_383)
      if (this.#flows.get(local, candidate, remote, remotePort) === null && !this.#listeners.has(candidate)) {
        port = candidate
      }
    }
    if (port === 0 || this.#flows.get(local, port, remote, remotePort) !== null) return null
    const tcb = this.#create(local, port, remote, remotePort, options)
    tcb.state = SYN_SENT
    this.context.counters.activeOpens++
    this.#startSequence(tcb, now)
    this.#transmitter.resendSyn(tcb, now)
    return tcb
  }

  /** Takes bytes to send; returns how many fitted into the send buffer. */
  send(tcb: Tcb, bytes: Uint8Array, from: number, now: number): number {
    const taken = tcb.snd.push(bytes, from, bytes.length)
    if (from + taken < bytes.length) tcb.snd.wantsRoom = true
    if (tcb.state === ESTABLISHED || tcb.state === CLOSE_WAIT) this.#transmitter.transmit(tcb, now)
    return taken
  }

  /** Changes a socket's options while it lives: what they hold back may leave now. */
  setOptions(tcb: Tcb, options: SocketOptions, now: number): void {
    tcb.options = options
    this.#transmitter.transmit(tcb, now)
  }

  /** Half-close: a FIN follows what was given to `send`. */
  shutdownSend(tcb: Tcb, now: number): void {
    if (tcb.snd.finQueued || tcb.state < SYN_RECEIVED) return
    tcb.snd.finQueued = true
    if (tcb.state === ESTABLISHED) tcb.state = FIN_WAIT_1
    else if (tcb.state === CLOSE_WAIT) tcb.state = LAST_ACK
    this.#transmitter.transmit(tcb, now)
  }

  /** The application reads no more: what is queued stays readable, what still comes is acknowledged and dropped. */
  shutdownReceive(tcb: Tcb): void {
    tcb.rcv.shut = true
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
    this.window.close(tcb)
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
  promote(tcb: Tcb, now: number): boolean {
    const listener = tcb.listener
    if (listener !== null && listener.ready.length >= listener.backlog) {
      this.context.counters.dropBacklog++
      return false
    }
    tcb.state = ESTABLISHED
    this.context.link.confirm(tcb.remote, now)
    this.window.enter(tcb)
    this.context.wheel.cancel(tcb.retransmitTimer)
    tcb.snd.retries = 0
    if (tcb.snd.finQueued) tcb.state = FIN_WAIT_1
    if (listener !== null) {
      this.context.counters.passiveOpens++
      listener.halfOpen--
      listener.ready.push(tcb)
      if (listener.events === 0) this.ready.push(listener)
      listener.events |= EVENT_ACCEPT
    } else this.raise(tcb, EVENT_CONNECTED)
    return true
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

  onTimer(tcb: Tcb, which: number, now: number): void {
    if (which === TIMER_RETRANSMIT) this.#transmitter.timeout(tcb, now)
    else if (which === TIMER_LIFE) this.end(tcb, 0)
    else if (tcb.state >= ESTABLISHED) this.#output.sendAck(tcb, now)
  }

  // ---- inside ---------------------------------------------------------------------------------------------------

  #create(
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    options: SocketOptions,
  ): Tcb {
    const { fragments, config, entropy } = this.context
    const tcb = new Tcb(fragments, this, config.maxHoles, options.sendBuffer || config.sendBuffer, options)
    tcb.id = this.#nextId++
    tcb.local = local
    tcb.localPort = localPort
    tcb.remote = remote
    tcb.remotePort = remotePort
    tcb.tsOffset = entropy()
    this.#flows.add(tcb)
    this.window.open(tcb)
    return tcb
  }

  /** RFC 6528: a clock of 4 us plus a keyed hash of the addresses. */
  #startSequence(tcb: Tcb, now: number): void {
    const { local, remote } = tcb
    const hash = halfSipHash(this.#isnKey0, this.#isnKey1, [
      ...[local.w0, local.w1, local.w2, local.w3],
      ...[remote.w0, remote.w1, remote.w2, remote.w3],
      (tcb.localPort << 16) | tcb.remotePort,
    ])
    const { snd } = tcb
    snd.iss = (Math.floor(now / 4) + hash) | 0
    snd.una = snd.iss
    snd.nxt = (snd.iss + 1) | 0
    snd.max = snd.nxt
    snd.rto = INITIAL_RTO_US
  }

  #findListener(segment: Segment): Listener | null {
    const candidates = this.#listeners.get(segment.destinationPort)
    if (candidates === undefined) return null
    for (const listener of candidates) if (listener.accepts(segment)) return listener
    return null
  }

  /** A next hop does not answer: attempts to connect through it end, connections may still find another way. */
  #neighbourLost(neighbour: Neighbour): void {
    const { link } = this.context
    for (const tcb of [...this.#flows]) {
      if (!link.isOwn(tcb.local) || link.nextHop(tcb.remote)?.equals(neighbour.address) !== true) continue
      if (tcb.state === SYN_SENT) this.end(tcb, EHOSTUNREACH)
      // The old hardware address serves on: perhaps it is only the answers that get lost.
      else tcb.softError = EHOSTUNREACH
    }
  }

  /** A neighbour's hardware address is known, or another than before: what waited for it, or went astray, leaves now. */
  #retryAfterResolve(neighbour: Neighbour, now: number): void {
    const { link, wheel } = this.context
    for (const tcb of this.#flows) {
      if (!link.isOwn(tcb.local) || link.nextHop(tcb.remote)?.equals(neighbour.address) !== true) continue
      const { macHigh, macLow } = neighbour
      if (tcb.hasRemoteMac && tcb.remoteMacHigh === macHigh && tcb.remoteMacLow === macLow) continue
      tcb.remoteMacHigh = macHigh
      tcb.remoteMacLow = macLow
      tcb.hasRemoteMac = true
      if (tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED) this.#transmitter.resendSyn(tcb, now)
      else if (tcb.retransmitTimer.armed) wheel.arm(tcb.retransmitTimer, 0)
      else this.ackSoon(tcb)
    }
  }
}
