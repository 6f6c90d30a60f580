/** What a sink uses of a connection: it is the only one who reads it. */
export interface SinkSource {
  /** All that has come, as views that are valid until the next step. */
  batches(options?: { signal?: AbortSignal | undefined }): AsyncIterable<Uint8Array[]>
  /** Ends it in order. */
  close(): void
  /** Ends it at once: its peer can't take that for an orderly end. */
  reset(): void
}

/** What all sinks can be told. */
export interface SinkOptions {
  /** Gives up with an `AbortError`; the connection is closed, and what was stored stays where it is. */
  readonly signal?: AbortSignal | undefined
}
