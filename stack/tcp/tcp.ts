import type { IpAddress } from '../../address.ts'
import { type AttemptOwner, LocalPorts } from '../siblings/local-ports.ts'
import { seqGt } from '../wire/seq.ts'
import { ACK, RST, SYN } from '../wire/tcp.ts'
import { AckScheduler } from './acks.ts'
import { TcpBulk } from './bulk.ts'
import type { TcpContext } from './context.ts'
import { FlowTable } from './flows.ts'
import { Handshake, type HandshakeOwner } from './handshake.ts'
import { TcpIcmp } from './icmp.ts'
import { type InputOwner, TcpInput } from './input.ts'
import { Listeners } from './listeners.ts'
import { followNeighbours } from './next-hops.ts'
import type { TcpConfig } from './options.ts'
import { OutOfOrderQueue } from './out-of-order-queue.ts'
import { TcpOutput } from './output.ts'
import type { TcpParts } from './parts.ts'
import { PayloadTaker } from './payload.ts'
import { Reclaim } from './reclaim.ts'
import { Recovery } from './recovery.ts'
import type { Segment } from './segment.ts'
import type { Lender } from './send-buffer.ts'
import { SocketOptions } from './socket-options.ts'
import {
  CLOSE_WAIT,
  CLOSED,
  ECONNABORTED,
  ESTABLISHED,
  EVENT_ACCEPT,
  EVENT_CLOSED,
  EVENT_CONNECTED,
  EVENT_READABLE,
  EVENT_WRITABLE,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from './state.ts'
import { type Listener, Tcb } from './tcb.ts'
import { TcbTimers, TIMER_LIFE, TIMER_PACE, TIMER_RETRANSMIT, type TimerHandler } from './tcb-timers.ts'
import { TimeWait } from './time-wait.ts'
import { Timeouts } from './timeouts.ts'
import { Transmitter } from './transmitter.ts'
import { WindowKeeper } from './window.ts'

/** What Linux makes of SO_SNDBUF: twice as much, half of it meant for bookkeeping (socket(7)). */
function sendLimit(options: SocketOptions, config: TcpConfig): number {
  return options.sendBuffer > 0 ? 2 * options.sendBuffer : config.sendBuffer
}

/** The TCP module of a stack: connections, listeners, timers and the work that is owed at the end of a poll. */
export class Tcp implements TimerHandler, InputOwner, HandshakeOwner, AttemptOwner {
  readonly context: TcpContext
  readonly window: WindowKeeper
  readonly reclaim: Reclaim
  readonly acks: AckScheduler
  readonly timers: TcbTimers
  readonly timeWait: TimeWait
  readonly #noHoles: OutOfOrderQueue
  readonly #output: TcpOutput
  readonly #payload: PayloadTaker
  readonly #transmitter: Transmitter
  readonly #timeouts: Timeouts
  readonly #handshake: Handshake
  readonly #input: TcpInput
  readonly #flows: FlowTable
  readonly #listeners = new Listeners()
  readonly #icmp: TcpIcmp
  /** Connections and listeners with events, drained by the socket layer. */
  readonly ready: (Tcb | Listener)[] = []
  readonly #relieved: Tcb[] = []
  /** Called when no segment finds a connection any more. */
  onEnd: (tcb: Tcb) => void = () => {}
  /** Called when a connection in SYN-SENT has got another local port, before it sends from there (`Stack.siblings`). It may be ended. */
  onPortChange: (tcb: Tcb, oldPort: number) => void = () => {}
  readonly ports: LocalPorts
  readonly bulk: TcpBulk

  constructor(context: TcpContext) {
    this.context = context
    const { entropy, memory, config, link, counters, nic, burst, fragments } = context
    this.window = new WindowKeeper(memory, config, Math.max(64, nic.info.mtu - 52))
    this.#output = new TcpOutput(link, counters, config, this.window, context.clock)
    this.#payload = new PayloadTaker(nic, burst, memory, fragments, counters)
    this.timers = new TcbTimers(context.wheel, this)
    this.#noHoles = new OutOfOrderQueue(fragments, config.maxHoles, true)
    this.acks = new AckScheduler(context, this.#output, this.timers)
    this.timeWait = new TimeWait(this, context, this.timers, this.acks)
    const recovery = new Recovery(counters, config)
    this.#transmitter = new Transmitter(context, this.#output, recovery, this.timers)
    const parts: TcpParts = {
      window: this.window,
      output: this.#output,
      payload: this.#payload,
      recovery,
      transmitter: this.#transmitter,
      timers: this.timers,
      acks: this.acks,
      timeWait: this.timeWait,
    }
    this.#timeouts = new Timeouts(this, context, parts)
    this.#handshake = new Handshake(this, context, parts, this.#listeners)
    this.#flows = new FlowTable(entropy(), entropy())
    this.bulk = new TcpBulk(this, context, this.#flows.rows)
    this.reclaim = new Reclaim(context, this.#flows, this.window, this.#payload)
    this.#input = new TcpInput(this, context, parts, this.reclaim)
    this.ports = new LocalPorts(this, context, this.#flows, this.#listeners)
    this.#icmp = new TcpIcmp(this, context, this.#flows, this.#transmitter)
    followNeighbours(this, context, this.#flows, this.#transmitter)
  }

  /** Connections in any state but CLOSED. */
  get connections(): number {
    return this.#flows.count
  }

  /** Those that count against `TcpConfig.maxConnections`: those that only wait for their end have a bound of their own. */
  get living(): number {
    return this.#flows.count - this.timeWait.count
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
      if (tcb.state !== TIME_WAIT || !this.#reopens(tcb, segment, now)) this.#input.slow(tcb, segment, now)
      return
    }
    this.#handshake.newcomer(segment, now)
  }

  /** An ICMP error quotes this segment of ours (`UpperLayer`); false when none of our connections has it in flight. */
  icmpError(quoted: Segment, errno: number, _now: number): boolean {
    return this.#icmp.error(quoted, errno)
  }

  /** A router could not forward this segment of ours; false when none of our connections has it in flight. */
  icmpTooBig(quoted: Segment, mtu: number, packetBytes: number, now: number): boolean {
    return this.#icmp.tooBig(quoted, mtu, packetBytes, now)
  }

  /** RFC 6191, RFC 9293 3.10.7.4: a SYN that can't be an old one may take over a connection in TIME-WAIT. */
  #reopens(tcb: Tcb, segment: Segment, now: number): boolean {
    if ((segment.flags & (SYN | ACK | RST)) !== SYN || this.#listeners.find(segment) === null) return false
    segment.parseOptions(this.context.header(), this.context.counters)
    const { options } = segment
    const later = tcb.timestamps && options.hasTimestamps ? (options.tsVal - tcb.rcv.tsRecent) | 0 : 0
    if (options.signed || later < 0 || (later === 0 && !seqGt(segment.seq, tcb.rcv.nxt))) return false
    const after = tcb.snd.max
    this.end(tcb, 0)
    this.#handshake.newcomer(segment, now, after)
    return true
  }

  /** A connection in SYN-RECEIVED for a SYN, or the ACK of a cookie. */
  create(segment: Segment, listener: Listener): Tcb {
    const tcb = this.#create(
      this.context.link.localOf(segment),
      segment.destinationPort,
      segment.source(),
      segment.sourcePort,
      listener.options,
    )
    tcb.listener = listener
    tcb.passive = true
    tcb.state = SYN_RECEIVED
    return tcb
  }

  synData(tcb: Tcb, segment: Segment, now: number): void {
    this.#input.synData(tcb, segment, now)
  }

  established(tcb: Tcb, segment: Segment, now: number): void {
    this.#input.slow(tcb, segment, now)
    // Whatever else was wrong with the segment: nothing half open is kept for a cookie.
    if (tcb.state === SYN_RECEIVED) this.end(tcb, 0)
  }

  announce(listener: Listener): void {
    if (listener.events === 0) this.ready.push(listener)
    listener.events |= EVENT_ACCEPT
  }

  negotiate(tcb: Tcb, segment: Segment, now: number): void {
    this.#handshake.negotiate(tcb, segment, now)
  }

  // ---- opening and closing --------------------------------------------------------------------------------------

  /** @param address see `Listener` @param backlog as of listen(2): one more may wait. Null when the port is taken. */
  listen(
    address: IpAddress | null,
    port: number,
    backlog: number,
    options: SocketOptions = SocketOptions.default,
  ): Listener | null {
    return this.#listeners.add(address, port, backlog, options)
  }

  /** Ends a listener: connections nobody has accepted are reset. */
  unlisten(listener: Listener): void {
    this.#listeners.remove(listener)
    for (const tcb of [...this.#flows]) {
      if (tcb.listener === listener) this.abort(tcb)
    }
    listener.ready.length = 0
  }

  /** A connection that waits on the listener, now the caller's; null when none does. */
  accept(listener: Listener): Tcb | null {
    const tcb = listener.ready.shift() ?? null
    if (tcb === null) return null
    // A fast-opened one may still be half open.
    if (tcb.state === SYN_RECEIVED) this.#notHalfOpen(tcb, listener)
    tcb.listener = null
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
    const port = localPort || this.ports.choose(local, remote, remotePort)
    if (port === 0 || this.#flows.get(local, port, remote, remotePort) !== null) return null
    const tcb = this.#create(local, port, remote, remotePort, options)
    tcb.state = SYN_SENT
    this.context.counters.activeOpens++
    this.#handshake.startSequence(tcb, now)
    this.ports.begin(tcb, localPort === 0)
    tcb.snd.progressAt = now
    this.#transmitter.resendSyn(tcb, now)
    return tcb
  }

  /**
   * An attempt to connect that the peer has answered elsewhere begins again from another port: with another number, and nothing
   * left of what it was, at the peer neither.
   */
  restart(tcb: Tcb, port: number, now: number): void {
    const { snd, localPort, rare } = tcb
    this.#output.reset(tcb)
    this.#flows.remove(tcb)
    tcb.localPort = port
    this.#flows.add(tcb)
    this.timers.cancel(tcb, TIMER_RETRANSMIT)
    const { una } = snd
    this.#handshake.startSequence(tcb, now)
    if (snd.urgent) rare!.sendUrgentEnd = (rare!.sendUrgentEnd + snd.una - una) | 0
    snd.retries = 0
    snd.synAt = 0
    this.ports.await(tcb)
    this.onPortChange(tcb, localPort)
    if (tcb.state === SYN_SENT) this.#transmitter.resendSyn(tcb, now)
  }

  /**
   * Takes bytes to send; returns how many fitted into the send buffer.
   * @param urgent the last of them is urgent (RFC 9293 3.8.5): the pointer goes just behind it (RFC 6093) @param lender of `Sender.push`
   */
  send(tcb: Tcb, bytes: Uint8Array, from: number, now: number, urgent = false, lender?: Lender): number {
    this.#beginsToWait(tcb, now)
    const taken = tcb.snd.push(bytes, from, bytes.length, lender)
    if (from + taken < bytes.length) tcb.snd.wantsRoom = true
    else if (urgent) {
      tcb.snd.urgent = true
      // What is given before the SYN is acknowledged comes behind it.
      const { una, iss, buffered } = tcb.snd
      tcb.seldom().sendUrgentEnd = (una + buffered + (tcb.state < ESTABLISHED && una === iss ? 1 : 0)) | 0
    }
    if (tcb.state === ESTABLISHED || tcb.state === CLOSE_WAIT || tcb.fastOpened) {
      this.#transmitter.transmit(tcb, now)
    }
    return taken
  }

  /** The user timeout counts from here, if nothing has waited before (RFC 9293 3.9.1.1). */
  #beginsToWait(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (tcb.state >= ESTABLISHED && snd.buffered === 0 && snd.una === snd.max) snd.progressAt = now
  }

  /** Changes a socket's options while it lives: what they hold back may leave now. */
  setOptions(tcb: Tcb, options: SocketOptions, now: number): void {
    tcb.snd.limit = sendLimit(options, this.context.config)
    const before = tcb.options
    tcb.options = options
    if (options.keepAlive && !before.keepAlive) this.startKeepAlive(tcb, now)
    // Linux arms anew at once, from when something was last heard (tcp_sock_set_keepidle).
    else if (options.keepIdleUs !== before.keepIdleUs) this.startKeepAlive(tcb, now, tcb.heardAt)
    if (options.maxSeg !== before.maxSeg && tcb.state >= ESTABLISHED)
      tcb.snd.mss = this.#output.pathMss(tcb, now)
    // Asked for while corked, TCP_NODELAY pushes once what waits, as on Linux (tcp(7)).
    if (options.noDelay && !before.noDelay && tcb.state >= ESTABLISHED)
      this.#transmitter.sendHeldBack(tcb, now)
    else this.#transmitter.transmit(tcb, now)
  }

  /** Half-close: a FIN follows what was given to `send`. */
  shutdownSend(tcb: Tcb, now: number): void {
    if (tcb.snd.finQueued || tcb.state < SYN_RECEIVED) return
    this.#beginsToWait(tcb, now)
    tcb.snd.finQueued = true
    if (tcb.state === ESTABLISHED) tcb.state = FIN_WAIT_1
    else if (tcb.state === CLOSE_WAIT) tcb.state = LAST_ACK
    this.#transmitter.transmit(tcb, now)
  }

  /**
   * The application means to read no more. What comes is queued all the same, as on Linux, until it has ended its own side too:
   * then new data resets the connection (RFC 1122 4.2.2.13).
   */
  shutdownReceive(tcb: Tcb): void {
    tcb.rcv.shut = true
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
      if (tcb.state === FIN_WAIT_2) this.timeWait.awaitFin(tcb, now)
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
    if (tcb.state === SYN_RECEIVED && tcb.listener !== null) this.#notHalfOpen(tcb, tcb.listener)
    this.window.close(tcb)
    this.timeWait.forget(tcb)
    tcb.state = CLOSED
    tcb.error = error
    this.timers.cancelAll(tcb)
    this.#flows.remove(tcb)
    tcb.rcv.ooo.clear()
    this.#payload.unpack(tcb.rcv)
    this.#transmitter.abandon(tcb)
    tcb.snd.clear()
    if (tcb.listener !== null) {
      const at = tcb.listener.ready.indexOf(tcb)
      if (at >= 0) tcb.listener.ready.splice(at, 1)
      tcb.listener = null
      tcb.orphaned = true
    }
    this.onEnd(tcb)
    // Not before it is no longer steered: a sibling may have the port at once.
    this.ports.end(tcb)
    if (tcb.orphaned) this.dropQueue(tcb)
    else this.raise(tcb, EVENT_CLOSED | EVENT_READABLE)
  }

  /** Frees everything in the receive queue. */
  dropQueue(tcb: Tcb): void {
    this.context.fragments.discardList(tcb.rcv.head)
    tcb.rcv.head = -1
    tcb.rcv.tail = -1
    tcb.rcv.queuedBytes = 0
    tcb.rcv.niovs = 0
    this.bulk.rows.forget(tcb)
  }

  // ---- what input asks for --------------------------------------------------------------------------------------

  /** Notes an event for the owner. */
  raise(tcb: Tcb, event: number): void {
    if (tcb.orphaned) return
    if (tcb.events === 0) this.ready.push(tcb)
    tcb.events |= event
  }

  /** SYN-RECEIVED becomes ESTABLISHED. False when the listener has no room: the peer will send again. */
  promote(tcb: Tcb, now: number): boolean {
    const listener = tcb.listener
    if (listener !== null && !tcb.fastOpened && listener.full) {
      this.context.counters.dropBacklog++
      return false
    }
    if (listener !== null) this.#notHalfOpen(tcb, listener)
    if (listener !== null && !tcb.fastOpened) {
      // What the listener's options are now, as on Linux, where the socket is made here.
      tcb.options = listener.options
      tcb.snd.limit = sendLimit(tcb.options, this.context.config)
    }
    tcb.state = ESTABLISHED
    if (!tcb.passive) this.ports.cameHome(tcb)
    this.context.link.confirm(tcb.remote, now)
    this.window.enter(tcb)
    this.#transmitter.established(tcb, now)
    tcb.snd.progressAt = now
    if (tcb.snd.finQueued) tcb.state = FIN_WAIT_1
    this.startKeepAlive(tcb, now)
    if (tcb.passive) this.context.counters.passiveOpens++
    if (listener !== null && !tcb.fastOpened) {
      listener.ready.push(tcb)
      this.announce(listener)
    } else this.raise(tcb, tcb.passive ? EVENT_WRITABLE : EVENT_CONNECTED)
    return true
  }

  #notHalfOpen(tcb: Tcb, listener: Listener): void {
    listener.halfOpen--
    if (tcb.fastOpened) listener.fastOpens--
  }

  /** Arms keepalive where the socket asks for it. @param since when the connection became idle */
  startKeepAlive(tcb: Tcb, now: number, since: number = now): void {
    if (!tcb.options.keepAlive || tcb.state < ESTABLISHED || tcb.state === TIME_WAIT || tcb.orphaned) return
    const idle = tcb.options.keepIdleUs || this.context.config.keepIdleUs
    this.timers.arm(tcb, TIMER_LIFE, Math.max(now, since + idle))
  }

  // ---- the end of a poll ----------------------------------------------------------------------------------------

  /** Sends the ACKs that are owed. @param more another burst follows at once: some may wait for it */
  flushAcks(now: number, more: boolean): void {
    this.acks.flush(now, more)
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
    if (which === TIMER_RETRANSMIT) this.#timeouts.fired(tcb, now)
    else if (which === TIMER_PACE) this.#transmitter.transmit(tcb, now)
    else if (which === TIMER_LIFE) {
      if (tcb.state === TIME_WAIT || (tcb.orphaned && tcb.state === FIN_WAIT_2)) this.end(tcb, 0)
      else this.#timeouts.keepAlive(tcb, now)
    } else if (tcb.state >= ESTABLISHED && tcb.rcv.unacked > 0) this.#output.sendAck(tcb, now)
  }

  // ---- inside ---------------------------------------------------------------------------------------------------

  #create(
    local: IpAddress,
    localPort: number,
    remote: IpAddress,
    remotePort: number,
    options: SocketOptions,
  ): Tcb {
    const { config } = this.context
    const tcb = new Tcb(this.#noHoles, sendLimit(options, config), options)
    tcb.local = local
    tcb.localPort = localPort
    tcb.remote = remote
    tcb.remotePort = remotePort
    this.#flows.add(tcb)
    this.window.open(tcb)
    return tcb
  }
}
