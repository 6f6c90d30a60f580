/** Waiting, from the event loop, for what other threads do. */

/** A word of shared memory that another thread changes and notifies (`Atomics.notify`). */
export class WordWatch {
  readonly #words: Int32Array
  readonly #at: number
  #listening = false

  /** @param at the word's index */
  constructor(words: Int32Array, at: number) {
    this.#words = words
    this.#at = at
  }

  /**
   * Calls back once, from the event loop, when the word is no longer `seen` or was notified. Does nothing while a call is outstanding: who
   * listens again before that is called back for what he had seen then.
   */
  listen(seen: number, changed: () => void): void {
    if (this.#listening) return
    const result = Atomics.waitAsync(this.#words, this.#at, seen)
    if (!result.async) {
      setImmediate(changed)
      return
    }
    this.#listening = true
    void result.value.then(() => {
      this.#listening = false
      changed()
    })
  }
}

/** Does not end while it is held, as a handle of the event loop: a wait for a word does not keep one alive. */
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
