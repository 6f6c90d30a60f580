import type { PagePool } from '../../stack/memory/page-pool.ts'

/** Several rings were given a part of the buffer: whoever is left gives it back. */
const SEVERAL = -1

/** A request, as it is known here. */
interface Receiver {
  readonly context: object
  /** Number of its ring; 0 = it has none yet. */
  ring: number
}

/**
 * Which ring each buffer of a shared instance was handed to, so that one that ends (its thread was terminated, say) leaves nothing
 * behind that nobody would ever give back.
 */
export class Holders {
  readonly #pools: readonly (PagePool | null)[]
  readonly #numbers = new Map<object, number>()
  /** By area: the number of the ring that each buffer is with. */
  readonly #by: Int16Array[] = []
  #next = 1

  /** @param first what is out now is with it */
  constructor(pools: readonly (PagePool | null)[], first: object) {
    this.#pools = pools
    const number = this.#numberOf(first)
    for (const pool of pools) {
      if (pool === null || pool.userOut === 0) continue
      const by = this.#of(pool)
      for (let niov = 0; niov < pool.total; niov++) if (pool.userRefs[niov] !== 0) by[niov] = number
    }
  }

  /** A buffer, or a part of one, was handed to the ring of this request. */
  handed(pool: PagePool, niov: number, request: Receiver): void {
    if (request.ring === 0) request.ring = this.#numberOf(request.context)
    const by = this.#of(pool)
    const others = pool.userRefs[niov]! > 1 && by[niov] !== request.ring
    by[niov] = others ? SEVERAL : request.ring
  }

  /** The ring has ended: what only it had is taken back. Returns how many buffers that were. */
  left(ring: object): number {
    const number = this.#numbers.get(ring)
    if (number === undefined) return 0
    this.#numbers.delete(ring)
    let taken = 0
    for (const pool of this.#pools) {
      if (pool === null || pool.userOut === 0) continue
      const by = this.#of(pool)
      for (let niov = 0; niov < pool.total; niov++) {
        if (by[niov] !== number || pool.userRefs[niov] === 0) continue
        while (pool.userRefs[niov] !== 0) pool.returnFromUser(niov)
        taken++
      }
    }
    return taken
  }

  #numberOf(ring: object): number {
    let number = this.#numbers.get(ring)
    if (number === undefined) {
      number = this.#next++
      this.#numbers.set(ring, number)
    }
    return number
  }

  #of(pool: PagePool): Int16Array {
    this.#by[pool.areaId] ??= new Int16Array(pool.total)
    return this.#by[pool.areaId]!
  }
}
