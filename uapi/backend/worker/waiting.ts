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

/** Does not end while it is held, as a handle of the event loop. */
export class KeepAlive {
  #timer: NodeJS.Timeout | null = null

  hold(): void {
    if (this.#timer === null) this.#timer = setInterval(() => {}, 2 ** 31 - 1)
    else this.#timer.ref()
  }

  release(): void {
    this.#timer?.unref()
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
