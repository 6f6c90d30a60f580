import { Random } from '../random.ts'

/** Choices out of an input's bytes, as far as they go, and behind them out of numbers that follow from it. */
export class Choices {
  readonly #bytes: Uint8Array
  readonly #further: Random
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    let hash = 0x811c9dc5
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
    this.#further = new Random(hash >>> 0)
  }

  /** 0..limit-1. */
  below(limit: number): number {
    if (limit <= 1) return 0
    if (this.#at >= this.#bytes.length) return this.#further.below(limit)
    let value = this.#bytes[this.#at++]!
    if (limit > 256) value |= (this.#bytes[this.#at++] ?? 0) << 8
    return value % limit
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  oneIn(n: number): boolean {
    return this.below(n) === n - 1
  }
}
