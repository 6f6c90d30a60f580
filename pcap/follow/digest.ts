import { createHash, type Hash } from 'node:crypto'

const BATCH_BYTES = 65_536
/** Of no bytes: many streams have none, and making a hash costs more than anything else about them. */
const EMPTY = createHash('sha256').digest('hex')

/**
 * Puts small pieces of one stream together before they are hashed: a call costs as much as some hundred bytes. All streams share
 * it, since packets of one come in runs; many idle ones cost nothing.
 */
export class DigestBatch {
  readonly #bytes = new Uint8Array(BATCH_BYTES)
  #filled = 0
  #owner: StreamDigest | null = null

  add(owner: StreamDigest, bytes: Uint8Array, at: number, length: number): void {
    if (this.#owner !== owner || this.#filled + length > BATCH_BYTES) this.flush()
    if (length >= BATCH_BYTES) {
      owner.hash.update(bytes.subarray(at, at + length))
      return
    }
    this.#owner = owner
    this.#bytes.set(bytes.subarray(at, at + length), this.#filled)
    this.#filled += length
  }

  /** Whether bytes of this stream wait. */
  holds(owner: StreamDigest): boolean {
    return this.#owner === owner
  }

  /** Hashes what waits. */
  flush(): void {
    if (this.#filled > 0) this.#owner!.hash.update(this.#bytes.subarray(0, this.#filled))
    this.#filled = 0
    this.#owner = null
  }
}

/** SHA-256 of a stream that comes in pieces. */
export class StreamDigest {
  readonly #batch: DigestBatch
  #hash: Hash | null = null

  constructor(batch: DigestBatch) {
    this.#batch = batch
  }

  get hash(): Hash {
    this.#hash ??= createHash('sha256')
    return this.#hash
  }

  update(bytes: Uint8Array, at: number, length: number): void {
    this.#batch.add(this, bytes, at, length)
  }

  /** In hexadecimal. Nothing may follow. */
  end(): string {
    if (this.#hash === null && !this.#batch.holds(this)) return EMPTY
    this.#batch.flush()
    return this.hash.digest('hex')
  }
}
