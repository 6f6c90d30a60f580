/** Most blocks of the programs under test. A power of two. */
export const MOST_BLOCKS = 1 << 16

/** How often a block ran, in eight classes, a bit each, as AFL has them: 1, 2, 3, 4+, 8+, 16+, 32+, 128+. */
const CLASSES = Uint8Array.from({ length: 256 }, (_, count) => {
  if (count <= 2) return count
  if (count === 3) return 4
  const from = [4, 8, 16, 32, 128]
  return 8 << (from.filter((least) => least <= count).length - 1)
})

/** Where instrumented code counts, and what has been seen of it. */
export class Coverage {
  /** Instrumented code adds one for each block it enters, modulo 256. */
  readonly counters: Uint8Array = new Uint8Array(MOST_BLOCKS)
  /** Blocks that there are in the code loaded so far. */
  blocks = 0
  readonly #words = new Uint32Array(this.counters.buffer)
  readonly #seen = new Uint8Array(MOST_BLOCKS)

  /** Blocks that some input has entered. */
  get covered(): number {
    let covered = 0
    for (const classes of this.#seen) if (classes !== 0) covered++
    return covered
  }

  clear(): void {
    this.counters.fill(0)
  }

  /** What the last run did: pairs of block and class, as integers. Without `all` only what no run has done before. */
  features(all = false): number[] {
    const found: number[] = []
    const words = this.#words
    for (let i = 0; i < words.length; i++) {
      if (words[i] === 0) continue
      for (let at = i * 4; at < i * 4 + 4; at++) {
        const bits = CLASSES[this.counters[at]!]!
        if (bits !== 0 && (all || (bits & ~this.#seen[at]!) !== 0)) found.push((at << 8) | bits)
      }
    }
    return found
  }

  /** Remembers what `features` gave. */
  learn(features: readonly number[]): void {
    for (const feature of features) this.#seen[feature >>> 8] = this.#seen[feature >>> 8]! | (feature & 255)
  }
}
