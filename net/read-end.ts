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
  /** Gives one buffer back that was handed over. */
  release(offset: number): void
  /** From now on `reader` is told. */
  attach(reader: Reader): void
  /** Pieces were taken: there may be room for more. */
  drained(): void
  close(): void
}
