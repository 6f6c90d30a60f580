import type { Coverage } from './coverage.ts'
import { type MutationContext, mutate } from './mutate.ts'
import { Random } from './random.ts'

/** What is fuzzed. */
export interface Target {
  readonly name: string
  /** Throws, or rejects, only when something is wrong: refusals of bad input are its own affair. */
  readonly run: (bytes: Uint8Array) => void | Promise<void>
  /** Inputs to begin with. */
  readonly seeds: () => readonly Uint8Array[]
  readonly dictionary?: readonly Uint8Array[]
  /** Bytes of the longest input; default 4096. */
  readonly longest?: number
}

/** An input that has done what none had done before. */
export interface Entry {
  readonly bytes: Uint8Array
  /** All that it does. */
  readonly features: readonly number[]
}

/** What an input did wrong. */
export class Finding extends Error {
  readonly input: Uint8Array

  constructor(message: string, input: Uint8Array, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Finding'
    this.input = input
  }
}

export interface FuzzerOptions {
  readonly seed: number
  /** Milliseconds that one input may take. */
  readonly limit: number
  /** Bytes that one input may allocate. */
  readonly memory: number
  /** Waited for before every input. */
  readonly between?: () => Promise<void>
  /** Told of every input before it is run. */
  readonly before?: (bytes: Uint8Array) => void
  /** Told when it is done. */
  readonly after?: () => void
  readonly now?: () => number
  /** Bytes allocated. */
  readonly allocated?: () => number
}

/** Most inputs of a minimised corpus. What only others do is done by few, and found again soon. */
const MOST_KEPT = 80

/**
 * Fuzzes one target, guided by what its instrumented code counts. The same seed and number of runs do the same, as far as the
 * target does.
 */
export class Fuzzer {
  readonly corpus: Entry[] = []
  /** Inputs run. */
  runs = 0
  readonly #target: Target
  readonly #coverage: Coverage
  readonly #options: FuzzerOptions
  readonly #random: Random
  readonly #context: MutationContext
  readonly #longest: number

  constructor(target: Target, coverage: Coverage, options: FuzzerOptions) {
    this.#target = target
    this.#coverage = coverage
    this.#options = options
    this.#random = new Random(options.seed)
    this.#context = { corpus: this.corpus, dictionary: target.dictionary ?? [] }
    this.#longest = target.longest ?? 4096
  }

  /** Runs inputs from elsewhere; those that do something new are kept. @throws Finding */
  async seed(inputs: readonly Uint8Array[]): Promise<void> {
    for (const bytes of inputs) await this.try(bytes.slice(0, this.#longest))
  }

  /** Runs mutations. @param done asked before each @throws Finding */
  async fuzz(done: () => boolean): Promise<void> {
    if (this.corpus.length === 0) await this.try(new Uint8Array(0))
    while (!done()) {
      const bytes = mutate(this.#choose(), this.#random, this.#context, this.#longest)
      await this.try(bytes)
    }
  }

  /** Runs one input; whether it was kept. @throws Finding */
  async try(bytes: Uint8Array): Promise<boolean> {
    await this.#run(bytes)
    const fresh = this.#coverage.features()
    if (fresh.length === 0) return false
    this.corpus.push({ bytes, features: this.#coverage.features(true) })
    this.#coverage.learn(fresh)
    return true
  }

  /**
   * Few and short entries that do together what all do, each made as short as it can be without losing what it is there for. @throws Finding
   */
  async minimise(expired: () => boolean): Promise<Uint8Array[]> {
    const wanted = new Set(this.corpus.flatMap(({ features }) => features))
    const kept: Uint8Array[] = []
    const bySize = [...this.corpus].sort((a, b) => a.bytes.length - b.bytes.length)
    while (wanted.size > 0 && kept.length < MOST_KEPT) {
      const gain = ({ features }: Entry): number => features.filter((feature) => wanted.has(feature)).length
      const best = bySize.reduce((most, entry) => (gain(entry) > gain(most) ? entry : most))
      const needed = best.features.filter((feature) => wanted.has(feature))
      if (needed.length === 0) break
      for (const feature of needed) wanted.delete(feature)
      kept.push(await this.#trim(best.bytes, needed, expired))
    }
    return kept
  }

  async #trim(bytes: Uint8Array, needed: readonly number[], expired: () => boolean): Promise<Uint8Array> {
    let best = bytes
    for (let size = best.length >>> 1; size >= 4; size >>>= 1) {
      for (let at = best.length - size; at >= 0; at -= size) {
        if (expired()) return best
        const shorter = Uint8Array.of(...best.subarray(0, at), ...best.subarray(at + size))
        await this.#run(shorter)
        const does = new Set(this.#coverage.features(true))
        if (needed.every((feature) => does.has(feature))) best = shorter
      }
    }
    return best
  }

  /** Of the later ones rather, which reach further. */
  #choose(): Uint8Array {
    const { corpus } = this
    const random = this.#random
    const from = random.oneIn(2) ? Math.max(0, corpus.length - 16) : 0
    return corpus[from + random.below(corpus.length - from)]?.bytes ?? new Uint8Array(0)
  }

  async #run(bytes: Uint8Array): Promise<void> {
    const {
      limit,
      memory,
      between,
      before,
      after,
      now = performance.now.bind(performance),
      allocated,
    } = this.#options
    await between?.()
    this.#coverage.clear()
    before?.(bytes)
    this.runs++
    const begun = now()
    const had = allocated?.() ?? 0
    try {
      // A copy: what a target does to its input is not done to the corpus.
      await this.#target.run(bytes.slice())
    } catch (error) {
      throw new Finding(`${error instanceof Error ? error.stack : error}`, bytes, { cause: error })
    }
    const took = now() - begun
    const more = (allocated?.() ?? 0) - had
    after?.()
    if (took > limit) throw new Finding(`took ${Math.round(took)} ms, more than ${limit}`, bytes)
    if (more > memory) throw new Finding(`allocated ${more} bytes, more than ${memory}`, bytes)
  }
}
