import type { PagePool } from '../../stack/memory/page-pool.ts'

/** Several rings were given a part of the buffer: whoever is left gives it back. */
const SEVERAL = -1
/** Every ring may have so many. */
const LEAST_SHARE = 16

/** A request, as it is known here. */
interface Receiver {
  readonly context: object
  /** Number of its ring; 0 = it has none yet. */
  ring: number
  /** There is something for it to do. */
  wake(): void
}

/**
 * Which ring each buffer of a shared instance was handed to. One that ends (its thread was terminated, say) leaves nothing behind that
 * nobody would ever give back; and one that gives nothing back gets no more than its share, the buffers by the number of rings that
 * receive: what comes for it then waits in its sockets, and closes its peers' windows.
 */
export class Holders {
  readonly #pools: readonly (PagePool | null)[]
  readonly #numbers = new Map<object, number>()
  /** By area: the number of the ring that each buffer is with. */
  readonly #by: Int16Array[] = []
  /** Rings that are closed and still have buffers. */
  readonly #closed = new Set<number>()
  /** By ring: buffers that only it has, and requests that wait until it has fewer. */
  readonly #out: number[] = []
  readonly #waiting: Receiver[][] = []
  /** Numbers of rings that have ended. */
  readonly #free: number[] = []

  /** @param first what is out now is with it */
  constructor(pools: readonly (PagePool | null)[], first: object) {
    this.#pools = pools
    for (const pool of pools) {
      if (pool === null || pool.userOut === 0) continue
      const by = this.#of(pool)
      const number = this.#numberOf(first)
      for (let niov = 0; niov < pool.total; niov++) {
        if (pool.userRefs[niov] === 0) continue
        by[niov] = number
        this.#out[number]!++
      }
    }
  }

  /** A buffer, or a part of one, was handed to the ring of this request. */
  handed(pool: PagePool, niov: number, request: Receiver): void {
    const by = this.#of(pool)
    const { ring } = request
    if (pool.userRefs[niov]! > 1) {
      if (by[niov] === ring || by[niov] === SEVERAL) return
      this.#out[by[niov]!]!--
      by[niov] = SEVERAL
    } else {
      by[niov] = ring
      this.#out[ring]!++
    }
  }

  /** A completion's buffer came back. */
  returned(pool: PagePool, niov: number): void {
    if (pool.userRefs[niov] !== 0) return
    const by = this.#of(pool)
    const ring = by[niov]!
    by[niov] = 0
    if (ring <= 0) return
    this.#out[ring]!--
    if (this.#out[ring] === 0 && this.#closed.has(ring)) this.#forget(ring)
    const waiting = this.#waiting[ring]!
    if (waiting.length > 0 && this.#out[ring]! < this.#share)
      for (const request of waiting.splice(0)) request.wake()
  }

  /** The ring of this request has all that it may have: it is woken when that changes. */
  exhausted(request: Receiver): boolean {
    if (request.ring === 0) request.ring = this.#numberOf(request.context)
    if (this.#out[request.ring]! < this.#share) return false
    const waiting = this.#waiting[request.ring]!
    if (!waiting.includes(request)) waiting.push(request)
    return true
  }

  /** The ring is closed: it receives nothing more, and counts no longer among those that share. What it has may still come back. */
  closed(ring: object): void {
    const number = this.#numbers.get(ring)
    if (number === undefined) return
    if (this.#out[number] === 0) this.#forget(number)
    else this.#closed.add(number)
  }

  /** Buffers that only this ring has. */
  with(ring: object): number {
    const number = this.#numbers.get(ring)
    return number === undefined ? 0 : this.#out[number]!
  }

  /** The ring has ended: what only it had is taken back. Returns how many buffers that were. */
  left(ring: object): number {
    const number = this.#numbers.get(ring)
    if (number === undefined) return 0
    let taken = 0
    for (const pool of this.#pools) {
      if (pool === null || pool.userOut === 0) continue
      const by = this.#of(pool)
      for (let niov = 0; niov < pool.total; niov++) {
        if (by[niov] !== number || pool.userRefs[niov] === 0) continue
        while (pool.userRefs[niov] !== 0) pool.returnFromUser(niov)
        by[niov] = 0
        taken++
      }
    }
    this.#forget(number)
    return taken
  }

  get #share(): number {
    let total = 0
    for (const pool of this.#pools) total += pool?.total ?? 0
    return Math.max(LEAST_SHARE, Math.floor(total / Math.max(2, this.#numbers.size - this.#closed.size)))
  }

  #forget(number: number): void {
    for (const [ring, other] of this.#numbers) if (other === number) this.#numbers.delete(ring)
    this.#closed.delete(number)
    this.#out[number] = 0
    this.#waiting[number]!.length = 0
    this.#free.push(number)
  }

  #numberOf(ring: object): number {
    let number = this.#numbers.get(ring)
    if (number === undefined) {
      number = this.#free.pop() ?? Math.max(1, this.#out.length)
      this.#numbers.set(ring, number)
      this.#out[number] = 0
      this.#waiting[number] = []
    }
    return number
  }

  #of(pool: PagePool): Int16Array {
    this.#by[pool.areaId] ??= new Int16Array(pool.total)
    return this.#by[pool.areaId]!
  }
}
