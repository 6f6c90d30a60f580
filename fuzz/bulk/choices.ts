import { Random } from '../random.ts'

/** FNV-1a, 32 bits. */
export function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash >>> 0
}

/** Choices out of an input's bytes, as far as they go, and behind them out of numbers that follow from it. */
export class Choices {
  readonly #bytes: Uint8Array
  readonly #further: Random
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#further = new Random(hashOf(bytes))
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
