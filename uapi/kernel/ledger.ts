/** Words of a slot: whether it is taken, and the halves of `user_data`. */
const SLOT = 4
const FIRST_SLOTS = 64

/** What a slot is taken by: a request without its last completion, or one that has it, all but its notification. */
const WAITS = 1
export const OWED = 2

/**
 * The requests of a ring that are in flight, in memory that outlives this thread: whoever finds it gone reads there what nobody will
 * complete any more. Written when a request begins to wait and when it completes, never per piece of data.
 */
export class Ledger {
  /** Called with the memory, at first and whenever there is more of it: what was there before is in it. */
  readonly #onMemory: (memory: SharedArrayBuffer) => void
  readonly #free: number[] = []
  #words: Int32Array

  constructor(onMemory: (memory: SharedArrayBuffer) => void) {
    this.#onMemory = onMemory
    this.#words = new Int32Array(0)
  }

  /** A request waits, or is owed a notification. Returns its slot. */
  enter(userDataLow: number, userDataHigh: number, taken = WAITS): number {
    if (this.#free.length === 0) this.#grow()
    const slot = this.#free.pop()!
    const at = slot * SLOT
    this.#words[at + 1] = userDataLow
    this.#words[at + 2] = userDataHigh
    this.#words[at] = taken
    return slot
  }

  /** It has completed. */
  leave(slot: number): void {
    this.#words[slot * SLOT] = 0
    this.#free.push(slot)
  }

  #grow(): void {
    const before = this.#words
    const slots = before.length / SLOT
    const more = Math.max(FIRST_SLOTS, slots * 2)
    const memory = new SharedArrayBuffer(more * SLOT * 4)
    this.#words = new Int32Array(memory)
    this.#words.set(before)
    // Low numbers first, so that the memory in use stays together.
    for (let slot = more - 1; slot >= slots; slot--) this.#free.push(slot)
    this.#onMemory(memory)
  }
}

/** What a ledger's memory says is in flight: the halves of `user_data`, one behind the other. */
export function inFlight(memory: SharedArrayBuffer | null, taken = WAITS): number[] {
  if (memory === null) return []
  const words = new Int32Array(memory)
  const found: number[] = []
  for (let at = 0; at < words.length; at += SLOT)
    if (words[at] === taken) found.push(words[at + 1]! >>> 0, words[at + 2]! >>> 0)
  return found
}
