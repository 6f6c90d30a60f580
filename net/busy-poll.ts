import { ArgumentError } from '../errors.ts'

/** Said as `busyPoll`: true is for ever, false not at all. @throws ArgumentError */
export function microseconds(said: boolean | number, name: string): number {
  const us = said === true ? Number.POSITIVE_INFINITY : said === false ? 0 : said
  if (typeof us === 'number' && us >= 0) return us
  throw new ArgumentError(`${name} is ${String(said)}`, 'say microseconds, 0 or more, or Infinity')
}

/** When whoever finds nothing to do any more may sleep: not before a while in which nothing came. */
export class BusyPoll {
  readonly #ms: number
  readonly #now: () => number
  /** When there was nothing to do for the first time since there was something; NaN: there has been something. */
  #idleSince = Number.NaN

  /** @param us microseconds @param now a clock in milliseconds */
  constructor(us: number, now: () => number = () => performance.now()) {
    this.#ms = us / 1000
    this.#now = now
  }

  /** There was something to do. */
  worked(): void {
    this.#idleSince = Number.NaN
  }

  /** There was nothing. Returns whether to look again, and not to sleep yet. */
  goesOn(): boolean {
    if (this.#ms === 0 || this.#ms === Number.POSITIVE_INFINITY) return this.#ms > 0
    const now = this.#now()
    if (Number.isNaN(this.#idleSince)) this.#idleSince = now
    if (now - this.#idleSince < this.#ms) return true
    this.#idleSince = Number.NaN
    return false
  }
}
