/**
 * Turns pcapng's 64-bit counts of ticks into seconds and nanoseconds, exactly, and for the usual resolutions without
 * BigInt: a long division in four digits of 16 bits, each step of which fits a double.
 */
export class TickScale {
  /** Ticks per second; 0 = beyond what the division can take. */
  readonly #perSecond: number
  /** Nanoseconds per tick; 0 = less than one. */
  readonly #nanoseconds: number
  readonly #exact: bigint
  readonly #offset: number
  /** Results of `convert`. */
  seconds = 0
  nanoseconds = 0

  /**
   * @param resolution `if_tsresol`: a power of ten, or with the highest bit a power of two, negated
   * @param offset `if_tsoffset`: seconds to add
   */
  constructor(resolution: number, offset: number) {
    const exponent = resolution & 0x7f
    this.#exact = (resolution & 0x80) === 0 ? 10n ** BigInt(exponent) : 2n ** BigInt(exponent)
    const perSecond = Number(this.#exact)
    this.#nanoseconds = 1e9 % perSecond === 0 ? 1e9 / perSecond : 0
    this.#perSecond = this.#nanoseconds > 0 || perSecond <= 2 ** 23 ? perSecond : 0
    this.#offset = offset
  }

  /** @param high,low halves of the count, unsigned */
  convert(high: number, low: number): void {
    const perSecond = this.#perSecond
    if (perSecond === 0) {
      this.#convertExactly(high, low)
      return
    }
    let digit = high >>> 16
    let quotient = Math.floor(digit / perSecond)
    let rest = digit - quotient * perSecond
    digit = rest * 65_536 + (high & 0xffff)
    let part = Math.floor(digit / perSecond)
    rest = digit - part * perSecond
    quotient = quotient * 65_536 + part
    digit = rest * 65_536 + (low >>> 16)
    part = Math.floor(digit / perSecond)
    rest = digit - part * perSecond
    quotient = quotient * 65_536 + part
    digit = rest * 65_536 + (low & 0xffff)
    part = Math.floor(digit / perSecond)
    rest = digit - part * perSecond
    this.seconds = quotient * 65_536 + part + this.#offset
    this.nanoseconds = this.#nanoseconds > 0 ? rest * this.#nanoseconds : Math.floor((rest * 1e9) / perSecond)
  }

  #convertExactly(high: number, low: number): void {
    const ticks = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
    this.seconds = Number(ticks / this.#exact) + this.#offset
    this.nanoseconds = Number(((ticks % this.#exact) * 1_000_000_000n) / this.#exact)
  }
}
