import { Timer, type TimerWheel } from '../timers.ts'
import type { SharedPorts } from './shared-ports.ts'

/** More than a round trip. */
const HELD_US = 4_000_000

/**
 * Ports that attempts to connect have left. A reset is on its way to the peer, which has half a connection there, and answers of
 * the peer may be on theirs: nobody else is to begin from there meanwhile. If the reset was lost, the peer repeats its answer, and is
 * reset by whoever gets it.
 */
export class HeldPorts extends Timer {
  readonly #wheel: TimerWheel
  readonly #ports: SharedPorts
  /** In order of time. */
  readonly #held: { port: number; until: number }[] = []

  constructor(wheel: TimerWheel, ports: SharedPorts) {
    super()
    this.#wheel = wheel
    this.#ports = ports
  }

  /** Keeps a port that was taken, and gives it back later. @param now microseconds */
  hold(port: number, now: number): void {
    this.#held.push({ port, until: now + HELD_US })
    if (!this.armed) this.#wheel.arm(this, now + HELD_US)
  }

  override fire(now: number): void {
    let over = 0
    while (over < this.#held.length && this.#held[over]!.until <= now)
      this.#ports.release(this.#held[over++]!.port)
    this.#held.splice(0, over)
    if (this.#held.length > 0) this.#wheel.arm(this, this.#held[0]!.until)
  }
}
