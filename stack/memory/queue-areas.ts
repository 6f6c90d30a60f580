import type { PagePool } from './page-pool.ts'

/** The areas that a queue's NIC may write to, by number. Niovs are numbered through all of them, as the NIC's chunks are. */
export class QueueAreas {
  /** The pool of each area; null where one was taken away. */
  readonly pools: (PagePool | null)[] = []
  /** The number that each area's first niov has for the NIC, and the next one to be given. */
  readonly first: number[] = []
  next = 0
  /** Niovs of all pools. */
  total = 0

  add(pool: PagePool): void {
    this.pools.push(pool)
    this.first.push(this.next)
    this.next += pool.total
    this.total += pool.total
  }

  remove(area: number): void {
    this.total -= this.pools[area]?.total ?? 0
    this.pools[area] = null
  }

  /** The number of the area that a chunk lies in. */
  areaOf(chunk: number): number {
    let area = this.first.length - 1
    while (chunk < this.first[area]!) area--
    return area
  }

  /** Free niovs of all pools. */
  free(): number {
    let free = 0
    for (const pool of this.pools) free += pool?.freeCount ?? 0
    return free
  }

  /** Parts of niovs that the user has. */
  withUser(): number {
    let out = 0
    for (const pool of this.pools) out += pool?.userOut ?? 0
    return out
  }
}
