import type { Pulling } from '../nic.ts'

/**
 * The chunks a memory NIC has been given and not yet written to: a ring that is filled for it, first in, first out; or, with
 * a cache, what it got when it last asked, emptied from the end.
 */
export class ChunkStore implements Pulling {
  /** Where the NIC asks when its cache is empty. */
  demand: ((chunks: Uint32Array) => number) | null = null
  /** Chunks here. */
  held = 0
  readonly #cache: Uint32Array | null
  #ring = new Uint32Array(0)
  #head = 0

  /** @param cache most chunks asked for at once; 0 = a ring */
  constructor(cache: number) {
    this.#cache = cache > 0 ? new Uint32Array(cache) : null
  }

  /** Begins anew, empty. @param total chunks of the memory */
  reset(total: number): void {
    this.#ring = new Uint32Array(this.#cache === null ? total : 0)
    this.#head = 0
    this.held = 0
  }

  /** There is room for more. @param total chunks of all memory */
  grow(total: number): void {
    if (this.#cache !== null) return
    const ring = new Uint32Array(total)
    for (let i = 0; i < this.held; i++) ring[i] = this.#at(i)
    this.#ring = ring
    this.#head = 0
  }

  /** How many of the chunks from `first` to before `end` are here. */
  countOf(first: number, end: number): number {
    let count = 0
    for (let i = 0; i < this.held; i++) if (this.#at(i) >= first && this.#at(i) < end) count++
    return count
  }

  /** Takes them out. Returns how many. */
  withdraw(first: number, end: number, chunks: Uint32Array): number {
    const kept: number[] = []
    let count = 0
    for (let i = 0; i < this.held; i++) {
      const chunk = this.#at(i)
      if (chunk >= first && chunk < end) chunks[count++] = chunk
      else kept.push(chunk)
    }
    this.#head = 0
    this.held = kept.length
    const target = this.#cache ?? this.#ring
    target.set(kept)
    return count
  }

  /** Chunks that `fill` would take. */
  space(): number {
    return this.#ring.length - this.#ringHeld()
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    const taken = Math.min(count, this.space())
    for (let i = 0; i < taken; i++) {
      this.#ring[(this.#head + this.held + i) % this.#ring.length] = chunks[from + i]!
    }
    this.held += taken
    return taken
  }

  /** A chunk to write to; -1 when there is none. */
  take(): number {
    if (this.#cache !== null) {
      if (this.held === 0) this.held = this.demand?.(this.#cache) ?? 0
      return this.held === 0 ? -1 : this.#cache[--this.held]!
    }
    if (this.held === 0) return -1
    const chunk = this.#ring[this.#head]!
    this.#head = (this.#head + 1) % this.#ring.length
    this.held--
    return chunk
  }

  /** Undoes the latest `take`s, the last first. */
  giveBack(chunk: number): void {
    if (this.#cache !== null) this.#cache[this.held++] = chunk
    else {
      this.#head = (this.#head + this.#ring.length - 1) % this.#ring.length
      this.#ring[this.#head] = chunk
      this.held++
    }
  }

  #at(i: number): number {
    return this.#cache === null ? this.#ring[(this.#head + i) % this.#ring.length]! : this.#cache[i]!
  }

  #ringHeld(): number {
    return this.#cache === null ? this.held : 0
  }
}
