/** The only time the stack knows. Monotonic. */
export interface Clock {
  /** Microseconds since an arbitrary point. */
  now(): number
}

/** The machine's monotonic clock. */
export class SystemClock implements Clock {
  now(): number {
    return performance.now() * 1000
  }
}

/** A clock that moves only when told to: makes every timer test deterministic and instant. */
export class VirtualClock implements Clock {
  #now: number

  /** @param start microseconds */
  constructor(start = 0) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  /** Moves forward by `us` microseconds. */
  advance(us: number): void {
    if (us > 0) this.#now += us
  }

  /** Moves forward to `us`; never backwards. */
  advanceTo(us: number): void {
    if (us > this.#now) this.#now = us
  }
}
