import type { Census } from '../../diagnostics.ts'
import { IfqStats, REFILLED, sumOfCensus } from '../../diagnostics.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { NicError } from '../../errors.ts'
import { PagePool, takeCensus } from '../../stack/memory/page-pool.ts'
import type { Stack } from '../../stack/stack.ts'
import { EAGAIN, EBUSY, EINVAL } from '../abi/errno.ts'
import { ZCRX_EVENT_ALLOC_FAIL } from '../abi/zcrx.ts'
import type { AreaMemory } from './area-memory.ts'
import type { EventPort, ZcrxEvents } from './events.ts'
import type { OpenFile } from './files.ts'
import type { HeldWatch } from './held.ts'
import { Holders } from './holders.ts'

/** Most areas an instance can have had, as on Linux (docs/conformance.md, A11). */
export const MAX_AREAS = 1024

/** Most entries read when a NIC asks for buffers. */
const SUPPLY = 64

/** Parts of the refill queue in the shared region. */
export interface RefillLayout {
  readonly head: Int32Array
  readonly tail: Int32Array
  readonly entries: Uint32Array
  readonly count: number
}

/** What instances need of the kernel. */
export interface ZcrxHost {
  readonly options: { readonly memoryFor: (stack: Stack) => NicMemory }
  lockedBytes: number
  nicError: NicError | null
  addIfq(ifq: ZcrxIfq): void
  removeIfq(ifq: ZcrxIfq): void
}

/** What an instance is made of. */
export interface IfqParts {
  /** The queue whose NIC writes into the first area; null with ZCRX_REG_NODEV. */
  readonly stack: Stack | null
  readonly area: AreaMemory
  readonly queue: RefillLayout
  readonly events: ZcrxEvents | null
  /** The refill region, when it is memory of the kernel's, for mmap; null when the user brought it. */
  readonly provided: Uint8Array | null
  /** The ring it is made on. */
  readonly maker: EventPort
}

/**
 * The kernel side of a registered interface queue: its areas' pools and the refill queue. With a stack the queue of that
 * stack's NIC is filled from the first area, and from the others too if it can write to several; without one (ZCRX_REG_NODEV)
 * everything is copied. It lives as long as a ring or an exported descriptor holds it.
 */
export class ZcrxIfq {
  readonly stack: Stack | null
  /** Pools by area id; null where an area was given back. */
  readonly areas: (PagePool | null)[] = []
  readonly stats: IfqStats = new IfqStats()
  readonly events: ZcrxEvents | null
  /** The refill region, when it is memory of the kernel's: every ring that holds the instance may map it. */
  readonly provided: Uint8Array | null
  /** Looks for buffers that stay out too long, when somebody asked. */
  held: HeldWatch | null = null
  /** Knows which ring has which buffers, once several rings share the instance. */
  holders: Holders | null = null
  /** The ring that it was made on. */
  readonly #maker: EventPort
  readonly dmabuf: boolean
  readonly niovSize: number
  /** The NIC can't write into the area: the queue keeps the stack's own memory, and everything is copied. */
  readonly copies: boolean
  /** The NIC writes to every area; otherwise only to the first, if at all. */
  readonly #spread: boolean
  readonly #kernel: ZcrxHost
  readonly #queue: RefillLayout
  readonly #locked: number[] = []
  #holders = 1
  /** Our own copy: what the user writes to the shared head changes nothing. */
  #head = 0
  /** Areas that buffers may be taken from, in order of their ids. */
  #open: PagePool[] = []

  /** Restarts the NIC's queue over the area. @throws NicError and then nothing is changed */
  constructor(kernel: ZcrxHost, parts: IfqParts) {
    const { stack, area } = parts
    this.#kernel = kernel
    this.events = parts.events
    this.provided = parts.provided
    this.#maker = parts.maker
    this.stack = stack
    this.#queue = parts.queue
    this.dmabuf = area.dmabuf
    this.niovSize = area.memory.chunkSize
    const pool = stack === null ? null : this.#provide(stack, area)
    this.copies = stack !== null && pool === null
    this.#spread = pool !== null && stack!.memory.extensible
    this.#add(pool ?? new PagePool(0, area.memory, this, 0), area.lockedBytes)
    kernel.addIfq(this)
  }

  /** The first area's pool: what a device queue is filled from first. */
  get pool(): PagePool {
    return this.areas[0]!
  }

  hold(): void {
    this.#holders++
  }

  /** One more ring shares it. */
  join(): void {
    this.hold()
    this.holders ??= new Holders(this.areas, this.#maker)
  }

  /** The last one to let go ends the instance. */
  release(): void {
    if (--this.#holders === 0) this.#end()
  }

  /** ZCRX_CTRL_ADD_AREA: buffers come from it too, at once. Returns its id. */
  addArea(area: AreaMemory): number {
    const id = this.areas.length
    const pool = this.#spread
      ? this.stack!.memory.addArea(area.memory, this)
      : new PagePool(0, area.memory, this, id)
    this.#add(pool, area.lockedBytes)
    return id
  }

  /**
   * Gives an area back while the queue lives. No buffer is taken from it any more; EAGAIN while some are still out, and the
   * call is to be repeated when they came back. EBUSY for the area that the NIC's queue was begun with, EINVAL for none.
   */
  removeArea(id: number): number {
    const pool = this.areas[id]
    if (pool === null || pool === undefined) return -EINVAL
    if (this.stack !== null && !this.copies && id === 0) return -EBUSY
    this.#open = this.#open.filter((other) => other !== pool)
    if (this.#spread) this.stack!.memory.removeArea(pool)
    this.takeRefills()
    if (pool.freeCount < pool.total) return -EAGAIN
    this.areas[id] = null
    this.#kernel.lockedBytes -= this.#locked[id]!
    this.#locked[id] = 0
    return 0
  }

  /** The pool that a copy's buffer comes from: of the lowest area that has one, as on Linux. Null when none has. */
  poolWithFree(): PagePool | null {
    for (const pool of this.#open) if (pool.freeCount > 0) return pool
    return null
  }

  /** Data may have to be moved: there are areas that the NIC can't write to. */
  get moves(): boolean {
    return !this.#spread && this.areas.length > 1
  }

  /**
   * Where received data is moved to because the area that the NIC writes to runs short; null when it does not, or when nothing
   * else is free. Only a device queue whose NIC can't write to its further areas has such a place.
   */
  overflowPool(): PagePool | null {
    const { stack } = this
    if (this.#open.length < 2 || stack === null || this.copies) return null
    if (stack.memory.available() * 2 >= this.pool.total) return null
    for (const pool of this.#open) if (pool !== this.pool && pool.freeCount > 0) return pool
    return null
  }

  /**
   * Takes what the user has put into the refill queue, at most one lap. Entries are never trusted: one that names no
   * buffer is counted and ends the run, having been consumed; a buffer the user does not hold is counted and passed over
   * (docs/conformance.md, F3, F4, F10). Returns the entries consumed.
   */
  takeRefills(most: number = this.#queue.count): number {
    const { tail, head, entries, count } = this.#queue
    const waiting = (Atomics.load(tail, 0) - this.#head) >>> 0
    if (waiting === 0) return 0
    let taken = Math.min(waiting, most)
    const first = this.areas[0] ?? null
    const mask = count - 1
    // Which area a buffer came back to matters for the order in which a NIC gets them.
    const memory = this.#spread && this.areas.length > 1 ? this.stack!.memory : null
    const plain = memory === null && this.holders === null ? first : null
    for (let i = 0; i < taken; i++) {
      if (plain !== null) {
        const run = plain.returnRun(entries, this.#head + i, taken - i, mask)
        this.stats.cells[REFILLED]! += run - plain.refused
        this.stats.refillNotHeld += plain.refused
        i += run
        if (i === taken) break
      }
      const at = ((this.#head + i) & mask) * 4
      const low = entries[at]!
      const high = entries[at + 1]!
      // Area id above, offset bits 32..47 below: areas end before 4 GiB, so these are 0 in a good entry.
      const pool = high === 0 ? first : (high & 0xffff) === 0 ? this.areas[high >>> 16] : null
      if (pool == null || entries[at + 3] !== 0 || low >>> pool.shift >= pool.total) {
        this.stats.refillInvalid++
        taken = i + 1
      } else if (pool.returnFromUser(low >>> pool.shift)) {
        this.stats.cells[REFILLED]! += 1
        this.holders?.returned(pool, low >>> pool.shift)
        if (memory !== null && pool.isFree(low >>> pool.shift)) memory.cameBack(pool.areaId)
      } else this.stats.refillNotHeld++
    }
    this.#head = (this.#head + taken) | 0
    Atomics.store(head, 0, this.#head)
    return taken
  }

  /** `bytes` were copied into an area. @param first of a contiguous piece, not the rest of one */
  countCopy(bytes: number, first: boolean): void {
    const { stats } = this
    stats.copiedBytes += bytes
    if (first) stats.copyCount++
    this.events?.copied(stats.copyCount, stats.copiedBytes)
  }

  /** Tells when the device was left without a buffer: what it receives next is dropped. */
  watchDevice(): void {
    if (this.events === null || this.stack === null || !this.events.armed(ZCRX_EVENT_ALLOC_FAIL)) return
    if (this.stack.memory.starved()) this.events.fire(ZCRX_EVENT_ALLOC_FAIL)
  }

  /**
   * The thread of a ring has ended, and with it whoever would give back what the ring was handed: what only it had is taken back. Not
   * done for a ring that is closed: on Linux others of its process may still give back, as the record of a kernel has it. Returns how many
   * buffers that were.
   */
  abandoned(ring: EventPort): number {
    if (this.holders === null) return 0
    // What waits in the queue is not to be taken for what is taken back.
    for (let left = this.#queue.count, taken = -1; left > 0 && taken !== 0; left -= taken)
      taken = this.takeRefills(left)
    const taken = this.holders.left(ring)
    if (taken > 0) this.stack?.kick()
    return taken
  }

  /** A ring is closed: events, if they go there, end. */
  leave(ring: EventPort): void {
    this.events?.leave(ring)
    this.holders?.closed(ring)
    this.release()
  }

  /** Where the buffers of all areas are. */
  census(): Census {
    const pools = this.areas.filter((pool) => pool !== null)
    return sumOfCensus(pools.map((pool) => this.stack?.census(pool) ?? takeCensus(pool, 0)))
  }

  #add(pool: PagePool, lockedBytes: number): void {
    this.areas.push(pool)
    this.#open.push(pool)
    this.#locked.push(lockedBytes)
    this.#kernel.lockedBytes += lockedBytes
  }

  /** The queue's pool, or null where the device can't write into a mapped descriptor's memory. */
  #provide(stack: Stack, area: AreaMemory): PagePool | null {
    try {
      const pool = stack.provide(area.memory, this)
      // A NIC that asks for buffers is what reads the queue, besides FLUSH_RQ (docs/conformance.md, F6).
      stack.memory.beforeSupply = () => this.takeRefills(SUPPLY)
      return pool
    } catch (error) {
      if (area.dmabuf && error instanceof NicError && error.code === 'ZCRX_NIC_MEMORY') return null
      throw error
    }
  }

  /** Gives the NIC's queue back to the stack's own memory and takes back what the user held. */
  #end(): void {
    this.#kernel.removeIfq(this)
    this.takeRefills()
    for (const pool of this.areas) pool?.scrub()
    for (const bytes of this.#locked) this.#kernel.lockedBytes -= bytes
    if (this.stack === null || this.copies) return
    try {
      this.stack.provide(this.#kernel.options.memoryFor(this.stack))
    } catch (error) {
      // The rest of the teardown goes on: a queue that can't be restarted (its interface is gone) has nothing to give back.
      if (!(error instanceof NicError)) throw error
      this.#kernel.nicError = error
    }
  }
}

/** An exported instance, what ZCRX_CTRL_EXPORT gives a descriptor for: the instance lives while it is open. */
export class ZcrxFile implements OpenFile {
  readonly kind = 'zcrx'
  readonly ifq: ZcrxIfq

  constructor(ifq: ZcrxIfq) {
    this.ifq = ifq
    ifq.hold()
  }

  release(): void {
    this.ifq.release()
  }
}
