import type { Stack } from '../../stack/stack.ts'

/** What sleepers need of the kernel: `Kernel` says more of each. */
interface SleepersHost {
  readonly stacks: readonly Stack[]
  readonly now: number
  nextDeadline(): number
  /** How often it has polled. */
  readonly polls: number
  poll(): number
}

/** Bursts taken for nobody at a time: those that an ACK may wait for (`AckScheduler`), and the one that ends it; others want their turn. */
const MOST_POLLS = 8

/** Somebody who sleeps until there is something for him. */
export interface Sleeper {
  /** Entering would bring completions, or there are some; null: nobody but devices and timers wakes him. */
  readonly wakes: (() => boolean) | null
}

/** Who sleeps in the event loop: woken by a frame, a timer, or by what somebody else's work has brought. */
export class Sleepers {
  readonly #host: SleepersHost
  readonly #armed = new Map<Sleeper, () => void>()
  /** Those that do not keep the process alive. */
  readonly #weak = new Set<Sleeper>()
  #keepsAlive = true
  #timer: NodeJS.Timeout | null = null
  /** What the timer waits for, microseconds of the stacks' clock. */
  #timerAt = Number.POSITIVE_INFINITY
  readonly #fire = (): void => this.fire()
  readonly #expire = (): void => {
    this.#timer = null
    this.#timerAt = Number.POSITIVE_INFINITY
    this.fire()
  }

  constructor(host: SleepersHost) {
    this.#host = host
  }

  /** See `Kernel.arm`. */
  arm(sleeper: Sleeper, callback: (() => void) | null): void {
    if (callback === null) this.#armed.delete(sleeper)
    else this.#armed.set(sleeper, callback)
    const { stacks } = this.#host
    const anybody = this.#armed.size > 0
    if (anybody) this.#hold()
    for (let i = 0; i < stacks.length; i++) stacks[i]!.nic.arm(anybody ? this.#fire : null)
    const deadline = anybody ? this.#host.nextDeadline() : Number.POSITIVE_INFINITY
    if (deadline === this.#timerAt) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerAt = deadline
    if (deadline === Number.POSITIVE_INFINITY) return
    const ms = Math.ceil((deadline - this.#host.now) / 1000)
    this.#timer = setTimeout(this.#expire, Math.min(2 ** 31 - 1, Math.max(0, ms)))
    if (!this.#keepsAlive) this.#timer.unref()
  }

  /** Whether this sleeper keeps the process alive while it is armed. */
  keepAlive(sleeper: Sleeper, on: boolean): void {
    if (on) this.#weak.delete(sleeper)
    else this.#weak.add(sleeper)
    if (this.#armed.size > 0) this.#hold()
  }

  /** One of those that sleep keeps the process alive, or none. */
  #hold(): void {
    let holds = this.#weak.size === 0
    if (!holds) for (const sleeper of this.#armed.keys()) holds ||= !this.#weak.has(sleeper)
    if (holds === this.#keepsAlive) return
    this.#keepsAlive = holds
    for (const { nic } of this.#host.stacks) nic.keepAlive?.(holds)
    if (holds) this.#timer?.ref()
    else this.#timer?.unref()
  }

  /**
   * As an interrupt would: whoever sleeps is woken, and the stacks work. Who is woken enters his ring as a rule, and what the stacks
   * receive then can be completed at once; where nobody does, they work all the same, as peers wait for answers.
   */
  fire(): void {
    if (this.#armed.size === 0) return
    const woken = [...this.#armed.values()]
    this.#armed.clear()
    const { polls } = this.#host
    try {
      for (const callback of woken) callback()
    } finally {
      if (this.#host.polls === polls) this.#workForNobody()
    }
  }

  #workForNobody(): void {
    for (let i = 0; i < MOST_POLLS && this.#host.poll() > 0; i++);
  }

  /** Somebody has polled who was awake: what that brought for those that sleep wakes them. */
  lookAfter(): void {
    for (const [sleeper, callback] of this.#armed) {
      if (sleeper.wakes?.() !== true) continue
      this.#armed.delete(sleeper)
      setImmediate(callback)
    }
  }

  get anybody(): boolean {
    return this.#armed.size > 0
  }
}
