/**
 * A hierarchical timing wheel (Varghese and Lauck 1987): arming and cancelling cost O(1) whatever the number of timers.
 * Four levels of 256 slots over a tick of 1 ms reach 49 days. Timers are intrusive list nodes, made once per owner.
 */

const SLOT_BITS = 8
const SLOTS = 1 << SLOT_BITS
const SLOT_MASK = SLOTS - 1
const LEVELS = 4
/** 32-bit words of a level's bitmap. */
const WORDS = SLOTS / 32
/** Microseconds per tick. */
export const TICK_US = 1000
/** Longest delay in ticks; later deadlines are cut to it. */
const MAX_TICKS = 2 ** 32 - SLOTS - 1

/** One timer. Subclass it and override `fire`, so that no closure is made per arming. */
export abstract class Timer {
  /** Tick at which it fires, while it is armed. Not an integer at first, so that the field has room for any tick from the start. */
  tick = -0.5
  /** Of the list that it is in: the wheel's. */
  next: Timer | null = null
  /** Of the same list. */
  previous: Timer | null = null
  /** Of the wheel, -1 when it is not armed. */
  slot = -1

  /** It will fire. */
  get armed(): boolean {
    return this.slot >= 0
  }

  /** Called once when due; the timer is no longer armed then and may be armed again. */
  abstract fire(now: number): void
}

/** All timers of a stack: arming and cancelling take the same time however many there are. */
export class TimerWheel {
  readonly #heads: (Timer | null)[] = new Array(SLOTS * LEVELS).fill(null)
  /** A bit per slot: whether it holds timers. */
  readonly #busy = new Uint32Array(WORDS * LEVELS)
  /** No timer of a busy slot is due before this tick. Of level 0 all are due at it; else one that was may have been cancelled. */
  readonly #earliest = new Float64Array(SLOTS * LEVELS)
  /** What is due up to here has fired, or is about to; in between, `#floor` is where `advance` goes. */
  #tick: number
  /** Timers are armed for later ticks: none fires twice in one `advance`, however far the clock jumps. */
  #floor: number
  #armed = 0

  /** @param now microseconds */
  constructor(now: number) {
    this.#tick = Math.floor(now / TICK_US)
    this.#floor = this.#tick
  }

  /** Timers armed now. */
  get armed(): number {
    return this.#armed
  }

  /** Fires no earlier than `deadline` (microseconds), and within one tick after it when `advance` is called in time. */
  arm(timer: Timer, deadline: number): void {
    if (timer.slot >= 0) this.cancel(timer)
    const tick = Math.max(this.#floor + 1, Math.ceil(deadline / TICK_US))
    timer.tick = Math.min(tick, this.#tick + MAX_TICKS)
    this.#armed++
    this.#insert(timer)
  }

  /** It does not fire; one that is not armed is left alone. */
  cancel(timer: Timer): void {
    if (timer.slot < 0) return
    this.#unlink(timer)
    this.#armed--
  }

  /** Fires everything that is due at `now` (microseconds). What is armed meanwhile fires at the next call at the earliest. */
  advance(now: number): void {
    const target = Math.floor(now / TICK_US)
    if (target <= this.#tick) return
    this.#floor = target
    while (this.#armed > 0) {
      const tick = this.#nextBusy()
      if (tick > target) break
      this.#tick = tick
      this.#cascade()
      const slot = tick & SLOT_MASK
      for (let timer = this.#heads[slot]!; timer !== null; timer = this.#heads[slot]!) {
        this.#unlink(timer)
        this.#armed--
        timer.fire(now)
      }
    }
    this.#tick = target
  }

  /**
   * Microseconds at which `advance` should be called next: never later than the next timer; Infinity when none is armed. Earlier
   * than that only when an earlier one was cancelled, and once for that.
   */
  nextDeadline(): number {
    if (this.#armed === 0) return Number.POSITIVE_INFINITY
    const tick = this.#tick
    const first = this.#distance(0, tick & SLOT_MASK)
    // In this lap: nothing of the levels above moves down before.
    if (first < SLOTS - (tick & SLOT_MASK)) return (tick + first) * TICK_US
    let earliest = first <= SLOTS ? tick + first : Number.POSITIVE_INFINITY
    for (let level = 1; level < LEVELS; level++) {
      const at = (tick >>> (SLOT_BITS * level)) & SLOT_MASK
      const steps = this.#distance(level, at)
      if (steps > SLOTS) continue
      earliest = Math.min(earliest, this.#earliest[level * SLOTS + ((at + steps) & SLOT_MASK)]!)
    }
    return earliest * TICK_US
  }

  /** The next tick at which a timer is due, or timers of a level above move down; Infinity when there is none. */
  #nextBusy(): number {
    const tick = this.#tick
    const first = this.#distance(0, tick & SLOT_MASK)
    if (first < SLOTS - (tick & SLOT_MASK)) return tick + first
    let next = first <= SLOTS ? tick + first : Number.POSITIVE_INFINITY
    for (let level = 1, span = SLOTS; level < LEVELS; level++, span *= SLOTS) {
      const steps = this.#distance(level, (tick >>> (SLOT_BITS * level)) & SLOT_MASK)
      // From the start of the present slot of this level.
      if (steps <= SLOTS) next = Math.min(next, tick - (tick & (span - 1)) + steps * span)
    }
    return next
  }

  /** How many slots behind `at`, 1 to 256, the next busy one of a level is, going round; more when there is none. */
  #distance(level: number, at: number): number {
    const busy = this.#busy
    const base = level * WORDS
    const from = (at + 1) & SLOT_MASK
    const word = from >>> 5
    let bits = busy[base + word]! & (-1 << (from & 31))
    let steps = 1 - (from & 31)
    for (let i = 1; bits === 0 && i <= WORDS; i++) {
      bits = busy[base + ((word + i) & (WORDS - 1))]!
      steps += 32
    }
    if (bits === 0) return SLOTS + 1
    return steps + 31 - Math.clz32(bits & -bits)
  }

  #insert(timer: Timer): void {
    const { tick } = timer
    const delta = tick - this.#tick
    let level = 0
    for (let span = SLOTS; level < LEVELS - 1 && delta >= span; span *= SLOTS) level++
    // Slots go by the tick's lower 32 bits.
    const slot = level * SLOTS + ((tick >>> (SLOT_BITS * level)) & SLOT_MASK)
    const head = this.#heads[slot]!
    timer.slot = slot
    timer.previous = null
    timer.next = head
    this.#heads[slot] = timer
    if (head !== null) {
      head.previous = timer
      if (tick < this.#earliest[slot]!) this.#earliest[slot] = tick
    } else {
      this.#earliest[slot] = tick
      this.#busy[slot >>> 5]! |= 1 << (slot & 31)
    }
  }

  #unlink(timer: Timer): void {
    const { previous, next, slot } = timer
    if (previous === null) {
      this.#heads[slot] = next
      if (next === null) this.#busy[slot >>> 5]! &= ~(1 << (slot & 31))
    } else previous.next = next
    if (next !== null) next.previous = previous
    timer.next = null
    timer.previous = null
    timer.slot = -1
  }

  /** Where a lap begins, the timers of the next slot of the level above move down. */
  #cascade(): void {
    const tick = this.#tick
    for (let level = 1, span = SLOTS; level < LEVELS; level++, span *= SLOTS) {
      if ((tick & (span - 1)) !== 0) return
      const slot = level * SLOTS + ((tick >>> (SLOT_BITS * level)) & SLOT_MASK)
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
