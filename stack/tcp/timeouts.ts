import { seqDiff } from '../wire/seq.ts'
import { ACK } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import type { Flight } from './flight.ts'
import type { TcpOutput } from './output.ts'
import type { TcpParts } from './parts.ts'
import type { Recovery } from './recovery.ts'
import {
  TIMER_FOR_OVERRIDE,
  TIMER_FOR_PERSIST,
  TIMER_FOR_PROBE,
  TIMER_FOR_REORDERING,
  TIMER_FOR_TIMEOUT,
} from './sender.ts'
import { ECONNABORTED, EFAULT, ESTABLISHED, ETIMEDOUT, SYN_RECEIVED, SYN_SENT, TIME_WAIT } from './state.ts'
import type { Tcb } from './tcb.ts'
import { type TcbTimers, TIMER_LIFE } from './tcb-timers.ts'
import type { Transmitter, TransmitterOwner } from './transmitter.ts'

/** RFC 9293 3.8.3, R1: timeouts in a row after which the path is doubted. */
const DOUBT_AFTER = 3
/** Timeouts in a row of segments larger than that after which a black hole is suspected (RFC 4821 section 7.7). */
const BLACK_HOLE_AFTER = 2
/** MTUs tried in a black hole: what tunnels, IPv6 and ancient links carry. */
const BLACK_HOLE_MTUS = [1500, 1280, 1024, 576] as const

/** What happens when nothing does: retransmission (RFC 6298), probing, giving up, and keeping idle connections alive. */
export class Timeouts {
  readonly #owner: TransmitterOwner
  readonly #context: TcpContext
  readonly #output: TcpOutput
  readonly #transmitter: Transmitter
  readonly #recovery: Recovery
  readonly #timers: TcbTimers

  constructor(owner: TransmitterOwner, context: TcpContext, parts: TcpParts) {
    this.#owner = owner
    this.#context = context
    this.#output = parts.output
    this.#transmitter = parts.transmitter
    this.#recovery = parts.recovery
    this.#timers = parts.timers
  }

  /** The retransmission timer fired. */
  fired(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED) this.#handshake(tcb, now)
    else if (snd.timerFor === TIMER_FOR_REORDERING) {
      this.#recovery.lookAgain(tcb, now)
      this.#transmitter.transmit(tcb, now)
      this.#transmitter.schedule(tcb, now, snd.out !== null && now >= snd.out.timeoutAt)
    } else if (snd.timerFor === TIMER_FOR_PROBE) {
      this.#transmitter.sendProbe(tcb, now)
      // RFC 8985 7.3: the timeout counts from the probe.
      this.#transmitter.schedule(tcb, now, true)
    } else if (snd.timerFor === TIMER_FOR_OVERRIDE) this.#transmitter.sendHeldBack(tcb, now)
    else if (snd.timerFor === TIMER_FOR_PERSIST) this.#persist(tcb, now)
    else this.#retransmit(tcb, now)
  }

  /** RFC 9293 3.8.4: nothing was heard for long; asks the peer whether it is still there. */
  keepAlive(tcb: Tcb, now: number): void {
    const { options } = tcb
    const { config } = this.#context
    if (!options.keepAlive || tcb.state < ESTABLISHED || tcb.state === TIME_WAIT) return
    const idle = options.keepIdleUs || config.keepIdleUs
    const { snd } = tcb
    // While data or a FIN is outstanding, or waits for a window, its own timers speak to the peer, also when nobody holds the
    // connection any more.
    const busy = snd.una !== snd.max || snd.buffered > 0 || (snd.finQueued && !snd.finSent)
    const quietSince = Math.max(tcb.heardAt, snd.lastSentAt)
    if (busy || now - tcb.heardAt < idle) {
      if (tcb.rare !== null) tcb.rare.keepProbes = 0
      this.#timers.arm(tcb, TIMER_LIFE, (busy ? now : quietSince) + idle)
      return
    }
    const keepProbes = tcb.rare?.keepProbes ?? 0
    const tooLong = options.userTimeoutUs > 0 && now - tcb.heardAt >= options.userTimeoutUs
    if (
      (options.userTimeoutUs > 0 ? tooLong : keepProbes >= (options.keepCount || config.keepCount)) &&
      keepProbes > 0
    ) {
      this.#context.counters.connectionsTimedOut++
      this.#output.reset(tcb)
      this.#owner.end(tcb, tcb.softError || ETIMEDOUT)
      return
    }
    tcb.seldom().keepProbes++
    this.#context.counters.keepAlivesSent++
    this.#output.send(tcb, ACK, (snd.una - 1) | 0, 0, now)
    this.#timers.arm(tcb, TIMER_LIFE, now + (options.keepIntervalUs || config.keepIntervalUs))
  }

  #handshake(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { config } = this.#context
    const passive = tcb.state === SYN_RECEIVED && tcb.passive
    if (!this.#goesOn(tcb, now, passive ? config.synAckRetries : config.synRetries)) return
    snd.synAt = -1
    this.#backOff(tcb, now)
    this.#context.counters.retransmits++
    this.#transmitter.resendSyn(tcb, now)
    this.#transmitter.arm(tcb, TIMER_FOR_TIMEOUT, this.#transmitter.limited(tcb, now + snd.rto))
  }

  /** RFC 6298 section 5. */
  #retransmit(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (!this.#goesOn(tcb, now, this.#context.config.dataRetries)) return
    this.#backOff(tcb, now)
    const { out } = snd
    if (out !== null && out.flight.count > 0) {
      out.timeoutAt = now + snd.rto
      this.#recovery.timedOut(tcb, now)
      this.#suspectBlackHole(tcb, out.flight, now)
    }
    this.#transmitter.transmit(tcb, now)
    if (out !== null && out.flight.count > 0) this.#transmitter.schedule(tcb, now, true)
  }

  /** RFC 9293 3.8.6.1. */
  #persist(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const waits = snd.buffered > 0 || (snd.finQueued && !snd.finSent)
    if (snd.wnd > seqDiff(snd.nxt, snd.una) || !waits) {
      this.#transmitter.transmit(tcb, now)
      return
    }
    if (!this.#goesOn(tcb, now, this.#context.config.dataRetries)) return
    snd.backOff()
    this.#transmitter.probeWindow(tcb, now)
    // A FIN that serves as the probe is in flight now, with the timer that goes with that.
    if (snd.buffered === 0) return
    this.#transmitter.arm(tcb, TIMER_FOR_PERSIST, this.#transmitter.limited(tcb, now + snd.rto))
  }

  /** Counts a timeout. False when it was one too many, and the connection is over. */
  #goesOn(tcb: Tcb, now: number, retries: number): boolean {
    const { snd } = tcb
    if (!snd.intact) {
      this.#output.reset(tcb)
      this.#owner.end(tcb, EFAULT)
      return false
    }
    snd.retries++
    if (snd.progressAt === 0) snd.progressAt = now
    this.#context.counters.retransmitTimeouts++
    if (!this.#overdue(tcb, now, retries)) return true
    this.#giveUp(tcb)
    return false
  }

  /** RFC 9293 3.8.3, R2, or the time the user gave (3.9.1.1). */
  #overdue(tcb: Tcb, now: number, retries: number): boolean {
    const limit = tcb.options.userTimeoutUs
    const late = limit > 0 && now - tcb.snd.progressAt >= limit
    // An attempt ends at whichever comes first, but not before a second SYN, as on Linux; a half-open one has no user yet.
    if (tcb.state < ESTABLISHED)
      return tcb.snd.retries > retries || (late && !tcb.passive && tcb.snd.retries > 1)
    return limit > 0 ? late : tcb.snd.retries > retries
  }

  #giveUp(tcb: Tcb): void {
    const { counters } = this.#context
    if (tcb.state === SYN_RECEIVED) counters.halfOpenExpired++
    else counters.connectionsTimedOut++
    this.#owner.end(
      tcb,
      tcb.state === SYN_RECEIVED && tcb.passive ? ECONNABORTED : tcb.softError || ETIMEDOUT,
    )
  }

  #backOff(tcb: Tcb, now: number): void {
    const { snd } = tcb
    // RFC 1122 2.3.2.1: nothing comes back, so perhaps the neighbour has moved. The old address serves until it answers.
    if (snd.retries >= DOUBT_AFTER - 1 && this.#context.link.asks(tcb.local)) {
      this.#context.link.ask(tcb.local, tcb.remote, now)
    }
    snd.backOff()
  }

  /** Large segments vanish and nobody says why: try smaller ones. */
  #suspectBlackHole(tcb: Tcb, flight: Flight, now: number): void {
    const { snd } = tcb
    if (!this.#context.config.blackHoleDetection || snd.retries < BLACK_HOLE_AFTER) return
    const slot = flight.slot(0)
    const length = seqDiff(flight.end[slot]!, flight.seq[slot]!)
    for (const mtu of BLACK_HOLE_MTUS) {
      const mss = this.#output.mssFor(tcb, mtu)
      if (mss >= snd.mss) continue
      // Not a full one perhaps, where a write ended; but what would fit already is no reason.
      if (length <= mss) return
      this.#context.counters.blackHoles++
      this.#transmitter.pathMtuChanged(tcb, mtu, now)
      snd.cwnd = snd.mss
      return
    }
  }
}
