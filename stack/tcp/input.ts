import { seqDiff, seqGe, seqGt, seqLe, seqLt } from '../wire/seq.ts'
import { ACK, FIN, RST, SYN, URG } from '../wire/tcp.ts'
import type { AckScheduler } from './acks.ts'
import type { TcpBulk } from './bulk.ts'
import type { TcpContext } from './context.ts'
import { CE } from './ecn.ts'
import type { TcpOutput } from './output.ts'
import type { TcpParts } from './parts.ts'
import type { PayloadTaker } from './payload.ts'
import type { Reclaim } from './reclaim.ts'
import type { Recovery } from './recovery.ts'
import type { Segment } from './segment.ts'
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  ECONNREFUSED,
  ECONNRESET,
  EPIPE,
  ESTABLISHED,
  EVENT_WRITABLE,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from './state.ts'
import type { Tcb } from './tcb.ts'
import { TextInput } from './text-input.ts'
import type { TimeWait } from './time-wait.ts'
import type { Transmitter, TransmitterOwner } from './transmitter.ts'
import type { WindowKeeper } from './window.ts'

/** How far behind RCV.NXT a pure ACK may lie: reordering within the largest windows in use. */
const STALE_ACK_REACH = 1 << 24

/** What segments ask of the module. */
export interface InputOwner extends TransmitterOwner {
  readonly bulk: TcpBulk
  promote(tcb: Tcb, now: number): boolean
  negotiate(tcb: Tcb, segment: Segment, now: number): void
}

/** Segments for existing connections: RFC 9293 section 3.10.7 with the checks of RFC 5961 and RFC 7323. */
export class TcpInput {
  readonly #owner: InputOwner
  readonly #context: TcpContext
  readonly #output: TcpOutput
  readonly #payload: PayloadTaker
  readonly #transmitter: Transmitter
  readonly #recovery: Recovery
  readonly #window: WindowKeeper
  readonly #acks: AckScheduler
  readonly #timeWait: TimeWait
  readonly #text: TextInput

  constructor(owner: InputOwner, context: TcpContext, parts: TcpParts, reclaim: Reclaim) {
    this.#owner = owner
    this.#context = context
    this.#output = parts.output
    this.#payload = parts.payload
    this.#transmitter = parts.transmitter
    this.#recovery = parts.recovery
    this.#window = parts.window
    this.#acks = parts.acks
    this.#timeWait = parts.timeWait
    this.#text = new TextInput(owner, context, parts, reclaim)
  }

  /**
   * The expected data segment of an established connection: everything as the last one left it. Returns false, having
   * changed nothing, when this is anything else.
   */
  fast(tcb: Tcb, segment: Segment, now: number): boolean {
    const rcv = tcb.rcv
    const snd = tcb.snd
    const { memory } = this.#context
    if (
      tcb.state !== ESTABLISHED ||
      segment.seq !== rcv.nxt ||
      segment.length === 0 ||
      (segment.flags & (SYN | FIN | RST | URG | ACK)) !== ACK ||
      segment.ack !== snd.una ||
      // Of what is in flight, or waits for the window, this segment tells nothing.
      (snd.buffered !== 0 && (!snd.waits() || segment.window << snd.shift !== snd.wnd)) ||
      rcv.ooo.count !== 0 ||
      rcv.finSeen ||
      rcv.pack !== null ||
      rcv.shut ||
      rcv.lent ||
      (segment.ecn === CE && tcb.ecn !== null) ||
      segment.length > ((rcv.adv - rcv.nxt) | 0) ||
      !memory.roomy ||
      // The application is far behind, with little in many niovs: to be packed.
      (segment.length <= memory.smallBytes && rcv.niovs >= memory.thinNiovs)
    ) {
      return false
    }
    if (tcb.timestamps) {
      if (!segment.plainTimestamps || ((segment.tsVal - rcv.tsRecent) | 0) < 0) return false
      // RFC 7323 4.3 (2): the segment that the next ACK will begin at.
      if (seqLe(segment.seq, rcv.lastAckSent)) {
        rcv.tsRecent = segment.tsVal
        rcv.tsRecentAt = now
      }
      rcv.tsEcr = segment.tsEcr
    } else if (segment.optionsLength !== 0) return false
    const head = this.#payload.take(segment)
    if (head < 0) return false
    snd.wnd = segment.window << snd.shift
    snd.wl1 = segment.seq
    snd.wl2 = segment.ack
    this.#text.deliver(tcb, head, this.#payload.tail, segment.length, this.#payload.niovs)
    // CWR ends an echo, and counters count, on this way too; a mark itself does not come along it.
    tcb.ecn?.arrived(segment)
    this.#acks.owe(tcb, segment.length)
    if (rcv.quickAcks > 0) this.#acks.within(tcb, false, now)
    else if (tcb.row === 0) this.#owner.bulk.rows.want(tcb)
    return true
  }

  /** Everything else, in the order of RFC 9293 3.10.7. */
  slow(tcb: Tcb, segment: Segment, now: number): void {
    const { counters } = this.#context
    segment.parseOptions(this.#context.header(), counters)
    if (segment.options.signed) {
      counters.dropSignature++
      return
    }
    if (tcb.state === SYN_SENT) {
      this.#synSent(tcb, segment, now)
      return
    }
    if (tcb.state === TIME_WAIT) {
      this.#timeWait.segment(tcb, segment, now)
      return
    }
    if ((segment.flags & RST) !== 0) {
      this.#reset(tcb, segment, now)
      return
    }
    if (!this.#acceptable(tcb, segment, now)) return
    if (tcb.ecn?.arrived(segment)) this.#acks.soon(tcb)
    this.#learnMac(tcb)
    if ((segment.flags & SYN) !== 0) {
      // RFC 5961 section 4.2; a retransmitted SYN gets our SYN,ACK again.
      if (tcb.state === SYN_RECEIVED && segment.seq === tcb.rcv.irs) this.#repeatedSyn(tcb, segment, now)
      else this.#acks.challenge(tcb, now)
      return
    }
    if ((segment.flags & ACK) === 0) {
      counters.dropBadAck++
      return
    }
    if (!this.#processAck(tcb, segment, now)) return
    if ((segment.flags & URG) !== 0) this.#text.urgent(tcb, segment)
    if (this.#text.refused(tcb, segment)) return
    const gap = tcb.rcv.ooo.count > 0
    if (segment.length > 0) this.#text.data(tcb, segment)
    if ((segment.flags & FIN) !== 0) this.#text.fin(tcb, segment)
    this.#text.reachFin(tcb, now)
    if (segment.length > 0) this.#acks.within(tcb, gap || tcb.rcv.ooo.count > 0, now)
    if (tcb.state !== CLOSED) this.#transmitter.transmit(tcb, now)
  }

  /** Whether who sent this knows what we have sent lately. */
  #plausibleAck(tcb: Tcb, segment: Segment): boolean {
    const { snd } = tcb
    return (
      (segment.flags & ACK) !== 0 &&
      seqLe(segment.ack, snd.max) &&
      seqDiff(snd.una, segment.ack) <= Math.max(snd.maxWnd, 65_535)
    )
  }

  /** The peer's SYN again: our SYN,ACK was lost. With an ACK it is the crossing one of RFC 9293 figure 8, and opens. */
  #repeatedSyn(tcb: Tcb, segment: Segment, now: number): void {
    this.#doubtMac(tcb, now)
    if ((segment.flags & ACK) === 0) this.#transmitter.resendSyn(tcb, now)
    else if (this.#processAck(tcb, segment, now)) {
      this.#acks.soon(tcb)
      this.#transmitter.transmit(tcb, now)
    }
  }

  /**
   * At an address of the host's, a peer is answered where its frames come from; one that has moved, or whose address arrived
   * damaged, says so anew. At an address of our own ARP decides.
   */
  #learnMac(tcb: Tcb): void {
    const header = this.#context.header()
    // A group address is nobody's source.
    if ((header[6]! & 1) !== 0 || this.#context.link.isOwn(tcb.local)) return
    tcb.learnMac(header)
  }

  /** The peer repeats itself because our answers don't reach it: perhaps they go to the wrong place. */
  #doubtMac(tcb: Tcb, now: number): void {
    const { link } = this.#context
    if (link.isOwn(tcb.local)) link.ask(tcb.local, tcb.remote, now)
    else this.#learnMac(tcb)
  }

  /** First check: sequence number (with PAWS before it), answered with an ACK when it fails. */
  #acceptable(tcb: Tcb, segment: Segment, now: number): boolean {
    const rcv = tcb.rcv
    const counters = this.#context.counters
    const options = segment.options
    if (tcb.timestamps && options.hasTimestamps) {
      if (rcv.predates(options.tsVal, now)) {
        counters.dropPaws++
        this.#text.reportDuplicate(tcb, segment)
        this.#acks.invalid(tcb, segment.length > 0, now)
        return false
      }
    } else if (tcb.timestamps && (segment.flags & SYN) === 0) {
      // RFC 7323 3.2 would drop it. Linux does not: middleboxes take options away.
      counters.noTimestamp++
    }
    const window = rcv.window()
    const extent =
      segment.length + ((segment.flags & SYN) !== 0 ? 1 : 0) + ((segment.flags & FIN) !== 0 ? 1 : 0)
    const ahead = seqDiff(segment.seq, rcv.nxt)
    const inside =
      extent === 0
        ? ahead === 0 || (ahead > 0 && ahead < window)
        : ahead < window && seqDiff((segment.seq + extent) | 0, rcv.nxt) > 0
    // A bare FIN needs no memory: the end of the stream is heard through a closed window too.
    const bareFin = ahead === 0 && extent === 1 && (segment.flags & (FIN | SYN)) === FIN && !rcv.finished
    // A pure ACK that was overtaken by later data still acknowledges; so does one at the right edge.
    const staleAck = extent === 0 && ahead <= window && ahead > -STALE_ACK_REACH
    if (!inside && !bareFin && !staleAck) {
      if (this.#plausibleAck(tcb, segment)) this.#doubtMac(tcb, now)
      if (tcb.state === SYN_RECEIVED && (segment.flags & SYN) !== 0 && segment.seq === rcv.irs) {
        this.#repeatedSyn(tcb, segment, now)
        return false
      }
      const old = extent > 0 && seqDiff((segment.seq + extent) | 0, rcv.nxt) <= 0
      if (old) {
        counters.dropDuplicate++
        this.#text.reportDuplicate(tcb, segment)
      } else counters.dropOutOfWindow++
      // RFC 9293 3.10.7.4: the ACK of an old segment may still be news to us; and what only our closed window keeps out
      // still acknowledges, and points at urgent data.
      const shutOut = window === 0 && ahead === 0 && (segment.flags & SYN) === 0
      const mayTell = (old || shutOut) && (segment.flags & ACK) !== 0 && tcb.state >= ESTABLISHED
      const latest = seqGe((segment.seq + extent) | 0, rcv.lastAckSent)
      if (mayTell && this.#processAck(tcb, segment, now, latest)) {
        if (shutOut && (segment.flags & URG) !== 0) this.#text.urgent(tcb, segment)
        this.#transmitter.transmit(tcb, now)
      }
      if (tcb.state !== CLOSED) this.#acks.invalid(tcb, segment.length > 0, now)
      return false
    }
    // A keepalive probe looks like an overtaken ACK, and wants an answer.
    if (staleAck && ahead < 0) this.#acks.invalid(tcb, false, now)
    return true
  }

  /**
   * RFC 7323 4.3: the timestamp to echo is that of the segment the last ACK ended at. Only a segment whose ACK makes sense
   * may set it, or a forged one could make PAWS drop everything.
   */
  #takeTimestamp(tcb: Tcb, segment: Segment, now: number): void {
    const { rcv } = tcb
    const { options } = segment
    if (!tcb.timestamps || !options.hasTimestamps || !seqLe(segment.seq, rcv.lastAckSent)) return
    if (rcv.predates(options.tsVal, now)) return
    rcv.tsRecent = options.tsVal
    rcv.tsRecentAt = now
    if (segment.length > 0) rcv.tsEcr = options.tsEcr
  }

  /**
   * RFC 5961 section 3.2: only the exact sequence number resets, others in the window are challenged. It counts through a closed
   * window too (RFC 9293 3.10.7.4, MUST-66), and whatever text or FIN it has means nothing (SHLD-2).
   */
  #reset(tcb: Tcb, segment: Segment, now: number): void {
    const { counters } = this.#context
    const ahead = seqDiff(segment.seq, tcb.rcv.nxt)
    if (ahead !== 0 && !this.#resetsToo(tcb, segment, ahead)) {
      if (ahead < 0 || ahead >= tcb.rcv.window()) counters.dropOutOfWindow++
      else this.#acks.challenge(tcb, now)
      return
    }
    counters.connectionsReset++
    // Linux's errors (`tcp_reset`), but for SYN-RECEIVED: RFC 9293 tells nobody in CLOSING and LAST-ACK, where what was not
    // acknowledged may be lost.
    let error = ECONNRESET
    // Simultaneous open: the user is told as in SYN-SENT. A passive one goes back to LISTEN in silence.
    if (tcb.state === SYN_RECEIVED && !tcb.passive) error = ECONNREFUSED
    else if (tcb.state === CLOSE_WAIT) error = EPIPE
    this.#owner.end(tcb, error)
  }

  /**
   * Further numbers that Linux takes as exact (`tcp_validate_incoming`, `tcp_reset_check`): the right edge of what we have
   * acknowledged selectively, where a peer is whose ACK was lost, and that of the FIN, which macOS gives its resets.
   */
  #resetsToo({ state, rcv, sack }: Tcb, { seq }: Segment, ahead: number): boolean {
    if (ahead === -1) return state === CLOSE_WAIT || state === LAST_ACK || state === CLOSING
    return sack && ahead > 0 && rcv.ooo.blocks > 0 && seq === rcv.ooo.rightEdge()
  }

  /** RFC 7323 3.2, as Linux: the timestamp that a SYN,ACK echoes is one of ours, sent since we began. */
  #echoes(tcb: Tcb, { options }: Segment, now: number): boolean {
    if (!this.#context.config.timestamps || !options.hasTimestamps || options.tsEcr === 0) return true
    const tick = Math.floor(now / 1000)
    const age = tcb.echoAge(options.tsEcr, tick)
    return age >= 0 && age <= tick - Math.floor(tcb.snd.progressAt / 1000)
  }

  /** RFC 9293 3.10.7.3. */
  #synSent(tcb: Tcb, segment: Segment, now: number): void {
    const snd = tcb.snd
    const hasAck = (segment.flags & ACK) !== 0
    if (hasAck && (seqLe(segment.ack, snd.iss) || seqGt(segment.ack, snd.max))) {
      this.#context.counters.dropBadAck++
      this.#output.resetFor(segment, this.#context.header())
      return
    }
    if (hasAck && !this.#echoes(tcb, segment, now)) {
      this.#context.counters.dropPaws++
      this.#output.resetFor(segment, this.#context.header())
      return
    }
    if ((segment.flags & RST) !== 0) {
      if (hasAck) this.#owner.end(tcb, ECONNREFUSED)
      return
    }
    if ((segment.flags & SYN) === 0) return
    this.#owner.negotiate(tcb, segment, now)
    if (hasAck) {
      snd.una = segment.ack
      snd.nxt = segment.ack
      snd.wl1 = segment.seq
      snd.wl2 = segment.ack
      snd.wnd = segment.window
      this.#owner.promote(tcb, now)
      this.#acks.soon(tcb)
      // RFC 9293 3.10.7.3, fourth: other controls or text go on at the sixth step.
      this.synData(tcb, segment, now)
      this.#transmitter.transmit(tcb, now)
    } else {
      // Simultaneous open.
      tcb.state = SYN_RECEIVED
      this.#transmitter.resendSyn(tcb, now)
    }
  }

  /** Text and FIN of a segment whose SYN has been taken. */
  synData(tcb: Tcb, segment: Segment, now: number): void {
    segment.seq = (segment.seq + 1) | 0
    segment.flags &= ~SYN
    if (tcb.rcv.adv === tcb.rcv.nxt) tcb.rcv.adv = (tcb.rcv.nxt + this.#window.initial(tcb)) | 0
    const gap = tcb.rcv.ooo.count > 0
    if (segment.length > 0) this.#text.data(tcb, segment)
    if ((segment.flags & FIN) !== 0) this.#text.fin(tcb, segment)
    this.#text.reachFin(tcb, now)
    if (segment.length > 0) this.#acks.within(tcb, gap || tcb.rcv.ooo.count > 0, now)
  }

  /**
   * Fifth check: the ACK field. False when the segment needs no further processing.
   * @param timely it passed the first check, or is the latest segment once more. Only then its timestamp counts (RFC 7323 5.3, R2
   * before R3; the bound is Linux's): that of an older one, sent again for nothing, would make PAWS drop later segments that it
   * overtook.
   */
  #processAck(tcb: Tcb, segment: Segment, now: number, timely = true): boolean {
    const snd = tcb.snd
    const ack = segment.ack
    const opening = tcb.state === SYN_RECEIVED
    if (opening) {
      if (seqLe(ack, snd.iss) || seqGt(ack, snd.max)) {
        this.#context.counters.dropBadAck++
        this.#output.resetFor(segment, this.#context.header())
        return false
      }
      if (!this.#owner.promote(tcb, now)) return false
      snd.una = (snd.iss + 1) | 0
      snd.wl1 = (segment.seq - 1) | 0
    }
    if (!this.#plausibleAck(tcb, segment)) {
      // RFC 5961 section 5.2.
      this.#context.counters.dropBadAck++
      this.#acks.challenge(tcb, now)
      return false
    }
    tcb.heardAt = now
    if (tcb.rare !== null) tcb.rare.keepProbes = 0
    if (timely) this.#takeTimestamp(tcb, segment, now)
    const window = segment.window << snd.shift
    const acked = Math.max(0, seqDiff(ack, snd.una))
    const duplicate =
      ack === snd.una &&
      snd.una !== snd.max &&
      segment.length === 0 &&
      (segment.flags & FIN) === 0 &&
      window === snd.wnd
    if (acked > 0) this.#advance(tcb, acked, now)
    if (
      seqGe(ack, snd.una) &&
      (seqLt(snd.wl1, segment.seq) || (snd.wl1 === segment.seq && seqLe(snd.wl2, ack)))
    ) {
      if (snd.wnd === 0 && window > 0) {
        snd.clearBackoff()
        // What waited for the window is only sent now.
        snd.progressAt = now
      }
      snd.wnd = window
      snd.wl1 = segment.seq
      snd.wl2 = ack
      if (window > snd.maxWnd) snd.maxWnd = window
    }
    // RFC 9293 3.8.6.1: a peer that answers our probes is alive, however long its window stays closed; but nobody waits for
    // an orphan, which a peer could keep for ever that way.
    if ((window === 0 && !tcb.orphaned) || snd.una === snd.max) snd.retries = 0
    // RFC 3168 6.1.2: an ACK that echoes a mark does not let the window grow before it shrinks.
    if (tcb.ecn?.congested(segment, opening)) this.#recovery.marked(tcb, acked, now)
    this.#recovery.ack(tcb, segment, acked, duplicate, now)
    this.#transmitter.schedule(tcb, now, acked > 0)
    this.#transmitter.settle(tcb)
    return this.#afterAck(tcb, now)
  }

  /** SND.UNA moves: what was acknowledged need not be kept. */
  #advance(tcb: Tcb, acked: number, now: number): void {
    const { snd } = tcb
    // The rest is the FIN.
    const bytes = Math.min(acked, snd.buffered)
    if (bytes > 0) snd.discard(bytes)
    snd.una = (snd.una + acked) | 0
    if (seqLt(snd.nxt, snd.una)) snd.nxt = snd.una
    // Answered after all: so the next hop hears us (RFC 4861 7.3.1).
    if (snd.retries > 0) this.#context.link.confirm(tcb.remote, now)
    snd.retries = 0
    snd.progressAt = now
    tcb.softError = 0
    if (snd.urgent && seqGe(snd.una, tcb.seldom().sendUrgentEnd)) snd.urgent = false
    // Even what can't be timed ends the doubling.
    snd.clearBackoff()
    if (snd.wantsRoom && snd.room() * 3 >= snd.limit) {
      snd.wantsRoom = false
      this.#owner.raise(tcb, EVENT_WRITABLE)
    }
  }

  /** What an acknowledged FIN changes. */
  #afterAck(tcb: Tcb, now: number): boolean {
    const finAcked = tcb.snd.finSent && tcb.snd.una === tcb.snd.max
    if (!finAcked) return true
    if (tcb.state === FIN_WAIT_1) {
      tcb.state = FIN_WAIT_2
      if (tcb.orphaned) this.#timeWait.awaitFin(tcb, now)
    } else if (tcb.state === CLOSING) {
      this.#timeWait.enter(tcb, now)
    } else if (tcb.state === LAST_ACK) {
      this.#owner.end(tcb, 0)
      return false
    }
    return true
  }
}
