import { ENODEV } from '../../abi/errno.ts'
import { IORING_SQ_CQ_OVERFLOW } from '../../abi/io-uring.ts'
import type { RingMemory } from '../../ring/memory.ts'

/** Where `user_data` is in an entry, bytes (`struct io_uring_sqe`). */
const USER_DATA = 32

/**
 * What is left of a ring whose kernel is gone: every request that was in flight completes with ENODEV, as those of a device that went
 * away, and so does whatever is submitted from then on. Completions that were posted before stay where they are, in front.
 */
export class Grave {
  readonly #memory: RingMemory
  readonly #waiting: number[] = []

  /** @param inFlight halves of the `user_data` of what was in flight, one behind the other */
  constructor(memory: RingMemory, inFlight: readonly number[]) {
    this.#memory = memory
    this.#waiting.push(...inFlight)
    this.enter(memory.sqEntries)
  }

  /** Takes up to `count` entries. Returns how many. */
  enter(count: number): number {
    const { control, sqHeadAt, sqTailAt, sqEntries, sqeBytes, sqes } = this.#memory
    const head = Atomics.load(control, sqHeadAt)
    const ready = Math.min((Atomics.load(control, sqTailAt) - head) >>> 0, sqEntries)
    const taken = Math.min(ready, count)
    const view = new DataView(sqes.buffer, sqes.byteOffset, sqes.byteLength)
    for (let i = 0; i < taken; i++) {
      const at = ((head + i) & (sqEntries - 1)) * sqeBytes + USER_DATA
      this.#waiting.push(view.getUint32(at, true), view.getUint32(at + 4, true))
    }
    Atomics.store(control, sqHeadAt, (head + taken) | 0)
    this.#post()
    return taken
  }

  /** As many as there is room for; of the others the flags tell. */
  #post(): void {
    const { control, cqHeadAt, cqTailAt, sqFlagsAt, cqes, cqeWords, cqEntries } = this.#memory
    let tail = Atomics.load(control, cqTailAt)
    let posted = 0
    for (; posted < this.#waiting.length; posted += 2) {
      if ((tail - Atomics.load(control, cqHeadAt)) >>> 0 >= cqEntries) break
      const at = (tail & (cqEntries - 1)) * cqeWords
      cqes[at] = this.#waiting[posted]!
      cqes[at + 1] = this.#waiting[posted + 1]!
      cqes[at + 2] = -ENODEV
      cqes.fill(0, at + 3, at + cqeWords)
      tail = (tail + 1) | 0
    }
    this.#waiting.splice(0, posted)
    Atomics.store(control, cqTailAt, tail)
    if (this.#waiting.length > 0) Atomics.or(control, sqFlagsAt, IORING_SQ_CQ_OVERFLOW)
    else Atomics.and(control, sqFlagsAt, ~IORING_SQ_CQ_OVERFLOW)
  }
}
