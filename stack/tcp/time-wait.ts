import { seqDiff, seqLe } from '../wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../wire/tcp.ts'
import type { AckScheduler } from './acks.ts'
import type { TcpContext } from './context.ts'
import type { Segment } from './segment.ts'
import { EVENT_READABLE, TIME_WAIT } from './state.ts'
import type { Tcb } from './tcb.ts'
import { type TcbTimers, TIMER_LIFE, TIMER_RETRANSMIT } from './tcb-timers.ts'
import type { TransmitterOwner } from './transmitter.ts'

/**
 * Connections that nobody holds any more and that only wait: in TIME-WAIT (RFC 9293 3.6.1) for what is still under way, in
 * FIN-WAIT-2 for the peer's FIN. They have a bound of their own, as on Linux (tcp_max_tw_buckets), so that what we close keeps
 * nobody out.
 */
export class TimeWait {
  readonly #owner: TransmitterOwner
  readonly #context: TcpContext
  readonly #timers: TcbTimers
  readonly #acks: AckScheduler
  /** In the order in which they came. */
  readonly #waiting = new Set<Tcb>()

  constructor(owner: TransmitterOwner, context: TcpContext, timers: TcbTimers, acks: AckScheduler) {
    this.#owner = owner
    this.#context = context
    this.#timers = timers
    this.#acks = acks
  }

  get count(): number {
    return this.#waiting.size
  }

  enter(tcb: Tcb, now: number): void {
    tcb.state = TIME_WAIT
    this.#timers.cancel(tcb, TIMER_RETRANSMIT)
    this.#restart(tcb, now)
    this.#owner.raise(tcb, EVENT_READABLE)
    this.#add(tcb)
  }

  /** It is in FIN-WAIT-2, and closed: the peer may take its time, but not for ever. */
  awaitFin(tcb: Tcb, now: number): void {
    this.#timers.arm(tcb, TIMER_LIFE, now + this.#context.config.finWait2Us)
    this.#add(tcb)
  }

  #add(tcb: Tcb): void {
    const { config, counters } = this.#context
    this.#waiting.add(tcb)
    if (this.#waiting.size <= config.maxTimeWait) return
    // One: each that comes makes one go.
    for (const oldest of this.#waiting) {
      counters.timeWaitOverflow++
      this.#owner.end(oldest, 0)
      break
    }
  }

  /** It has ended. */
  forget(tcb: Tcb): void {
    this.#waiting.delete(tcb)
  }

  /**
   * RFC 9293 3.10.7.4, with the answers of Linux (`tcp_timewait_state_process`): whatever is not the peer's last ACK once more is
   * told where the stream ended, and a segment that shows the peer to be there still makes the time begin anew.
   */
  segment(tcb: Tcb, segment: Segment, now: number): void {
    const { rcv } = tcb
    const { counters } = this.#context
    const { flags, options } = segment
    const ahead = seqDiff(segment.seq, rcv.nxt)
    const outdated = tcb.timestamps && options.hasTimestamps && rcv.predates(options.tsVal, now)
    if ((flags & RST) !== 0) {
      // RFC 5961 section 3.2; and one that is older than what was received means an earlier connection.
      if (outdated) counters.dropPaws++
      else if (ahead === 0) {
        counters.connectionsReset++
        this.#owner.end(tcb, 0)
      } else if (ahead > 0 && ahead < rcv.window()) this.#acks.challenge(tcb, now)
      else counters.dropOutOfWindow++
      return
    }
    const extent = segment.length + ((flags & FIN) !== 0 ? 1 : 0)
    if (outdated) counters.dropPaws++
    else if ((flags & SYN) !== 0) {
      this.#acks.challenge(tcb, now)
      return
    } else if ((flags & ACK) === 0) {
      counters.dropBadAck++
      return
    } else if (extent === 0 && ahead === 0) {
      if (tcb.timestamps && options.hasTimestamps && seqLe(segment.seq, rcv.lastAckSent)) {
        rcv.tsRecent = options.tsVal
        rcv.tsRecentAt = now
      }
      this.#restart(tcb, now)
      return
    } else if (extent > 0 && ahead + extent <= 0) counters.dropDuplicate++
    else if (extent > 0 && ahead < rcv.window()) counters.dropAfterShutdown++
    else counters.dropOutOfWindow++
    this.#restart(tcb, now)
    this.#acks.invalid(tcb, segment.length > 0, now)
  }

  #restart(tcb: Tcb, now: number): void {
    this.#timers.arm(tcb, TIMER_LIFE, now + this.#context.config.timeWaitUs)
  }
}
