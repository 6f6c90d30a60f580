import { type HeldReport, type Holder, heldReport } from '../../diagnostics.ts'
import type { PagePool } from '../../stack/memory/page-pool.ts'

/** A request that hands buffers to the application. */
export interface Handing {
  readonly fd: number
  readonly userDataLow: number
  readonly userDataHigh: number
  readonly finished: boolean
  /** Its number here; -1 without. */
  holder: number
}

/** Looks, every so often, for buffers that the application keeps: what leaks shows up here. */
export class HeldWatch {
  /** Microseconds of the stacks' clock of the next look. */
  due: number
  readonly #afterMs: number
  readonly #report: (report: HeldReport) => void
  readonly #areas: readonly (PagePool | null)[]
  readonly #requests: (Handing | null)[] = []
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
    for (const pool of areas) if (pool !== null) this.#begin(pool)
  }

  /** A time for buffers handed out from now on, microseconds. */
  tick(now: number): void {
    this.#now = Math.floor(now / 1000) | 0
  }

  handed(pool: PagePool, niov: number, request: Handing): void {
    if (pool.heldSince === null) this.#begin(pool)
    if (request.holder < 0) this.#enlist(request)
    pool.heldSince![niov] = this.#now
    pool.heldBy![niov] = request.holder
  }

  /** Nobody looks any more. */
  end(): void {
    for (const pool of this.#areas) if (pool !== null) pool.heldSince = pool.heldBy = null
    for (const request of this.#requests) if (request !== null) request.holder = -1
  }

  look(now: number): void {
    this.tick(now)
    this.due = now + this.#afterMs * 1000
    const found = new Map<number, { buffers: number; oldestMs: number }>()
    const used = new Set<number>()
    for (const pool of this.#areas) {
      if (pool === null || pool.userOut === 0) continue
      const { heldSince, heldBy } = pool
      if (heldSince === null || heldBy === null) continue
      for (let niov = 0; niov < pool.total; niov++) {
        if (pool.userRefs[niov] === 0) continue
        const index = heldBy[niov]!
        used.add(index)
        const age = (this.#now - heldSince[niov]!) | 0
        if (age < this.#afterMs) continue
        const entry = found.get(index) ?? { buffers: 0, oldestMs: 0 }
        entry.buffers++
        entry.oldestMs = Math.max(entry.oldestMs, age)
        found.set(index, entry)
      }
    }
    this.#forget(used)
    const holders = [...found].map(([index, entry]): Holder => {
      const request = this.#requests[index] ?? null
      const userData = request === null ? 0 : request.userDataHigh * 2 ** 32 + request.userDataLow
      return { userData, fd: request?.fd ?? -1, ...entry }
    })
    const report = heldReport(holders)
    if (report !== null) this.#report(report)
  }

  /** Requests that have ended and left nothing behind. */
  #forget(used: ReadonlySet<number>): void {
    for (const [index, request] of this.#requests.entries()) {
      if (request?.finished !== true || used.has(index)) continue
      request.holder = -1
      this.#requests[index] = null
    }
  }

  #begin(pool: PagePool): void {
    pool.heldSince = new Int32Array(pool.total).fill(this.#now)
    pool.heldBy = new Int32Array(pool.total).fill(-1)
  }

  #enlist(request: Handing): void {
    const free = this.#requests.indexOf(null)
    request.holder = free < 0 ? this.#requests.length : free
    this.#requests[request.holder] = request
  }
}
