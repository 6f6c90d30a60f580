import { KeptList } from '../kept-list.ts'
import { TICK_US, Timer } from '../timers.ts'
import type { TcpContext } from './context.ts'
import type { TcpOutput } from './output.ts'
import { LISTED_HELD, LISTED_TOUCHED } from './receiver.ts'
import { CLOSED } from './state.ts'
import type { Tcb } from './tcb.ts'
import { type TcbTimers, TIMER_ACK } from './tcb-timers.ts'

/** Segments behind a hole that are acknowledged two by two, whatever the burst holds. */
const QUICK_ACKS_AFTER_LOSS = 256

/** Bursts in a row behind which an ACK may wait for the next one, and the window that a peer must have left meanwhile, in `stretchAckBytes`. */
const MOST_HELD = 4
const LEFT_MEANWHILE = 2

/** Ends the waiting where no other burst comes: whoever polls may sleep when he has what he waited for, and goes by the timers then. */
class HeldTimer extends Timer {
  readonly #acks: AckScheduler

  constructor(acks: AckScheduler) {
    super()
    this.#acks = acks
  }

  override fire(now: number): void {
    this.#acks.release(now)
  }
}

/**
 * When ACKs leave: one per connection at the end of a burst, delayed where RFC 9293 3.8.6.3 allows it. When more has come in than a burst
 * takes, a connection that brought less than `stretchAckBytes` waits for what it has in the next burst: as if the burst had been larger.
 */
export class AckScheduler {
  readonly #context: TcpContext
  readonly #output: TcpOutput
  readonly #timers: TcbTimers
  /** Connections that may owe an ACK. */
  readonly #touched = new KeptList<Tcb>()
  /** Those whose ACK waits for the next burst, and bursts in a row that have left some. */
  readonly #held = new KeptList<Tcb>()
  #heldFor = 0
  readonly #heldTimer: HeldTimer = new HeldTimer(this)
  #challengeSecond = 0
  #challengesLeft = 0

  constructor(context: TcpContext, output: TcpOutput, timers: TcbTimers) {
    this.#timers = timers
    this.#context = context
    this.#output = output
  }

  /** Data arrived: an ACK is owed by the end of this poll for two full segments, or later. */
  owe(tcb: Tcb, bytes: number): void {
    const rcv = tcb.rcv
    // A frame larger than a segment (segmentation offload) stands for several.
    rcv.unacked += bytes >= 2 * tcb.snd.mss ? 2 : 1
    if (rcv.quickAcks > 0) {
      rcv.quickAcks--
      rcv.ackNow = true
    }
    this.#touch(tcb)
  }

  /** `owe` for several segments at once, of a connection that is not acknowledged quickly. @param segments weighed as there */
  oweSeveral(tcb: Tcb, segments: number): void {
    tcb.rcv.unacked += segments
    this.#touch(tcb)
  }

  /** An ACK is owed at the end of this poll. */
  soon(tcb: Tcb): void {
    tcb.rcv.ackNow = true
    this.#touch(tcb)
  }

  /**
   * Called behind each segment with data, within a burst. Around a hole every segment is answered (RFC 5681 4.2), and for a
   * while after one every second, as at the start of a connection: a sender whose window is small goes by each ACK, and
   * one for a whole window, when it is lost, stops it.
   */
  within(tcb: Tcb, gap: boolean, now: number): void {
    const rcv = tcb.rcv
    tcb.heardAt = now
    if (gap) rcv.quickAcks = QUICK_ACKS_AFTER_LOSS
    if (tcb.state === CLOSED || !rcv.ackNow || !(gap || (rcv.quickAcks > 0 && rcv.unacked >= 2))) return
    if (tcb.ackTimer !== null) this.#timers.cancel(tcb, TIMER_ACK)
    this.#output.sendAck(tcb, now)
  }

  /**
   * Answers a segment that can't be accepted. Without data in it the answer is rate-limited per connection: two ends that
   * disagree would else acknowledge each other for ever.
   */
  invalid(tcb: Tcb, hasData: boolean, now: number): void {
    if (hasData || this.#mayAnswer(tcb, Math.floor(now / 1_000_000))) this.soon(tcb)
  }

  /** A challenge ACK (RFC 5961), rate-limited per connection and over all. */
  challenge(tcb: Tcb, now: number): void {
    const { config, counters, entropy } = this.#context
    const second = Math.floor(now / 1_000_000)
    if (!this.#mayAnswer(tcb, second)) return
    if (second !== this.#challengeSecond) {
      this.#challengeSecond = second
      // RFC 5961 section 10 with a random share, so that the limit can't be used to probe (CVE-2016-5696).
      const limit = config.challengeAcksPerSecond
      this.#challengesLeft = (limit >>> 1) + ((entropy() >>> 0) % Math.max(1, limit))
    }
    if (this.#challengesLeft-- <= 0) return
    counters.challengeAcks++
    this.soon(tcb)
  }

  #mayAnswer(tcb: Tcb, second: number): boolean {
    const rare = tcb.seldom()
    if (rare.invalidSecond !== second) {
      rare.invalidSecond = second
      rare.invalidAcks = 0
    }
    return rare.invalidAcks++ < this.#context.config.invalidAcksPerSecond
  }

  /**
   * Sends the ACKs that are owed: one per connection however many segments the burst held. @param more another burst follows at once
   */
  flush(now: number, more: boolean): void {
    const touched = this.#touched
    const { stretchAckBytes } = this.#context.config
    const hold = more && stretchAckBytes > 0 && this.#heldFor < MOST_HELD
    for (let i = 0; i < touched.count; i++) {
      const tcb = touched.items[i]!
      const rcv = tcb.rcv
      rcv.listed &= ~LISTED_TOUCHED
      // Not for what only answers a segment that was not taken: that may be anybody's.
      if (rcv.unacked > 0) tcb.heardAt = now
      if (
        hold &&
        !rcv.ackNow &&
        rcv.unacked > 0 &&
        ((rcv.nxt - rcv.lastAckSent) | 0) < stretchAckBytes &&
        rcv.window() > LEFT_MEANWHILE * stretchAckBytes
      ) {
        if ((rcv.listed & LISTED_HELD) === 0) {
          rcv.listed |= LISTED_HELD
          this.#held.add(tcb)
        }
      } else this.#answer(tcb, now)
    }
    touched.clear()
    if (!hold || this.#held.count === 0) {
      this.release(now)
      return
    }
    this.#heldFor++
    if (!this.#heldTimer.armed) this.#context.wheel.arm(this.#heldTimer, now + TICK_US)
  }

  /** Nothing follows: what waited for another burst is answered. */
  release(now: number): void {
    const held = this.#held
    this.#heldFor = 0
    if (held.count === 0) return
    this.#context.wheel.cancel(this.#heldTimer)
    for (let i = 0; i < held.count; i++) {
      const tcb = held.items[i]!
      tcb.rcv.listed &= ~LISTED_HELD
      this.#answer(tcb, now)
    }
    held.clear()
  }

  #touch(tcb: Tcb): void {
    if ((tcb.rcv.listed & LISTED_TOUCHED) !== 0) return
    tcb.rcv.listed |= LISTED_TOUCHED
    this.#touched.add(tcb)
  }

  #answer(tcb: Tcb, now: number): void {
    const rcv = tcb.rcv
    if (tcb.state === CLOSED || (!rcv.ackNow && rcv.unacked === 0)) return
    if (rcv.ackNow || rcv.unacked >= 2) {
      if (tcb.ackTimer !== null) this.#timers.cancel(tcb, TIMER_ACK)
      this.#output.sendAck(tcb, now)
    } else if (tcb.ackTimer === null) {
      this.#timers.arm(tcb, TIMER_ACK, now + this.#context.config.delayedAckUs)
    }
  }
}
