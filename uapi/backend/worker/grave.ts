import { ENODEV } from '../../abi/errno.ts'
import { IORING_CQE_F_NOTIF, IORING_SQ_CQ_OVERFLOW } from '../../abi/io-uring.ts'
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
  readonly #owed: number[]

  /**
   * @param inFlight halves of the `user_data` of what was in flight, one behind the other
   * @param owed the same of what had completed, all but for a notification: nothing reads its bytes any more
   */
  constructor(memory: RingMemory, inFlight: readonly number[], owed: readonly number[] = []) {
    this.#memory = memory
    this.#waiting.push(...inFlight)
    this.#owed = [...owed]
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
    const { control, sqFlagsAt } = this.#memory
    this.#fill(this.#owed, 0, IORING_CQE_F_NOTIF)
    this.#fill(this.#waiting, -ENODEV, 0)
    const left = this.#owed.length + this.#waiting.length
    if (left > 0) Atomics.or(control, sqFlagsAt, IORING_SQ_CQ_OVERFLOW)
    else Atomics.and(control, sqFlagsAt, ~IORING_SQ_CQ_OVERFLOW)
  }

  #fill(from: number[], res: number, flags: number): void {
    const { control, cqHeadAt, cqTailAt, cqes, cqeWords, cqEntries } = this.#memory
    let tail = Atomics.load(control, cqTailAt)
    let posted = 0
    for (; posted < from.length; posted += 2) {
      if ((tail - Atomics.load(control, cqHeadAt)) >>> 0 >= cqEntries) break
      const at = (tail & (cqEntries - 1)) * cqeWords
      cqes[at] = from[posted]!
      cqes[at + 1] = from[posted + 1]!
      cqes[at + 2] = res
      cqes[at + 3] = flags
      cqes.fill(0, at + 4, at + cqeWords)
      tail = (tail + 1) | 0
    }
    from.splice(0, posted)
    Atomics.store(control, cqTailAt, tail)
  }
}
