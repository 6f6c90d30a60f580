import { NicError } from '../../driver/errors.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { type Census, PagePool, takeCensus } from '../../stack/memory/page-pool.ts'
import type { Stack } from '../../stack/stack.ts'
import { ZCRX_EVENT_ALLOC_FAIL } from '../abi/constants.ts'
import type { ZcrxEvents } from './events.ts'
import type { Kernel } from './kernel.ts'

/** What an interface queue has done, cumulative. */
export interface IfqStats {
  /** Data completions. */
  completions: number
  /** Bytes that lie where the NIC put them. */
  zeroCopiedBytes: number
  /** Bytes copied into the area because they were received into other memory. */
  copiedBytes: number
  /** Contiguous pieces of received data that were copied, each maybe by several completions. */
  copyCount: number
  /** Refill entries that named no buffer: unknown area, offset beyond it, or padding not zero. */
  refillInvalid: number
  /** Refill entries for a buffer that the user did not hold. */
  refillNotHeld: number
  /** Refill entries that gave a buffer back. */
  refilled: number
}

/** Parts of the refill queue in the shared region. */
export interface RefillLayout {
  readonly head: Int32Array
  readonly tail: Int32Array
  readonly entries: Uint32Array
  readonly count: number
}

/**
 * The kernel side of a registered interface queue: its area's pool and the refill queue. With a stack the queue of that
 * stack's NIC is filled from the pool; without one (ZCRX_REG_NODEV) everything is copied into it.
 */
export class ZcrxIfq {
  readonly id: number
  readonly stack: Stack | null
  readonly pool: PagePool
  readonly stats: IfqStats = {
    completions: 0,
    zeroCopiedBytes: 0,
    copiedBytes: 0,
    copyCount: 0,
    refillInvalid: 0,
    refillNotHeld: 0,
    refilled: 0,
  }
  readonly events: ZcrxEvents | null
  readonly #kernel: Kernel
  readonly #queue: RefillLayout
  /** Our own copy: what the user writes to the shared head changes nothing. */
  #head = 0

  /** Restarts the NIC's queue over `memory`. @throws NicError and then nothing is changed */
  constructor(
    kernel: Kernel,
    id: number,
    stack: Stack | null,
    memory: NicMemory,
    queue: RefillLayout,
    events: ZcrxEvents | null = null,
  ) {
    this.#kernel = kernel
    this.events = events
    this.id = id
    this.stack = stack
    this.#queue = queue
    this.pool = stack === null ? new PagePool(0, memory) : stack.provide(memory)
    kernel.ifqs.push(this)
  }

  /**
   * Takes what the user has put into the refill queue, at most one lap. Entries are never trusted: one that names no
   * buffer is counted and ends the run, having been consumed; a buffer the user does not hold is counted and passed over
   * (kernel record points 37 to 40). Returns the entries consumed.
   */
  takeRefills(): number {
    const { tail, head, entries, count } = this.#queue
    const waiting = (Atomics.load(tail, 0) - this.#head) >>> 0
    if (waiting === 0) return 0
    let taken = Math.min(waiting, count)
    const pool = this.pool
    const mask = count - 1
    for (let i = 0; i < taken; i++) {
      const at = ((this.#head + i) & mask) * 4
      const low = entries[at]!
      // Area id above, offset bits 32..47 below: areas end before 4 GiB, so both are 0 in a good entry.
      if (entries[at + 1] !== 0 || entries[at + 3] !== 0 || low >>> pool.shift >= pool.total) {
        this.stats.refillInvalid++
        taken = i + 1
      } else if (pool.returnFromUser(low >>> pool.shift)) this.stats.refilled++
      else this.stats.refillNotHeld++
    }
    this.#head = (this.#head + taken) | 0
    Atomics.store(head, 0, this.#head)
    return taken
  }

  /** `bytes` were copied into the area. @param first of a contiguous piece, not the rest of one */
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

  census(): Census {
    if (this.stack === null) return takeCensus(this.pool, 0)
    return this.stack.census(this.pool)
  }

  /** Gives the NIC's queue back to the stack's own memory and takes back what the user held. */
  end(): void {
    const at = this.#kernel.ifqs.indexOf(this)
    if (at < 0) return
    this.#kernel.ifqs.splice(at, 1)
    this.takeRefills()
    this.pool.scrub()
    if (this.stack === null) return
    try {
      this.stack.provide(this.#kernel.options.memoryFor(this.stack))
    } catch (error) {
      // The rest of the teardown goes on: a queue that can't be restarted (its interface is gone) has nothing to give back.
      if (!(error instanceof NicError)) throw error
      this.#kernel.nicError = error
    }
  }
}
