import type { PagePool } from '../../stack/memory/page-pool.ts'
import type { HeldReport, Holder } from '../ring/ifq-info.ts'
import type { Request } from './request.ts'

interface Times {
  /** Milliseconds of the stacks' clock at which a buffer was last handed out, wrapping. */
  readonly since: Int32Array
  /** Index of the request that delivered it. */
  readonly holder: Int32Array
}

/** Looks, every so often, for buffers that the application keeps: what leaks shows up here. */
export class HeldWatch {
  /** Microseconds of the stacks' clock of the next look. */
  due: number
  readonly #afterMs: number
  readonly #report: (report: HeldReport) => void
  readonly #areas: readonly (PagePool | null)[]
  readonly #times = new WeakMap<PagePool, Times>()
  readonly #requests: (Request | null)[] = []
  readonly #index = new WeakMap<Request, number>()
  #now: number

  constructor(
    areas: readonly (PagePool | null)[],
    afterMs: number,
    now: number,
    report: (report: HeldReport) => void,
  ) {
    this.#areas = areas
    this.#afterMs = afterMs
    this.#report = report
    this.#now = Math.floor(now / 1000) | 0
    this.due = now + afterMs * 1000
    // Whose the buffers are that are out already, nobody knows any more.
    for (const pool of areas) if (pool !== null) this.#timesOf(pool)
  }

  /** A time for buffers handed out from now on, microseconds. */
  tick(now: number): void {
    this.#now = Math.floor(now / 1000) | 0
  }

  handed(pool: PagePool, niov: number, request: Request): void {
    const times = this.#timesOf(pool)
    times.since[niov] = this.#now
    times.holder[niov] = this.#indexOf(request)
  }

  look(now: number): void {
    this.tick(now)
    this.due = now + this.#afterMs * 1000
    const found = new Map<number, { buffers: number; oldestMs: number }>()
    const used = new Set<number>()
    let buffers = 0
    let oldestMs = 0
    for (const pool of this.#areas) {
      if (pool === null || pool.userOut === 0) continue
      const { since, holder } = this.#timesOf(pool)
      for (let niov = 0; niov < pool.total; niov++) {
        if (pool.userRefs[niov] === 0) continue
        const index = holder[niov]!
        used.add(index)
        const age = (this.#now - since[niov]!) | 0
        if (age < this.#afterMs) continue
        const entry = found.get(index) ?? { buffers: 0, oldestMs: 0 }
        entry.buffers++
        entry.oldestMs = Math.max(entry.oldestMs, age)
        found.set(index, entry)
        buffers++
        oldestMs = Math.max(oldestMs, age)
      }
    }
    this.#forget(used)
    if (buffers === 0) return
    const holders = [...found].map(([index, entry]): Holder => {
      const request = this.#requests[index] ?? null
      const userData = request === null ? 0 : request.userDataHigh * 2 ** 32 + request.userDataLow
      return { userData, fd: request?.fd ?? -1, ...entry }
    })
    holders.sort((a, b) => b.buffers - a.buffers)
    this.#report({ buffers, oldestMs, holders })
  }

  /** Requests that have ended and left nothing behind. */
  #forget(used: ReadonlySet<number>): void {
    for (const [index, request] of this.#requests.entries()) {
      if (request?.finished === true && !used.has(index)) this.#requests[index] = null
    }
  }

  #timesOf(pool: PagePool): Times {
    let times = this.#times.get(pool)
    if (times === undefined) {
      times = {
        since: new Int32Array(pool.total).fill(this.#now),
        holder: new Int32Array(pool.total).fill(-1),
      }
      this.#times.set(pool, times)
    }
    return times
  }

  #indexOf(request: Request): number {
    const known = this.#index.get(request)
    if (known !== undefined) return known
    const free = this.#requests.indexOf(null)
    const index = free < 0 ? this.#requests.length : free
    this.#requests[index] = request
    this.#index.set(request, index)
    return index
  }
}
