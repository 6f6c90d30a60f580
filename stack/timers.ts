/**
 * A hierarchical timing wheel (Varghese and Lauck 1987): arming and cancelling cost O(1) whatever the number of timers.
 * Four levels of 256 slots over a tick of 1 ms reach 49 days. Timers are intrusive list nodes, made once per owner.
 */

const SLOT_BITS = 8
const SLOTS = 1 << SLOT_BITS
const LEVELS = 4
/** Microseconds per tick. */
export const TICK_US = 1000
/** Longest delay in ticks; later deadlines are cut to it. */
const MAX_TICKS = 2 ** 32 - SLOTS - 1

/** One timer. Subclass it and override `fire`, so that no closure is made per arming. */
export abstract class Timer {
  /** Tick at which it fires; -1 when not armed. */
  tick = -1
  next: Timer | null = null
  previous: Timer | null = null
  slot = -1

  get armed(): boolean {
    return this.slot >= 0
  }

  /** Called once when due; the timer is no longer armed then and may be armed again. */
  abstract fire(now: number): void
}

export class TimerWheel {
  readonly #heads: (Timer | null)[] = new Array(SLOTS * LEVELS).fill(null)
  /** Armed timers per slot would cost a write per arming; a bitmap per level finds the next busy slot instead. */
  readonly #busy = new Uint32Array((SLOTS * LEVELS) / 32)
  #tick: number
  #armed = 0

  /** @param now microseconds */
  constructor(now: number) {
    this.#tick = Math.floor(now / TICK_US)
  }

  /** Timers armed now. */
  get armed(): number {
    return this.#armed
  }

  /** Fires no earlier than `deadline` (microseconds), and within one tick after it when `advance` is called in time. */
  arm(timer: Timer, deadline: number): void {
    if (timer.slot >= 0) this.cancel(timer)
    const tick = Math.max(this.#tick + 1, Math.ceil(deadline / TICK_US))
    timer.tick = Math.min(tick, this.#tick + MAX_TICKS)
    this.#armed++
    this.#insert(timer)
  }

  cancel(timer: Timer): void {
    if (timer.slot < 0) return
    this.#unlink(timer)
    timer.tick = -1
    this.#armed--
  }

  /** Fires everything that is due at `now` (microseconds). */
  advance(now: number): void {
    const target = Math.floor(now / TICK_US)
    if (this.#armed === 0) {
      if (target > this.#tick) this.#tick = target
      return
    }
    while (this.#tick < target) {
      const quiet = this.#quietTicks(target)
      if (quiet > 0) {
        this.#tick += quiet
        continue
      }
      this.#tick++
      this.#cascade()
      const slot = this.#tick % SLOTS
      for (let timer = this.#heads[slot]!; timer !== null; timer = this.#heads[slot]!) {
        this.#unlink(timer)
        timer.tick = -1
        this.#armed--
        timer.fire(now)
      }
      if (this.#armed === 0) this.#tick = target
    }
  }

  /** Microseconds at which `advance` should be called next: never later than the next timer; Infinity when none is armed. */
  nextDeadline(): number {
    if (this.#armed === 0) return Number.POSITIVE_INFINITY
    for (let step = 1; step <= SLOTS; step++) {
      const tick = this.#tick + step
      if (this.#slotBusy(tick % SLOTS) || tick % SLOTS === 0) return tick * TICK_US
    }
    return (this.#tick + SLOTS) * TICK_US
  }

  /** Ticks that can be skipped because level 0 holds nothing in them, up to the next cascade. */
  #quietTicks(target: number): number {
    const limit = Math.min(target, this.#tick - (this.#tick % SLOTS) + SLOTS - 1) - this.#tick
    let quiet = 0
    while (quiet < limit && !this.#slotBusy((this.#tick + quiet + 1) % SLOTS)) quiet++
    return quiet
  }

  #slotBusy(slot: number): boolean {
    return (this.#busy[slot >>> 5]! & (1 << (slot & 31))) !== 0
  }

  #insert(timer: Timer): void {
    const delta = timer.tick - this.#tick
    let level = 0
    let span = SLOTS
    while (level < LEVELS - 1 && delta >= span) {
      level++
      span *= SLOTS
    }
    const slot = level * SLOTS + (Math.floor(timer.tick / SLOTS ** level) % SLOTS)
    const head = this.#heads[slot]!
    timer.slot = slot
    timer.previous = null
    timer.next = head
    if (head !== null) head.previous = timer
    this.#heads[slot] = timer
    this.#busy[slot >>> 5]! |= 1 << (slot & 31)
  }

  #unlink(timer: Timer): void {
    if (timer.previous === null) {
      this.#heads[timer.slot] = timer.next
      if (timer.next === null) this.#busy[timer.slot >>> 5]! &= ~(1 << (timer.slot & 31))
    } else timer.previous.next = timer.next
    if (timer.next !== null) timer.next.previous = timer.previous
    timer.next = null
    timer.previous = null
    timer.slot = -1
  }

  /** At the start of a lap, the timers of the next slot of the level above move down. */
  #cascade(): void {
    let tick = this.#tick
    for (let level = 1; level < LEVELS && tick % SLOTS === 0; level++) {
      tick = Math.floor(tick / SLOTS)
      const slot = level * SLOTS + (tick % SLOTS)
      let timer = this.#heads[slot]!
      this.#heads[slot] = null
      this.#busy[slot >>> 5]! &= ~(1 << (slot & 31))
      while (timer !== null) {
        const next: Timer | null = timer.next
        timer.next = null
        timer.previous = null
        this.#insert(timer)
        timer = next as Timer
      }
    }
  }
}
