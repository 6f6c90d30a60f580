import type { Nic, Pulling } from '../../driver/nic.ts'
import type { PagePool } from './page-pool.ts'
import type { QueueAreas } from './queue-areas.ts'

/** Niovs kept from the NIC, so that the copy fallback finds some: at most so many, and this part of the area, as a shift. */
const KEPT_FOR_COPIES = 16
const KEPT_SHARE = 3

/** Brings a queue's free niovs to its NIC. */
export interface MemoryProvider {
  /** Called before a NIC that pulls is given free niovs: whoever is called returns some to the pool, if there are any. */
  beforeSupply: (() => void) | null
  /** The NIC was attached to the first of these areas, and holds nothing. */
  begin(areas: QueueAreas): void
  /** A further area has come, the last of them. */
  added(pool: PagePool): void
  pollBegins(): void
  /** Time to give the NIC what is free, until it holds `target` niovs. */
  provide(target: number): void
  /** The application has returned a niov of this area that is free now. */
  cameBack(area: number): void
  /** The NIC has no buffer left after it was given what there is: a frame that comes now is dropped. */
  starved(): boolean
}

/** @param drop no window waits for buffers, and none are kept for copies */
export function providerFor(nic: Nic, areas: QueueAreas, drop: boolean): MemoryProvider {
  const { pulling } = nic.roles
  return pulling === null ? new RingProvider(nic, areas, drop) : new PulledProvider(pulling, areas)
}

/**
 * Fills a ring. Not further than to its target, for the ring is first in, first out: every niov in it is one more that goes cold
 * before it is used again. The rest stays on the free stacks. For the same reason further areas are used when earlier ones
 * run short.
 */
class RingProvider implements MemoryProvider {
  beforeSupply: (() => void) | null = null
  readonly #nic: Nic
  /** It shows frames beside the area: the pool itself is what runs short. */
  readonly #beside: boolean
  readonly #drop: boolean
  #areas: QueueAreas
  #keepForCopies = 0

  constructor(nic: Nic, areas: QueueAreas, drop: boolean) {
    this.#nic = nic
    this.#beside = nic.info.placement === 'side'
    this.#drop = drop
    this.#areas = areas
  }

  begin(areas: QueueAreas): void {
    this.#areas = areas
    this.beforeSupply = null
    this.#keepForCopies = this.#drop ? 0 : Math.min(KEPT_FOR_COPIES, areas.pools[0]!.total >>> KEPT_SHARE)
  }

  added(_pool: PagePool): void {}
  pollBegins(): void {}
  cameBack(_area: number): void {}

  provide(target: number): void {
    let wanted = target - this.#nic.chunksHeld()
    if (wanted <= 0) return
    wanted = Math.min(wanted, this.#nic.fillSpace())
    const { pools, first } = this.#areas
    for (let area = 0; area < pools.length && wanted > 0; area++) {
      const pool = pools[area]!
      if (pool === null) continue
      const count = Math.min(wanted, pool.freeCount - (area === 0 ? this.#keepForCopies : 0))
      if (count > 0) wanted -= this.#fillFrom(pool, first[area]!, count)
    }
  }

  starved(): boolean {
    return this.#beside ? this.#areas.pools[0]!.freeCount === 0 : this.#nic.chunksHeld() === 0
  }

  /** Gives the top of a free stack to the NIC's ring. */
  #fillFrom(pool: PagePool, first: number, count: number): number {
    const from = pool.freeCount - count
    const { free } = pool
    const taken =
      first === 0
        ? this.#nic.fill(free, from, count)
        : this.#nic.fill(
            free.subarray(from, from + count).map((niov) => first + niov),
            0,
            count,
          )
    // The ring took a prefix of the slice; what it left moves down over the hole.
    if (taken < count) free.copyWithin(from, from + taken, pool.freeCount)
    pool.freeCount -= taken
    return taken
  }
}

/**
 * Supplies a NIC that asks when it has none left, as Linux's page pool asks its memory provider: with what came back since it
 * asked last, oldest first; if nothing did, with what the user returns now; or else with the tops of the free stacks, area by
 * area. It is emptied from its end, so that of small areas the latest is written to first, as on Linux
 * (docs/conformance.md, A12).
 */
class PulledProvider implements MemoryProvider {
  beforeSupply: (() => void) | null = null
  #areas: QueueAreas
  /** It has asked since the poll began, and there were none. */
  #denied = false
  /** By area: niovs that were never taken from the free stack's top since it asked last: what lies above came back since. */
  #untouched: number[] = []
  /** The areas of what the application returned since, in order. */
  readonly #returned: number[] = []

  constructor(pulling: Pulling, areas: QueueAreas) {
    this.#areas = areas
    pulling.demand = (chunks) => this.#supply(chunks)
  }

  begin(areas: QueueAreas): void {
    this.#areas = areas
    this.beforeSupply = null
    this.#untouched = areas.pools.map((pool) => pool?.total ?? 0)
    this.#returned.length = 0
  }

  added(pool: PagePool): void {
    this.#untouched.push(pool.total)
  }

  pollBegins(): void {
    this.#denied = false
  }

  /** It will ask. */
  provide(_target: number): void {
    this.#observe()
  }

  cameBack(area: number): void {
    if (this.#returned.length < this.#areas.total) this.#returned.push(area)
  }

  starved(): boolean {
    return this.#denied
  }

  #supply(chunks: Uint32Array): number {
    if (!this.#observe()) {
      this.beforeSupply?.()
      this.#observe()
    }
    let count = this.#supplyReturned(chunks)
    if (count > 0) return count
    const { pools, first } = this.#areas
    for (let area = 0; area < pools.length; area++) {
      const pool = pools[area]!
      if (pool === null) continue
      while (count < chunks.length && pool.freeCount > 0)
        chunks[count++] = first[area]! + pool.free[--pool.freeCount]!
      this.#untouched[area] = pool.freeCount
    }
    if (count === 0) this.#denied = true
    return count
  }

  /** Takes note of what was taken from the free stacks. Returns whether anything came back. */
  #observe(): boolean {
    const { pools } = this.#areas
    let came = false
    for (let area = 0; area < pools.length; area++) {
      const free = pools[area]?.freeCount ?? 0
      if (this.#untouched[area]! >= free) this.#untouched[area] = free
      else came = true
    }
    return came
  }

  /** What the application returned, in its order; then what came back otherwise. */
  #supplyReturned(chunks: Uint32Array): number {
    const { pools, first } = this.#areas
    const taken = new Uint32Array(pools.length)
    let count = 0
    const take = (area: number): boolean => {
      const pool = pools[area] ?? null
      if (pool === null || count === chunks.length) return false
      const at = this.#untouched[area]! + taken[area]!
      if (at >= pool.freeCount) return false
      taken[area]!++
      chunks[count++] = first[area]! + pool.free[at]!
      return true
    }
    let seen = 0
    while (seen < this.#returned.length && count < chunks.length) take(this.#returned[seen++]!)
    this.#returned.splice(0, seen)
    for (let area = 0; area < pools.length; area++) while (take(area));
    for (const [area, pool] of pools.entries()) {
      if (pool === null || taken[area] === 0) continue
      const from = this.#untouched[area]!
      pool.free.copyWithin(from, from + taken[area]!, pool.freeCount)
      pool.freeCount -= taken[area]!
    }
    return count
  }
}
