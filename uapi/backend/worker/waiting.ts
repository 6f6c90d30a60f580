import { GONE } from './door.ts'

/** How the user of a ring waits for the thread that serves it. */
export interface Waiting {
  /**
   * Returns when a word of the door is no longer `value`, when it was notified, or after `timeoutMs`; false when nothing can ever
   * change it.
   */
  wait(door: Int32Array, word: number, value: number, timeoutMs: number): boolean
}

/** Looks at a word so often before the thread goes to sleep: about as long as falling asleep and waking takes. */
const SPINS = 1000

/** Blocks this thread. */
export const blocking: Waiting = {
  wait(door, word, value, timeoutMs) {
    for (let i = 0; i < SPINS; i++) if (Atomics.load(door, word) !== value) return true
    if (Atomics.load(door, GONE) === 0) Atomics.wait(door, word, value, timeoutMs)
    return true
  },
}
