import type { Writable } from 'node:stream'
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
  let failed: Error | null = null
  const fail = (error: Error): void => {
    failed ??= error
  }
  writable.on('error', fail)
  try {
    for await (const views of connection.batches({ signal })) {
      await written(writable, views)
      for (const view of views) bytes += view.length
    }
    if (end) await new Promise<void>((resolve) => writable.end(resolve))
    if (failed !== null) throw failed
    return { bytes }
  } catch (error) {
    const own =
      failed !== null || (error as NodeJS.ErrnoException | null)?.code?.startsWith('ERR_STREAM') === true
    connection.reset()
    writable.destroy()
    if (own) throw new SinkError((failed ?? error) as Error, bytes, '')
    throw error
  } finally {
    writable.off('error', fail)
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
