import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { SinkError } from './sink-error.ts'
import type { SinkOptions, SinkSource } from './source.ts'

/** How a writable is written to. */
export interface WritableOptions extends SinkOptions {
  /** The writable is ended with the stream. Default true. */
  readonly end?: boolean
}

/**
 * Writes a stream from where it lies, without a copy: a buffer goes back when the writable has called back for it. So it has to be done
 * with a chunk then, as files, sockets, TLS, compression and hashes are; for one that hands the same chunk on (`PassThrough`) take
 * `connection.toNode()`, which copies. The connection is closed at the end.
 * @throws ConnectionError when the stream ends otherwise than by the peer's FIN; SinkError with the writable's error; AbortError. The
 * writable is destroyed then
 */
export async function toWritable(
  connection: SinkSource,
  writable: Writable,
  { end = true, signal }: WritableOptions = {},
): Promise<{ bytes: number }> {
  let bytes = 0
  const failure = new Failure(writable)
  try {
    for await (const views of connection.batches({ signal })) {
      await failure.or(written(writable, views))
      for (const view of views) bytes += view.length
    }
    if (end) {
      writable.end()
      await failure.or(finished(writable, { readable: false }))
    }
    return { bytes }
  } catch (error) {
    connection.reset()
    const { own } = failure
    writable.destroy()
    if (own !== null) throw new SinkError(own, bytes, '')
    throw error
  } finally {
    failure.end()
  }
}

/** What goes wrong with a writable, also where it does not call back. */
class Failure {
  /** The writable's own error. */
  own: Error | null = null
  readonly #writable: Writable
  #reject: (error: Error) => void = () => {}

  constructor(writable: Writable) {
    this.#writable = writable
    writable.on('error', this.#fail)
    writable.on('close', this.#closed)
  }

  /** Waits for it, no longer than the writable works. */
  or(promise: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#reject = reject
      if (this.own !== null) reject(this.own)
      promise.then(resolve, (error: Error) => this.#fail(error))
    })
  }

  end(): void {
    this.#writable.off('close', this.#closed)
    this.#writable.off('error', this.#fail)
    // One that was destroyed may still have an error to tell.
    this.#writable.on('error', () => {})
  }

  readonly #fail = (error: Error): void => {
    this.own ??= error
    this.#reject(error)
  }

  readonly #closed = (): void => {
    if (!this.#writable.writableFinished)
      this.#fail(Object.assign(new Error('the writable was closed'), { code: 'ERR_STREAM_PREMATURE_CLOSE' }))
  }
}

/** Resolves when the writable is done with all of them. */
function written(writable: Writable, views: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = views.length
    const done = (error?: Error | null): void => {
      if (error !== undefined && error !== null) reject(error)
      else if (--left === 0) resolve()
    }
    writable.cork()
    for (const view of views) writable.write(view, done)
    writable.uncork()
  })
}
