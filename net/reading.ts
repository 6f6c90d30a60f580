import { AbortError } from '../errors.ts'
import { joinInto } from './joining.ts'
import type { ReadEnd, Reader } from './read-end.ts'

/** A piece of a stream. */
export interface Chunk {
  /**
   * A view into the area, or a copy of several pieces that waited because the loop did not keep up. Either is valid until the next step of
   * the iteration, which gives the buffers back.
   */
  readonly bytes: Uint8Array
  /** Byte offset in the area; -1 for a copy. */
  readonly offset: number
}

/** How an iteration waits. */
export interface IterateOptions {
  /** Ends the iteration with an `AbortError`, and closes the connection. */
  readonly signal?: AbortSignal | undefined
}

/** Who waits for the next step. */
interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T>) => void
  readonly reject: (error: unknown) => void
}

/** Bytes of a copy at the most. */
const COPY_BYTES = 256 << 10

/**
 * Steps of single chunks: the oldest piece in hand, as long as the loop keeps up. One that waits for something in each step, as for a file, would
 * wait once for each frame; so what has come meanwhile is joined for it, in memory that is used over and over.
 */
export function chunks(copied: (bytes: number) => void): (end: ReadEnd) => Chunk {
  let memory: Uint8Array | null = null
  return (end) => {
    const { received } = end
    if (received.batches > 1 && received.count > 1) {
      memory ??= new Uint8Array(new ArrayBuffer(COPY_BYTES))
      const bytes = memory.subarray(0, joinInto(end, memory))
      copied(bytes.length)
      return { bytes, offset: -1 }
    }
    const offset = received.take()
    return { bytes: end.view(offset, received.taken), offset }
  }
}

/** A stream, step by step. Leaving the loop closes the connection. */
export class Iteration<T> implements AsyncIterableIterator<T>, Reader {
  readonly #end: ReadEnd
  readonly #take: (end: ReadEnd) => T
  readonly #signal: AbortSignal | undefined
  readonly #waiters: Waiter<T>[] = []
  #left = false

  constructor(end: ReadEnd, take: (end: ReadEnd) => T, { signal }: IterateOptions = {}) {
    this.#end = end
    this.#take = take
    this.#signal = signal
    end.attach(this)
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T>> {
    const end = this.#end
    end.received.giveBack()
    if (this.#left && this.#signal?.aborted !== true) return Promise.resolve({ value: undefined, done: true })
    if (this.#signal?.aborted === true) {
      this.#leave()
      return Promise.reject(new AbortError(this.#signal.reason))
    }
    if (end.received.count > 0) return Promise.resolve(this.#step())
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      if (end.streamEnded) this.#settle()
    })
  }

  return(): Promise<IteratorResult<T>> {
    this.#left = true
    for (const { resolve } of this.#waiters.splice(0)) resolve({ value: undefined, done: true })
    this.#leave()
    return Promise.resolve({ value: undefined, done: true })
  }

  onReadable(): void {
    while (this.#waiters.length > 0 && this.#end.received.count > 0)
      this.#waiters.shift()!.resolve(this.#step())
    if (this.#end.streamEnded && this.#waiters.length > 0) this.#settle()
  }

  #step(): IteratorResult<T> {
    const value = this.#take(this.#end)
    this.#end.drained()
    return { value, done: false }
  }

  /** Tells whoever waits how the stream ended. */
  #settle(): void {
    const { streamError } = this.#end
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (streamError === null) resolve({ value: undefined, done: true })
      else reject(streamError)
    }
    this.#leave()
  }

  #leave(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#end.received.giveBack()
    this.#end.close()
  }

  readonly #abort = (): void => {
    const error = new AbortError(this.#signal!.reason)
    for (const { reject } of this.#waiters.splice(0)) reject(error)
    // What the loop has in hand it may be looking at: that goes back with its next step.
    this.#end.close()
  }
}
