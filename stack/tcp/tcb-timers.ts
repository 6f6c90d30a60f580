import { Timer, type TimerWheel } from '../timers.ts'
import type { Tcb } from './tcb.ts'

/** Which of a connection's timers. */
export const TIMER_RETRANSMIT = 0
export const TIMER_ACK = 1
export const TIMER_LIFE = 2
export const TIMER_PACE = 3

/** What a connection's timers do when they fire; the TCP module implements it. */
export interface TimerHandler {
  onTimer(tcb: Tcb, which: number, now: number): void
}

class TcbTimer extends Timer {
  tcb: Tcb | null = null
  which = 0
  readonly #owner: TcbTimers

  constructor(owner: TcbTimers) {
    super()
    this.#owner = owner
  }

  override fire(now: number): void {
    this.#owner.fired(this, now)
  }
}

/**
 * The timers of all connections. A timer object belongs to a connection only while it is armed, so that idle connections
 * have none; arming and cancelling stay O(1).
 */
export class TcbTimers {
  readonly #wheel: TimerWheel
  readonly #handler: TimerHandler
  readonly #free: TcbTimer[] = []

  constructor(wheel: TimerWheel, handler: TimerHandler) {
    this.#wheel = wheel
    this.#handler = handler
  }

  /** Arms, or moves, a timer. @param at microseconds */
  arm(tcb: Tcb, which: number, at: number): void {
    let timer = this.#of(tcb, which)
    if (timer === null) {
      timer = this.#free.pop() ?? new TcbTimer(this)
      timer.tcb = tcb
      timer.which = which
      this.#put(tcb, which, timer)
    }
    this.#wheel.arm(timer, at)
  }

  cancel(tcb: Tcb, which: number): void {
    const timer = this.#of(tcb, which)
    if (timer === null) return
    this.#wheel.cancel(timer)
    this.#release(timer as TcbTimer)
  }

  /** Cancels all timers of a connection. */
  cancelAll(tcb: Tcb): void {
    for (let which = TIMER_RETRANSMIT; which <= TIMER_PACE; which++) this.cancel(tcb, which)
  }

  fired(timer: TcbTimer, now: number): void {
    const { tcb, which } = timer
    this.#release(timer)
    this.#handler.onTimer(tcb!, which, now)
  }

  #release(timer: TcbTimer): void {
    this.#put(timer.tcb!, timer.which, null)
    timer.tcb = null
    if (this.#free.length < 1024) this.#free.push(timer)
  }

  #of(tcb: Tcb, which: number): TcbTimer | null {
    if (which === TIMER_RETRANSMIT) return tcb.retransmitTimer as TcbTimer | null
    if (which === TIMER_ACK) return tcb.ackTimer as TcbTimer | null
    return (which === TIMER_LIFE ? tcb.lifeTimer : (tcb.rare?.paceTimer ?? null)) as TcbTimer | null
  }

  #put(tcb: Tcb, which: number, timer: TcbTimer | null): void {
    if (which === TIMER_RETRANSMIT) tcb.retransmitTimer = timer
    else if (which === TIMER_ACK) tcb.ackTimer = timer
    else if (which === TIMER_LIFE) tcb.lifeTimer = timer
    else tcb.seldom().paceTimer = timer
  }
}
