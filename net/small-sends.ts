import { copyBytes } from '../copies.ts'
import type { Arena } from '../uapi/ring/arena.ts'

/** Bytes of the largest piece that is copied, and of a place for it. */
const SMALL_BYTES = 512
/** Places that are made at a time, and at the most. */
const SLAB_PLACES = 128
const MOST_PLACES = 4096

/**
 * Small pieces that are to be sent, copied to memory whose address is known: to ask the runtime for that of a fresh array costs more,
 * and moves a very small one out of its heap.
 */
export class SmallSends {
  readonly #arena: Arena
  readonly #slabs: Uint8Array[] = []
  /** Numbers of free places, over all slabs. */
  readonly #free: number[] = []
  /** Of each slab's memory, its first place. */
  readonly #firsts = new Map<ArrayBufferLike, number>()

  constructor(arena: Arena) {
    this.#arena = arena
  }

  /** A copy, to be given back; null for what is not small, and when too many are out. */
  take(bytes: Uint8Array): Uint8Array | null {
    const { length } = bytes
    if (length > SMALL_BYTES) return null
    const place = this.#free.pop() ?? this.#more()
    if (place === undefined) return null
    const slab = this.#slabs[Math.floor(place / SLAB_PLACES)]!
    const at = (place % SLAB_PLACES) * SMALL_BYTES
    const copy = slab.subarray(at, at + length)
    copyBytes(copy, 0, bytes, 0, length)
    return copy
  }

  #more(): number | undefined {
    const first = this.#slabs.length * SLAB_PLACES
    if (first >= MOST_PLACES) return undefined
    const slab = this.#arena.pages(SLAB_PLACES * SMALL_BYTES)
    this.#slabs.push(slab)
    this.#firsts.set(slab.buffer, first)
    for (let place = first + SLAB_PLACES - 1; place > first; place--) this.#free.push(place)
    return first
  }

  /** Takes a copy back, once. Returns whether it is one of these. */
  give(copy: Uint8Array): boolean {
    const first = this.#firsts.get(copy.buffer)
    if (first === undefined) return false
    this.#free.push(first + copy.byteOffset / SMALL_BYTES)
    return true
  }
}
