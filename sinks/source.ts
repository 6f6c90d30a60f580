/** What a sink uses of a connection: it is the only one who reads it. */
export interface SinkSource {
  batches(options?: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array[]>
  close(): void
  reset(): void
}

/** What all sinks can be told. */
export interface SinkOptions {
  /** Gives up with an `AbortError`; the connection is closed, and what was stored stays where it is. */
  readonly signal?: AbortSignal | undefined
}
