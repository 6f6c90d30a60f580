import { AbortError } from '../errors.ts'
import type { Received } from './received.ts'

/** Whoever takes what a connection has received. */
export interface Reader {
  /** Pieces wait, or the stream has ended: told once for all that a turn has brought. */
  onReadable(): void
}

/** What a reader has to do with of a connection. One at a time. */
export interface ReadEnd {
  readonly received: Received
  /** Nothing more will be received. */
  readonly streamEnded: boolean
  /** Why, when that was not the peer's FIN. */
  readonly streamError: (Error & { readonly code: string }) | null
  /** The memory that pieces lie in. */
  readonly area: Uint8Array
  /** Bytes of it. */
  view(offset: number, length: number): Uint8Array
  /** From now on `reader` is told. */
  attach(reader: Reader): void
  /** Pieces were taken: there may be room for more. */
  drained(): void
  close(): void
}

/** A piece of a stream, in place. */
export interface Chunk {
  /** A view into the area. Valid until the next step of the iteration gives the buffer back. */
  readonly bytes: Uint8Array
  /** Byte offset in the area. */
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

/** Bytes of views that are joined at the most: as much as one write is worth. */
const MOST_JOINED = 1 << 20

/** The oldest piece, in hand. */
export function oneChunk(end: ReadEnd): Chunk {
  const offset = end.received.take()
  return { bytes: end.view(offset, end.received.taken), offset }
}

/** Everything that waits, in hand: a view for each stretch of the area that pieces fill without a gap. */
export function allViews(end: ReadEnd): Uint8Array[] {
  const { received } = end
  const views: Uint8Array[] = []
  let start = received.take()
  let length = received.taken
  for (let left = received.count; left > 0; left--) {
    const offset = received.take()
    if (offset === start + length && length < MOST_JOINED) length += received.taken
    else {
      views.push(end.view(start, length))
      start = offset
      length = received.taken
    }
  }
  views.push(end.view(start, length))
  return views
}

/** A stream, step by step. Leaving the loop closes the connection. */
export class Iteration<T> implements AsyncIterableIterator<T>, Reader {
  readonly #end: ReadEnd
  readonly #take: (end: ReadEnd) => T
  readonly #signal: AbortSignal | undefined
  readonly #waiters: Waiter<T>[] = []

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
    this.#leave()
  }
}
