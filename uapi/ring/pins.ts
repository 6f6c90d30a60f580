import { IORING_CQE_F_32, IORING_CQE_F_MORE, IORING_CQE_F_SKIP } from '../abi/io-uring.ts'
import type { RingMemory } from './memory.ts'

const HIGH = 4_294_967_296

/** Requests with one `user_data`, and the memory that they name. */
interface Flight {
  requests: number
  readonly memory: Uint8Array[]
}

/**
 * Memory that requests in flight name is held until their last completion, the one without F_MORE: a SEND_ZC's is its notification.
 * Requests are told apart by `user_data`; of several with the same one all memory is held until the last has completed.
 */
export class Pins {
  readonly #memory: RingMemory
  readonly #flights = new Map<number, Flight>()

  constructor(memory: RingMemory) {
    this.#memory = memory
  }

  /** How many different `user_data` have memory in flight. */
  get size(): number {
    return this.#flights.size
  }

  /** A request is submitted. @param memory that it names; none: it counts only beside others of its `user_data` */
  submitted(userData: number, memory: readonly Uint8Array[] | null): void {
    let flight = this.#flights.get(userData)
    if (flight === undefined) {
      if (memory === null) return
      flight = { requests: 0, memory: [] }
      this.#flights.set(userData, flight)
    }
    flight.requests++
    if (memory !== null) flight.memory.push(...memory)
  }

  /** `slots` slots of completions from `head` on were read. */
  seen(head: number, slots: number): void {
    const { cqes, cqEntries, cqeWords } = this.#memory
    const there = Math.min(slots, cqEntries)
    for (let i = 0; i < there && this.#flights.size > 0; ) {
      const at = ((head + i) & (cqEntries - 1)) * cqeWords
      const flags = cqes[at + 3]!
      i += cqeWords === 4 && (flags & IORING_CQE_F_32) !== 0 ? 2 : 1
      // What fills the end of the queue, where sizes are mixed, is of no request, whatever its `user_data`.
      if ((flags & (IORING_CQE_F_MORE | IORING_CQE_F_SKIP)) !== 0) continue
      const userData = (cqes[at + 1]! >>> 0) * HIGH + (cqes[at]! >>> 0)
      const flight = this.#flights.get(userData)
      if (flight !== undefined && --flight.requests <= 0) this.#flights.delete(userData)
    }
  }

  /** Nothing completes any more. */
  clear(): void {
    this.#flights.clear()
  }
}
