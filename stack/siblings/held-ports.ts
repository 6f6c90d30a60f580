import { Timer, type TimerWheel } from '../timers.ts'
import type { SharedPorts } from './shared-ports.ts'

/** As long as a peer repeats a SYN,ACK that nobody answers: Linux five times, 63 s in all. */
const HELD_US = 64_000_000

/**
 * Ports that attempts to connect have left. The peer has half a connection there, and repeats its answer: it would be reset by
 * whoever gets it, and disturb who connected to that peer from that port.
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
