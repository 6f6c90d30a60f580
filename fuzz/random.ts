import { seededEntropy } from '../stack/entropy.ts'

/** Repeatable choices. */
export class Random {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = seededEntropy(seed)
    // The first numbers of neighbouring seeds are alike.
    for (let i = 0; i < 16; i++) this.#next()
  }

  /** 0..limit-1; 0 for a limit of 0. */
  below(limit: number): number {
    return limit <= 1 ? 0 : (this.#next() >>> 0) % limit
  }

  /** 32 bits. */
  word(): number {
    return this.#next() >>> 0
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  /** Small numbers far more often than large ones, 1..limit. */
  length(limit: number): number {
    return 1 + this.below(Math.min(limit, 2 ** (1 + this.below(10))))
  }
}
