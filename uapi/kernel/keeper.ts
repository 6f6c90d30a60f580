/**
 * How much a kernel keeps in memory of its own for one process, counted in things: requests that wait, entries that wait for their turn,
 * completions that found no room, buffers handed in one by one. There is a limit where the process is somebody else's thread: on Linux
 * memory that is charged to it.
 */
export class Keeper {
  most: number = Number.POSITIVE_INFINITY
  kept = 0
}

/** What of it is one ring's: given back with the ring. */
export class RingKeeper {
  readonly #process: Keeper
  #kept = 0
  #ended = false

  constructor(process: Keeper) {
    this.#process = process
  }

  /** Nothing more is to be kept. */
  get full(): boolean {
    return this.#ended || this.#process.kept >= this.#process.most
  }

  add(count: number): void {
    if (this.#ended) return
    this.#kept += count
    this.#process.kept += count
  }

  remove(count: number): void {
    this.add(-count)
  }

  end(): void {
    this.add(-this.#kept)
    this.#ended = true
  }
}
