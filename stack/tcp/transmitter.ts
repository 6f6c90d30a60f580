import { seqDiff, seqGt, seqLe, seqLt } from '../wire/seq.ts'
import { ACK, SYN, URG } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import type { TcpOutput } from './output.ts'
import { Outstanding, PHASE_OPEN } from './outstanding.ts'
import type { Recovery } from './recovery.ts'
import {
  TIMER_FOR_OVERRIDE,
  TIMER_FOR_PERSIST,
  TIMER_FOR_PROBE,
  TIMER_FOR_REORDERING,
  TIMER_FOR_TIMEOUT,
} from './sender.ts'
import { ESTABLISHED, SYN_RECEIVED, SYN_SENT, TIME_WAIT } from './state.ts'
import type { Tcb } from './tcb.ts'
import { type TcbTimers, TIMER_PACE, TIMER_RETRANSMIT } from './tcb-timers.ts'

/** Most segments in flight: a peer with a vast window and a tiny MSS may not make us remember more. */
const MAX_IN_FLIGHT = 65_536

/** RFC 8985 7.2: how long a peer may hold back the ACK of a single segment. */
const PEER_DELAYED_ACK_US = 200_000

/** RFC 9293 3.8.6.2.1: a small segment that silly window avoidance holds back leaves after this (0.1 to 1 s). */
const OVERRIDE_US = 200_000

/** RFC 6298 (5.7). */
const LEAST_RTO_AFTER_LOST_SYN_US = 3_000_000

/** Scoreboards that are kept for the next who sends: while there are few of them also larger ones, by segments. */
const MOST_IDLE = 1024
const SMALL_FLIGHT = 16
const MOST_IDLE_LARGE = 64
const LARGE_FLIGHT = 4096

/** Microseconds as `Sender.synAt` has them: 31 bits, not 0. */
function synTime(now: number): number {
  return now & 0x7fffffff || 1
}

/** How far ahead of its time a segment may leave when pacing: the timer ticks in milliseconds. */
const PACE_QUANTUM_US = 1000

/** What the sending half asks of the module. */
export interface TransmitterOwner {
  raise(tcb: Tcb, event: number): void
  end(tcb: Tcb, error: number): void
}

/** Decides what leaves when: lost segments first, then new ones, as windows, Nagle and the pacer allow. */
export class Transmitter {
  readonly #context: TcpContext
  readonly #output: TcpOutput
  readonly #recovery: Recovery
  readonly #timers: TcbTimers
  /** Lent to connections while they have something outstanding. */
  readonly #idle: Outstanding[] = []

  constructor(context: TcpContext, output: TcpOutput, recovery: Recovery, timers: TcbTimers) {
    this.#timers = timers
    this.#context = context
    this.#output = output
    this.#recovery = recovery
  }

  /** Sends our SYN or SYN,ACK, for the first time or again. */
  resendSyn(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const first = tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED
    const flags = tcb.state === SYN_SENT ? SYN : SYN | ACK
    if (this.#output.send(tcb, flags, snd.iss, 0, now) && first) {
      // Karn: a SYN that was sent twice times nothing.
      const at = synTime(now)
      if (snd.synAt === 0) snd.synAt = at
      else if (snd.synAt !== at) snd.synAt = -1
    }
    if (tcb.retransmitTimer === null) this.arm(tcb, TIMER_FOR_TIMEOUT, this.limited(tcb, now + snd.rto))
  }

  /** The handshake is over: takes its round trip, or what its failures say (RFC 6298 5.7, RFC 5681 3.1). */
  established(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (snd.synAt > 0) snd.measure((synTime(now) - snd.synAt) & 0x7fffffff)
    else if (snd.synAt < 0) {
      snd.cwnd = snd.mss
      snd.rto = Math.max(LEAST_RTO_AFTER_LOST_SYN_US, this.#context.config.initialRtoUs)
    }
    snd.retries = 0
    snd.smallEnd = snd.una
    this.#timers.cancel(tcb, TIMER_RETRANSMIT)
  }

  /** Sends what is lost, then what windows and buffer allow of what is new, then the FIN. */
  transmit(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if ((tcb.state < ESTABLISHED && !tcb.fastOpened) || tcb.state === TIME_WAIT) return
    if (snd.buffered === 0 && (!snd.finQueued || (snd.finSent && snd.una === snd.max))) return
    if (snd.out !== null && snd.out.flight.lostBytes > 0 && !this.#resendLost(tcb, snd.out, now)) return
    const noDelay = tcb.options.noDelay
    for (;;) {
      const inFlight = seqDiff(snd.nxt, snd.una)
      const unsent = snd.buffered - inFlight
      if (unsent <= 0) {
        // -1: the FIN is in flight, it takes one sequence number behind the last byte.
        if (unsent === 0 && snd.finQueued && !snd.finSent) this.#sendFin(tcb, inFlight, now)
        break
      }
      const window = snd.wnd - inFlight
      const full = this.#output.payloadLimit(tcb)
      const length = Math.min(full, unsent, window)
      if (length <= 0) {
        // RFC 9293 3.8.6.1: a closed window is probed, else a lost update would end everything.
        if (inFlight === 0 && tcb.retransmitTimer === null) this.arm(tcb, TIMER_FOR_PERSIST, now + snd.rto)
        break
      }
      const pipe = this.#recovery.pipe(tcb)
      if (pipe > 0 && pipe + length > snd.cwnd) {
        snd.out!.cwndLimited = true
        break
      }
      const last = length === unsent
      if (
        length < full &&
        !(last && snd.finQueued) &&
        !this.#maySendSmall(tcb, length, last, inFlight, noDelay)
      ) {
        // Nothing in flight whose ACK would bring us back here.
        if (inFlight === 0 && tcb.retransmitTimer === null)
          this.arm(tcb, TIMER_FOR_OVERRIDE, now + OVERRIDE_US)
        break
      }
      if (length === full && unsent > full && this.#sendSeveral(tcb, full, unsent, window, pipe, now))
        continue
      if (!this.#paced(tcb, now)) break
      // The FIN takes a number of the window too (RFC 9293 3.4).
      if (!this.#sendNew(tcb, length, last && snd.finQueued && length < window, now)) break
      if (snd.finSent) break
    }
  }

  /** Sends as many full segments as may leave in one frame for the device to cut. False when that are not at least two. */
  #sendSeveral(tcb: Tcb, full: number, unsent: number, window: number, pipe: number, now: number): boolean {
    const { snd } = tcb
    const large = this.#output.largePayload(tcb)
    if (large < 2 * full) return false
    const bytes = Math.min(large, unsent, window, snd.cwnd - pipe)
    const count = Math.floor(bytes / full)
    return count > 1 && this.#sendNew(tcb, count * full, false, now, full)
  }

  /** Sends a FIN behind everything, or waits for a window that has room for it. */
  #sendFin(tcb: Tcb, inFlight: number, now: number): void {
    const { snd } = tcb
    if (snd.wnd <= inFlight) {
      if (inFlight === 0 && tcb.retransmitTimer === null) this.arm(tcb, TIMER_FOR_PERSIST, now + snd.rto)
    } else if (this.#paced(tcb, now)) this.#sendNew(tcb, 0, true, now)
  }

  /** Sends the held-back small segment after all: the override timer fired. */
  sendHeldBack(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const inFlight = seqDiff(snd.nxt, snd.una)
    const length = Math.min(this.#output.payloadLimit(tcb), snd.buffered - inFlight, snd.wnd - inFlight)
    if (length > 0) this.#sendNew(tcb, length, false, now)
    this.transmit(tcb, now)
  }

  /** One segment beyond the congestion window, or the last one again: RFC 8985 7.3. */
  sendProbe(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null || out.flight.count === 0) return
    const { flight, rack } = out
    const inFlight = seqDiff(snd.nxt, snd.una)
    const unsent = snd.buffered - inFlight
    const length = Math.min(this.#output.payloadLimit(tcb), unsent, snd.wnd - inFlight)
    rack.probeResent = false
    if (
      length <= 0 ||
      !this.#sendNew(tcb, length, length === unsent && snd.finQueued && length < snd.wnd - inFlight, now)
    ) {
      rack.probeResent = true
      this.retransmit(tcb, flight.slot(flight.count - 1), now)
    }
    rack.probing = true
    rack.probeEnd = snd.nxt
    this.#context.counters.tailLossProbes++
  }

  /** A byte, or the FIN, beyond the closed window (RFC 9293 3.8.6.1). A byte is not counted as in flight. */
  probeWindow(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (snd.buffered === 0) {
      this.#sendNew(tcb, 0, true, now)
      return
    }
    if (!this.#output.send(tcb, ACK, snd.una, 1, now)) return
    this.#context.counters.windowProbes++
    const end = (snd.una + 1) | 0
    if (seqGt(end, snd.max)) snd.max = end
  }

  /** Sends a segment of the scoreboard again, in pieces where the path takes only smaller ones now. */
  retransmit(tcb: Tcb, slot: number, now: number): boolean {
    const { snd } = tcb
    const out = snd.out!
    const { flight } = out
    const end = flight.end[slot]!
    const withFin = snd.finSent && end === snd.max
    let seq = flight.seq[slot]!
    for (;;) {
      const left = seqDiff(end, seq) - (withFin ? 1 : 0)
      const length = Math.min(left, this.#output.payloadLimit(tcb))
      const skip = seqDiff(seq, snd.una)
      const fin = withFin && length === left
      const flags = this.#flags(tcb, seq, length > 0 && skip + length === snd.buffered, fin)
      if (!this.#output.send(tcb, flags, seq, length, now)) return false
      this.#context.counters.retransmits++
      seq = (seq + length) | 0
      if (length === left) break
    }
    out.prrOut += seqDiff(end, flight.seq[slot]!)
    flight.resent(slot, now)
    snd.lastSentAt = now
    return true
  }

  /** The connection is over. */
  abandon(tcb: Tcb): void {
    tcb.snd.out?.flight.clear()
    this.settle(tcb)
  }

  /** Gives the scoreboard back once nothing is outstanding. */
  settle(tcb: Tcb): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null || out.flight.count > 0) return
    snd.out = null
    out.end(snd)
    const { length } = out.flight.seq
    const most = length <= SMALL_FLIGHT ? MOST_IDLE : length <= LARGE_FLIGHT ? MOST_IDLE_LARGE : 0
    if (this.#idle.length < most) this.#idle.push(out)
    snd.shrink()
  }

  /** Arms the timer for what comes next: nothing, a probe, the reordering window or the retransmission timeout. */
  schedule(tcb: Tcb, now: number, restart: boolean): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null || out.flight.count === 0) {
      // A window probe or a held-back segment may still wait.
      const waits = snd.timerFor === TIMER_FOR_PERSIST || snd.timerFor === TIMER_FOR_OVERRIDE
      if (!waits) this.#timers.cancel(tcb, TIMER_RETRANSMIT)
      return
    }
    const { flight, rack } = out
    if (restart) out.timeoutAt = now + snd.rto
    const at = this.limited(tcb, out.timeoutAt)
    if (rack.wait > 0) {
      this.arm(tcb, TIMER_FOR_REORDERING, Math.min(at, now + rack.wait))
      return
    }
    const { config } = this.#context
    const mayProbe =
      config.rack && tcb.sack && out.phase === PHASE_OPEN && flight.sackedCount === 0 && !rack.probing
    if (mayProbe && snd.srtt > 0 && at === out.timeoutAt) {
      let wait = 2 * snd.srtt
      wait += flight.count === 1 ? PEER_DELAYED_ACK_US : 2000
      // RFC 8985 7.2: the probe comes no later than the timeout would, and then instead of it.
      this.arm(tcb, TIMER_FOR_PROBE, Math.min(at, snd.lastSentAt + wait))
      return
    }
    this.arm(tcb, TIMER_FOR_TIMEOUT, at)
  }

  /** The user's time limit may come before the timer would. */
  limited(tcb: Tcb, at: number): number {
    const limit = tcb.options.userTimeoutUs
    // A half-open connection has no user yet; and as on Linux a SYN is sent twice, whatever the limit.
    if (tcb.state < ESTABLISHED && (tcb.passive || tcb.snd.retries === 0)) return at
    return limit > 0 && tcb.snd.progressAt > 0 ? Math.min(at, tcb.snd.progressAt + limit) : at
  }

  /** Arms the retransmission timer for a purpose. */
  arm(tcb: Tcb, purpose: number, at: number): void {
    tcb.snd.timerFor = purpose
    this.#timers.arm(tcb, TIMER_RETRANSMIT, at)
  }

  /**
   * The path takes only smaller packets than we have sent: what is outstanding goes again in smaller pieces.
   * @param mtu largest IP packet, bytes
   */
  pathMtuChanged(tcb: Tcb, mtu: number, now: number): void {
    const { snd } = tcb
    const mss = this.#output.mssFor(tcb, mtu)
    if (mss >= snd.mss) return
    const was = snd.mss
    snd.mss = mss
    if (snd.cwnd < 2 * mss) snd.cwnd = 2 * mss
    if (snd.out === null) return
    const { flight } = snd.out
    // Not a sign of congestion (RFC 5681 does not apply): only what was too large is lost.
    for (let i = 0; i < flight.count; i++) {
      const slot = flight.slot(i)
      if (seqDiff(flight.end[slot]!, flight.seq[slot]!) > mss) flight.lose(slot)
    }
    snd.cwnd = Math.max(snd.cwnd, was)
    this.transmit(tcb, now)
    this.schedule(tcb, now, true)
  }

  /** Sends lost segments while the window lasts. False when it was used up, or nothing could leave. */
  #resendLost(tcb: Tcb, out: Outstanding, now: number): boolean {
    const { snd } = tcb
    const { flight } = out
    let any = false
    for (;;) {
      const slot = flight.nextLost()
      if (slot < 0) break
      const length = seqDiff(flight.end[slot]!, flight.seq[slot]!)
      const pipe = this.#recovery.pipe(tcb)
      if ((pipe > 0 && pipe + length > snd.cwnd) || !this.#paced(tcb, now)) {
        out.cwndLimited = true
        if (any || tcb.retransmitTimer === null) this.schedule(tcb, now, false)
        return false
      }
      if (!this.retransmit(tcb, slot, now)) {
        if (tcb.retransmitTimer === null) this.arm(tcb, TIMER_FOR_TIMEOUT, now + snd.rto)
        return false
      }
      this.#pace(tcb, length, now)
      any = true
    }
    if (any) this.schedule(tcb, now, false)
    return true
  }

  /**
   * Sends `length` bytes at SND.NXT for the first time.
   * @param segmentBytes not 0 = as segments of so many bytes each, in one frame
   */
  #sendNew(tcb: Tcb, length: number, fin: boolean, now: number, segmentBytes = 0): boolean {
    const { snd } = tcb
    const seq = snd.nxt
    const skip = seqDiff(seq, snd.una)
    if (snd.out !== null && snd.out.flight.count >= MAX_IN_FLIGHT) return false
    const flags = this.#flags(tcb, seq, length > 0 && skip + length === snd.buffered, fin)
    const full = this.#output.payloadLimit(tcb)
    const out = snd.out ?? this.#lend(tcb, now)
    if (!this.#output.send(tcb, flags, seq, length, now, segmentBytes)) {
      if (tcb.retransmitTimer === null) this.arm(tcb, TIMER_FOR_TIMEOUT, now + snd.rto)
      return false
    }
    const fresh = out.flight.count === 0
    const end = (seq + length + (fin ? 1 : 0)) | 0
    if (fin) snd.finSent = true
    const again = seqLe(end, snd.max)
    snd.nxt = end
    if (seqGt(end, snd.max)) snd.max = end
    if (length < full) snd.smallEnd = end
    if (segmentBytes === 0) out.flight.push(seq, end, now)
    else
      for (let sent = 0; sent < length; sent += segmentBytes)
        out.flight.push((seq + sent) | 0, (seq + sent + segmentBytes) | 0, now)
    out.prrOut += length
    snd.lastSentAt = now
    this.#pace(tcb, length, now)
    // A window probe may have carried it before.
    if (again) this.#context.counters.retransmits++
    if (fresh) snd.progressAt = now
    this.schedule(tcb, now, fresh || tcb.retransmitTimer === null)
    return true
  }

  /** The first segment after a pause. */
  #lend(tcb: Tcb, now: number): Outstanding {
    const { snd } = tcb
    const out = this.#idle.pop() ?? new Outstanding()
    out.begin(snd)
    snd.out = out
    if (snd.lastSentAt > 0 && now - snd.lastSentAt > snd.rto) {
      this.#recovery.idle(tcb, this.#output.initialWindow(snd.mss))
    }
    return out
  }

  /** RFC 9293 3.8.6.2.1 and 3.7.4: whether a segment that is not full may leave now. */
  #maySendSmall(tcb: Tcb, length: number, last: boolean, inFlight: number, noDelay: boolean): boolean {
    const { snd } = tcb
    if (!last) return inFlight === 0 && length >= snd.maxWnd >>> 1
    if (tcb.options.cork) return false
    // Nagle as amended by Minshall: no second small segment while one is unacknowledged.
    return noDelay || inFlight === 0 || !(seqGt(snd.smallEnd, snd.una) && seqLe(snd.smallEnd, snd.nxt))
  }

  #flags(tcb: Tcb, seq: number, push: boolean, fin: boolean): number {
    const { snd } = tcb
    const flags = this.#output.dataFlags(push, fin)
    return snd.urgent && seqLt(seq, tcb.seldom().sendUrgentEnd) ? flags | URG : flags
  }

  /** Whether the pacer lets a segment go; else it comes back on its own. */
  #paced(tcb: Tcb, now: number): boolean {
    const { snd } = tcb
    if (!this.#context.config.pacing || snd.srtt === 0 || snd.paceAt <= now + PACE_QUANTUM_US) return true
    if (tcb.seldom().paceTimer === null) this.#timers.arm(tcb, TIMER_PACE, snd.paceAt)
    return false
  }

  /** Twice the window per round trip in slow start, a quarter more than the window after it. */
  #pace(tcb: Tcb, length: number, now: number): void {
    const { snd } = tcb
    if (!this.#context.config.pacing || snd.srtt === 0) return
    const gain = snd.cwnd < snd.ssthresh ? 2 : 1.25
    snd.paceAt = Math.max(snd.paceAt, now) + (length * snd.srtt) / (snd.cwnd * gain)
  }
}
