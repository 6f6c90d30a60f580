import type { Connection } from '../api.ts'

/** What became of one connection's bytes. */
export interface SinkResult {
  /** Bytes that reached the sink for good: counted, hashed or written. */
  readonly bytes: number
  /** Lower-case hex, from the hash sink. */
  readonly sha256?: string
  /** From the file sink, when there is a file. */
  readonly path?: string
  /** Why bytes that were received did not all get there. */
  readonly error?: Error
}

/** Takes one connection's bytes, in order. */
export interface SinkStream {
  /**
   * `[offset, offset + length)` of the area. True: done with them. False: they are kept, and given back with
   * `connection.release(offset)` when they are stored.
   */
  data(offset: number, length: number): boolean
  /**
   * No more data will come. Resolves once everything kept is stored and given back; never rejects.
   * @param whole the stream came to its end: what is stored may be called whole
   */
  end(whole: boolean): Promise<SinkResult>
}

export interface StreamContext {
  /** What offsets refer to. */
  readonly area: Uint8Array
  /** The sink can't take more of this connection; called at most once, before `end`. */
  failed(error: Error): void
}

/** What earlier runs left that is not whole. */
export interface Leftovers {
  readonly count: number
  /** A few of them. */
  readonly names: readonly string[]
}

/** Where received bytes go. */
export interface Sink {
  /** For logs: `discard`, `hash`, `file:/srv/in`. */
  readonly name: string
  /** Absent: the sink keeps nothing. */
  readonly leftovers?: Leftovers
  open(connection: Connection, context: StreamContext): SinkStream
  /** Gives back what it holds of the system, when every stream has ended. */
  close?(): Promise<void>
}
