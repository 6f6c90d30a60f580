import { isUnicastWords } from '../../address.ts'
import { halfSipHash } from '../entropy.ts'
import { seqGt } from '../wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import { Ecn } from './ecn.ts'
import { FastOpen } from './fast-open.ts'
import type { Listeners } from './listeners.ts'
import { OutOfOrderQueue } from './out-of-order-queue.ts'
import type { TcpOutput } from './output.ts'
import type { TcpParts } from './parts.ts'
import type { Segment } from './segment.ts'
import { SocketOptions } from './socket-options.ts'
import { SYN_RECEIVED } from './state.ts'
import { type CookieContents, SynCookies } from './syn-cookies.ts'
import { type Listener, Tcb } from './tcb.ts'
import type { Transmitter } from './transmitter.ts'
import type { WindowKeeper } from './window.ts'

/** RFC 9293 3.7.1: what a peer takes that does not say. */
const DEFAULT_MSS_V4 = 536
const DEFAULT_MSS_V6 = 1220
/** Less than this makes us send dust (CVE-2019-11479). */
const LEAST_MSS = 64
/** How far a new incarnation's sequence numbers lie beyond the old one's (RFC 6191 section 2). */
const INCARNATION_STEP = 65_535 + 2

/** What the handshake asks of the module. */
export interface HandshakeOwner {
  create(segment: Segment, listener: Listener): Tcb
  /** Connections that count against `maxConnections`. */
  readonly living: number
  /** Data that came with a SYN is taken; see `TcpInput.synData`. */
  synData(tcb: Tcb, segment: Segment, now: number): void
  /** An ACK that made a connection by its cookie is processed like any other. */
  established(tcb: Tcb, segment: Segment, now: number): void
  announce(listener: Listener): void
  readonly ports: {
    /** Whether a segment that nobody here has a use for is a sibling's, to be dropped in silence (counted). */
    foreign(segment: Segment): boolean
  }
}

/** How connections begin: LISTEN and what both ends learn from the SYNs (RFC 9293 3.10.7.2, RFC 7323, RFC 6528). */
export class Handshake {
  readonly #owner: HandshakeOwner
  readonly #context: TcpContext
  readonly #listeners: Listeners
  readonly #output: TcpOutput
  readonly #transmitter: Transmitter
  readonly #window: WindowKeeper
  readonly #cookies: SynCookies
  readonly #fastOpen: FastOpen
  readonly #key0: number
  readonly #key1: number
  /** Stands in for connections that are only a cookie. */
  #scratch: Tcb | null = null

  constructor(owner: HandshakeOwner, context: TcpContext, parts: TcpParts, listeners: Listeners) {
    this.#owner = owner
    this.#context = context
    this.#listeners = listeners
    this.#output = parts.output
    this.#transmitter = parts.transmitter
    this.#window = parts.window
    this.#key0 = context.entropy()
    this.#key1 = context.entropy()
    this.#cookies = new SynCookies(context.entropy)
    this.#fastOpen = new FastOpen(context.entropy)
  }

  /**
   * A segment that belongs to no connection (RFC 9293 3.10.7.1 and 3.10.7.2).
   * @param after SND.MAX of the connection in TIME-WAIT that it follows; the new one begins beyond it
   */
  newcomer(segment: Segment, now: number, after?: number): void {
    const { counters, link } = this.#context
    const { version, source0, source1, source2, source3 } = segment
    // Neither from a group nor to one, on the link or beyond it (RFC 9293 3.9.2.3, RFC 1122 3.3.6).
    if (
      !isUnicastWords(version, source0, source1, source2, source3) ||
      (version === 4 && link.broadcasts.has(source3)) ||
      (this.#context.header()[0]! & 1) !== 0
    ) {
      counters.dropNotForUs++
      return
    }
    const listener = this.#listeners.find(segment)
    const flags = segment.flags & (SYN | ACK | RST | FIN)
    if (listener !== null) {
      segment.parseOptions(this.#context.header(), counters)
      if (segment.options.signed) {
        counters.dropSignature++
        return
      }
    }
    if (listener !== null && flags === SYN) this.#syn(listener, segment, now, after)
    else if (listener === null || (flags & ACK) !== 0) {
      if (listener !== null && (flags & (SYN | RST)) === 0 && this.#cookieAck(listener, segment, now)) return
      if (this.#owner.ports.foreign(segment)) return
      counters.dropNoSocket++
      this.#output.resetFor(segment, this.#context.header())
    } else counters.dropNoSocket++
  }

  /** Takes what the peer's SYN says. */
  negotiate(tcb: Tcb, segment: Segment, now: number): void {
    const { config } = this.#context
    const { rcv, snd } = tcb
    const options = segment.options
    rcv.irs = segment.seq
    rcv.nxt = (segment.seq + 1) | 0
    rcv.adv = rcv.nxt
    rcv.lastAckSent = rcv.nxt
    snd.wnd = segment.window
    snd.maxWnd = segment.window
    snd.wl1 = segment.seq
    const silent = segment.version === 4 ? DEFAULT_MSS_V4 : DEFAULT_MSS_V6
    snd.peerMss = Math.max(LEAST_MSS, options.mss === 0 ? silent : options.mss)
    this.#agree(tcb, segment, options.sackPermitted, options.windowScale, now)
    const { ecn } = config
    tcb.ecn = tcb.passive ? Ecn.accept(ecn, segment) : this.#agreed(tcb, segment)
  }

  /** What follows from the peer's options. @param windowScale -1: it does not scale */
  #agree(tcb: Tcb, segment: Segment, sack: boolean, windowScale: number, now: number): void {
    const { config } = this.#context
    const { rcv, snd } = tcb
    tcb.timestamps = config.timestamps && segment.options.hasTimestamps
    tcb.sack = config.sack && sack
    tcb.windowScaling = config.windowScaling && windowScale >= 0
    if (tcb.timestamps) {
      rcv.tsRecent = segment.options.tsVal
      rcv.tsRecentAt = now
    }
    rcv.shift = tcb.windowScaling ? this.#window.shift() : 0
    snd.shift = tcb.windowScaling ? windowScale : 0
    snd.mss = this.#output.pathMss(tcb, now)
    snd.cwnd = this.#output.initialWindow(snd.mss)
    tcb.heardAt = now
  }

  /** What an active open gets: nothing if only a SYN that no longer asked was answered (RFC 3168 6.1.1.1). */
  #agreed(tcb: Tcb, segment: Segment): Ecn | null {
    const { ecn } = this.#context.config
    // Both ends asked (simultaneous open): neither has answered yet.
    if ((segment.flags & ACK) === 0) return Ecn.accept(ecn === 'off' ? 'off' : 'accept', segment)
    return tcb.snd.retries > 0 ? null : Ecn.agreed(ecn, segment)
  }

  /** RFC 6528: a clock of 4 us plus a keyed hash of the addresses; and the offset of our timestamps (RFC 7323 5.4). */
  startSequence(tcb: Tcb, now: number, after?: number): void {
    const { local, remote, snd } = tcb
    const words = [local.w0, local.w1, local.w2, local.w3, remote.w0, remote.w1, remote.w2, remote.w3]
    const hash = halfSipHash(this.#key0, this.#key1, [...words, (tcb.localPort << 16) | tcb.remotePort])
    // The same for every connection of two hosts, so that timestamps never run backwards between them (RFC 6191).
    tcb.tsOffset = halfSipHash(this.#key1, this.#key0, words)
    snd.iss = (Math.floor(now / 4) + hash) | 0
    if (after !== undefined && !seqGt(snd.iss, (after + INCARNATION_STEP) | 0)) {
      snd.iss = (after + INCARNATION_STEP) | 0
    }
    this.#begin(tcb)
  }

  #begin(tcb: Tcb): void {
    const { snd } = tcb
    snd.una = snd.iss
    snd.nxt = (snd.iss + 1) | 0
    snd.max = snd.nxt
    snd.rto = this.#context.config.initialRtoUs
  }

  #syn(listener: Listener, segment: Segment, now: number, after: number | undefined): void {
    const { counters, config } = this.#context
    // RFC 9293 3.10.7.2: a connection nobody will have time for is not begun.
    if (listener.full) {
      counters.dropBacklog++
      return
    }
    if (listener.halfOpen >= config.maxHalfOpen || this.#owner.living >= config.maxConnections) {
      if (config.synCookies && this.#owner.living < config.maxConnections) this.#sendCookie(segment, now)
      else counters.dropBacklog++
      return
    }
    const tcb = this.#owner.create(segment, listener)
    tcb.learnMac(this.#context.header())
    listener.halfOpen++
    this.negotiate(tcb, segment, now)
    this.startSequence(tcb, now, after)
    if (listener.options.fastOpen > 0) this.#tryFastOpen(listener, tcb, segment, now)
    this.#transmitter.resendSyn(tcb, now)
  }

  /** RFC 7413 section 4.2.2: data in the SYN of a client that has shown before that it is where it says. */
  #tryFastOpen(listener: Listener, tcb: Tcb, segment: Segment, now: number): void {
    const { options } = segment
    if (options.fastOpenLength < 0) return
    const valid = this.#fastOpen.verify(segment, this.#context.header())
    if (!valid) {
      tcb.seldom().fastOpenCookie = this.#fastOpen.cookie(segment)
      return
    }
    if (segment.length === 0 || listener.fastOpens >= listener.options.fastOpen) return
    listener.fastOpens++
    tcb.seldom().fastOpened = true
    // What is sent before the handshake is over follows the SYN, which is resent on its own.
    tcb.snd.una = (tcb.snd.iss + 1) | 0
    this.#context.counters.fastOpens++
    this.#window.enter(tcb)
    listener.ready.push(tcb)
    this.#owner.announce(listener)
    this.#owner.synData(tcb, segment, now)
  }

  /** A SYN,ACK without a connection behind it. */
  #sendCookie(segment: Segment, now: number): void {
    const tcb = this.#scratchFor(segment)
    this.negotiate(tcb, segment, now)
    this.startSequence(tcb, now)
    const { snd, rcv } = tcb
    snd.iss = this.#cookies.make(segment, snd.peerMss, now)
    const offset = tcb.tsOffset
    if (tcb.timestamps) {
      const stamp = this.#cookies.stamp(this.#output.timestamp(tcb, now), {
        mss: 0,
        windowScale: tcb.windowScaling ? segment.options.windowScale : -1,
        sack: tcb.sack,
        // Never AccECN, which no bit is left for: a request of it is answered like one of classic ECN.
        ecn: tcb.ecn !== null,
      })
      tcb.tsOffset = (offset + stamp - this.#output.timestamp(tcb, now)) | 0
    } else {
      // Only what the cookie remembers is agreed to.
      tcb.sack = false
      tcb.windowScaling = false
      tcb.ecn = null
    }
    tcb.learnMac(this.#context.header())
    this.#output.send(tcb, SYN | ACK, snd.iss, 0, now)
    // Nothing is promised to who may never come.
    this.#window.close(tcb)
    rcv.promised = 0
    this.#context.counters.synCookiesSent++
  }

  /** Makes the connection that a cookie stood for. False when the ACK is of none. */
  #cookieAck(listener: Listener, segment: Segment, now: number): boolean {
    const { counters, config } = this.#context
    if (!config.synCookies) return false
    const contents = this.#cookies.check(segment, now)
    if (contents === null) return false
    if (this.#owner.living >= config.maxConnections || listener.full) {
      counters.dropBacklog++
      return true
    }
    counters.synCookiesTaken++
    const tcb = this.#owner.create(segment, listener)
    tcb.learnMac(this.#context.header())
    listener.halfOpen++
    this.#restore(tcb, segment, contents, now)
    this.#owner.established(tcb, segment, now)
    return true
  }

  #restore(tcb: Tcb, segment: Segment, contents: CookieContents, now: number): void {
    const { rcv, snd } = tcb
    this.startSequence(tcb, now)
    snd.iss = (segment.ack - 1) | 0
    this.#begin(tcb)
    rcv.irs = (segment.seq - 1) | 0
    rcv.nxt = segment.seq
    rcv.adv = (segment.seq + 65_535) | 0
    rcv.lastAckSent = rcv.nxt
    snd.wl1 = rcv.irs
    snd.peerMss = contents.mss
    this.#agree(tcb, segment, contents.sack, contents.windowScale, now)
    tcb.ecn = contents.ecn ? new Ecn(false) : null
  }

  #scratchFor(segment: Segment): Tcb {
    const { fragments, link } = this.#context
    this.#scratch ??= new Tcb(new OutOfOrderQueue(fragments, 0, true), 0, SocketOptions.default)
    const tcb = this.#scratch
    tcb.local = link.localOf(segment)
    tcb.localPort = segment.destinationPort
    tcb.remote = segment.source()
    tcb.remotePort = segment.sourcePort
    tcb.state = SYN_RECEIVED
    this.#window.open(tcb)
    return tcb
  }
}
