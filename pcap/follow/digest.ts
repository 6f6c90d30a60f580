import { createHash, type Hash } from 'node:crypto'

/** Smaller pieces are put together before they are hashed: a call costs as much as some hundred bytes. */
const BATCH_BYTES = 65_536

/** SHA-256 of a stream that comes in small pieces. */
export class StreamDigest {
  readonly #hash: Hash = createHash('sha256')
  #batch: Uint8Array | null = null
  #filled = 0

  update(bytes: Uint8Array, at: number, length: number): void {
    if (length >= BATCH_BYTES) {
      this.#flush()
      this.#hash.update(bytes.subarray(at, at + length))
      return
    }
    this.#batch ??= new Uint8Array(BATCH_BYTES)
    if (this.#filled + length > BATCH_BYTES) this.#flush()
    this.#batch.set(
      at === 0 && length === bytes.length ? bytes : bytes.subarray(at, at + length),
      this.#filled,
    )
    this.#filled += length
  }

  /** In hexadecimal. Nothing may follow. */
  end(): string {
    this.#flush()
    this.#batch = null
    return this.#hash.digest('hex')
  }

  #flush(): void {
    if (this.#filled === 0) return
    this.#hash.update(this.#batch!.subarray(0, this.#filled))
    this.#filled = 0
  }
}
