/** A rate limit: `rate` tokens a second, at most `burst` saved up. Time comes from the caller's clock. */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #filledAt = Number.NEGATIVE_INFINITY

  /** @param rate tokens a second, 0 = none ever */
  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = Math.min(burst, rate)
    this.#tokens = this.#burst
  }

  /** Takes a token if there is one. @param now microseconds */
  take(now: number): boolean {
    if (this.#tokens < this.#burst && now > this.#filledAt) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) * this.#rate) / 1_000_000)
    }
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
