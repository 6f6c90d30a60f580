import { copyBytes } from '../../copies.ts'
import { ArgumentError } from '../../errors.ts'
import { PAGE } from '../../pages.ts'
import type { Addresser } from '../abi/sqe.ts'
import type { RingBackend } from './backend.ts'

/** Bytes that small pieces are cut from at a time. */
const SLAB_BYTES = 16 * PAGE
/** The smallest piece: a cache line, so that no two structures share one. */
const LEAST_SHIFT = 6
/** The largest that is cut from a slab; what is larger has pages of its own. */
const MOST_SHIFT = 14

/**
 * Memory that both sides of a ring can reach: structures, addresses of sockets, bytes to send. What is in it may stand in entries on
 * any back end; other memory only where the back end reaches it. What is given back is used again.
 */
export class Arena implements Addresser {
  readonly #backend: Pick<RingBackend, 'allocate' | 'addressOf' | 'reaches'>
  /** What was given out and did not come back: what else is given back is nobody's. */
  readonly #out = new WeakSet<Uint8Array>()
  /** Pieces that came back, by the binary logarithm of their size. */
  readonly #free: Uint8Array[][] = []
  #slab: Uint8Array = new Uint8Array(0)
  #used = 0

  /** @internal use `Ring.arena` */
  constructor(backend: Pick<RingBackend, 'allocate' | 'addressOf' | 'reaches'>) {
    this.#backend = backend
  }

  /** Zeroed bytes on a boundary of 64, the caller's until `give`. @throws ArgumentError for what is no number of bytes */
  take(bytes: number): Uint8Array {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new ArgumentError(`${bytes} is no number of bytes`, 'ask for 0 or more')
    }
    const shift = shiftOf(bytes)
    const piece = (this.#free[shift]?.pop()?.fill(0) ?? this.#cut(shift)).subarray(0, bytes)
    this.#out.add(piece)
    return piece
  }

  #cut(shift: number): Uint8Array {
    const size = 2 ** shift
    if (shift > MOST_SHIFT) return this.#backend.allocate(size)
    if (this.#used + size > this.#slab.length) {
      this.#slab = this.#backend.allocate(SLAB_BYTES)
      this.#used = 0
    }
    const piece = this.#slab.subarray(this.#used, this.#used + size)
    this.#used += size
    return piece
  }

  /**
   * Takes back what `take` gave; nobody may use it any more, on either side.
   * @throws ArgumentError for anything else, a part of it or what was given back already
   */
  give(bytes: Uint8Array): void {
    if (!this.#out.delete(bytes)) {
      throw new ArgumentError('these bytes are not out of the arena', 'give back what take returned, once')
    }
    const shift = shiftOf(bytes.length)
    this.#free[shift] ??= []
    this.#free[shift]!.push(new Uint8Array(bytes.buffer, bytes.byteOffset, 2 ** shift))
  }

  /** Zeroed pages, for regions, rings of buffers and areas. */
  pages(bytes: number): Uint8Array {
    return this.#backend.allocate(bytes)
  }

  /** The address that an entry may carry. @throws ArgumentError for memory that can't have one */
  addressOf(bytes: Uint8Array): number {
    return this.#backend.addressOf(bytes)
  }

  /** Whether bytes may stand in an entry where they are. */
  reaches(bytes: Uint8Array): boolean {
    return this.#backend.reaches(bytes)
  }
}

function shiftOf(bytes: number): number {
  return Math.max(LEAST_SHIFT, Math.ceil(Math.log2(Math.max(1, bytes))))
}

/** Lends `use` structures for as long as it takes. */
export function borrow<T>(arena: Arena, use: (scratch: Scratch) => T): T {
  const scratch = new Scratch(arena)
  try {
    return use(scratch)
  } finally {
    scratch.end()
  }
}

/** The structures of one call, given back together. */
export class Scratch {
  readonly #arena: Arena
  readonly #taken: Uint8Array[] = []
  /** What stands for memory that the other side does not reach: the caller's, and ours. */
  readonly #stands: [Uint8Array, Uint8Array][] = []

  constructor(arena: Arena) {
    this.#arena = arena
  }

  /** Zeroed bytes. */
  take(bytes: number): Uint8Array {
    const taken = this.#arena.take(bytes)
    this.#taken.push(taken)
    return taken
  }

  /** The caller's bytes where the other side reaches them, else a copy that is written back at the end. */
  lend(bytes: Uint8Array): Uint8Array {
    if (this.#arena.reaches(bytes)) return bytes
    const copy = this.take(bytes.length)
    copyBytes(copy, 0, bytes, 0, bytes.length)
    this.#stands.push([bytes, copy])
    return copy
  }

  /** The address of bytes as `lend` would pass them. */
  address(bytes: Uint8Array): number {
    return this.#arena.addressOf(this.lend(bytes))
  }

  end(): void {
    for (const [bytes, copy] of this.#stands) bytes.set(copy)
    for (const taken of this.#taken) this.#arena.give(taken)
    this.#taken.length = 0
  }
}
