import { ArgumentError } from '../../errors.ts'

export interface CaptureClockOptions {
  /** Microseconds; default: real time. */
  clock?: { now(): number }
  /** Seconds since 1970 at which `clock` says 0; default 0. Only with `clock`. */
  epoch?: number
}

/** Time since the epoch. Real time is that of the process's start plus what the monotonic clock says has passed since. */
export class CaptureClock {
  /** Results of `read`: whole seconds since the epoch, and 0 to 999999999. */
  seconds = 0
  nanoseconds = 0
  /** The last reading, microseconds from wherever the clock begins. */
  us = 0
  readonly #now: () => number
  readonly #seconds: number
  readonly #nanoseconds: number

  constructor({ clock, epoch }: CaptureClockOptions) {
    if (clock === undefined && epoch !== undefined)
      throw new ArgumentError('an epoch without a clock', 'give both, or neither for real time')
    const start = clock === undefined ? performance.timeOrigin / 1000 : (epoch ?? 0)
    if (!(start >= 0 && start < 2 ** 33))
      throw new ArgumentError(`epoch ${start}`, 'give seconds since 1970, of which there are less than 2^33')
    this.#now = clock === undefined ? () => performance.now() * 1000 : () => clock.now()
    this.#seconds = Math.floor(start)
    this.#nanoseconds = Math.min(999_999_999, Math.round((start - this.#seconds) * 1e9))
    this.read()
  }

  read(): void {
    const us = this.#now()
    this.us = us
    // Not through one number of seconds: that would have no room for nanoseconds.
    const whole = Math.floor(us / 1e6)
    const nanoseconds = this.#nanoseconds + Math.round((us - whole * 1e6) * 1000)
    const carry = nanoseconds >= 1e9 ? 1 : 0
    this.seconds = this.#seconds + whole + carry
    this.nanoseconds = nanoseconds - carry * 1e9
  }
}
