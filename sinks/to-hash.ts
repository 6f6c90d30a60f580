import { createHash, type Hash } from 'node:crypto'
import type { SinkOptions, SinkSource } from './source.ts'

/** What was hashed, and what it came to. */
export interface HashResult {
  /** Bytes hashed. */
  readonly bytes: number
  /** Lower-case hex. */
  readonly digest: string
}

/**
 * Hashes a stream where it lies, and closes the connection at its end. @param algorithm as `crypto.createHash` knows it
 * @throws ConnectionError when the stream ends otherwise than by the peer's FIN; AbortError; Node's error for an algorithm it has not
 */
export async function toHash(
  connection: SinkSource,
  algorithm = 'sha256',
  options: SinkOptions = {},
): Promise<HashResult> {
  const hash = hashOf(connection, algorithm)
  let bytes = 0
  for await (const views of connection.batches(options))
    for (const view of views) {
      hash.update(view)
      bytes += view.length
    }
  return { bytes, digest: hash.digest('hex') }
}

function hashOf(connection: SinkSource, algorithm: string): Hash {
  try {
    return createHash(algorithm)
  } catch (error) {
    connection.reset()
    throw error
  }
}
