import type { Duplex } from 'node:stream'

/** What a stream uses of the connection it is made of. */
export interface StreamedConnection {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly remoteFamily: 'IPv4' | 'IPv6'
  readonly localAddress: string
  readonly localPort: number
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly bytesWaiting: number
  readonly closing: boolean
  readonly closed: Promise<void>
  send(bytes: Uint8Array): Promise<void>
  /** Resolves when a piece that is given now is not refused. */
  room(): Promise<void>
  end(): void
  close(): void
  reset(): void
  pause(): void
  setNoDelay(on?: boolean): unknown
  setKeepAlive(on?: boolean, idleMs?: number): unknown
  ref(): unknown
  unref(): unknown
  /** Bytes were copied out of the area. */
  copied(bytes: number): void
}

/** How a connection is made a stream of Node's. */
export interface NodeStreamOptions {
  /** The sending side stays open when the peer has ended its own, until `end()`. Default false: it ends too. */
  readonly allowHalfOpen?: boolean
  /** Bytes in one chunk at the most: what has arrived meanwhile is joined. Default 65536. */
  readonly chunkBytes?: number
  /** Bytes that may wait in the stream for whoever reads it, as `stream.Readable`'s; default 65536. */
  readonly readableHighWaterMark?: number
  /** The same of what was written; default 65536. */
  readonly writableHighWaterMark?: number
  /** Destroys the stream with an `AbortError`, and resets the connection. */
  readonly signal?: AbortSignal | undefined
}

/** A connection as what Node calls a socket: what `net.Socket` has, as far as it makes sense here. */
export interface ZcrxDuplex extends Duplex {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly remoteFamily: 'IPv4' | 'IPv6'
  readonly localAddress: string
  readonly localPort: number
  readonly localFamily: 'IPv4' | 'IPv6'
  /** Bytes received, and sent, so far. */
  readonly bytesRead: number
  readonly bytesWritten: number
  /** Always false: it is made of a connection that is there. */
  readonly connecting: boolean
  readonly pending: boolean
  readonly readyState: 'open' | 'readOnly' | 'writeOnly' | 'closed'
  /** As `setTimeout` was told; 0 = none. */
  readonly timeout: number
  address(): { address: string; family: 'IPv4' | 'IPv6'; port: number }
  /** `timeout` is emitted, and nothing else done, after so long (ms) without traffic; 0 ends that. */
  setTimeout(ms: number, callback?: () => void): this
  setNoDelay(on?: boolean): this
  /** @param idleMs without traffic until the first probe */
  setKeepAlive(on?: boolean, idleMs?: number): this
  ref(): this
  unref(): this
  /** Destroys it when all that was written has been taken. */
  destroySoon(): void
  /** Ends the connection so that the peer is sent a reset, whatever is on its way. */
  resetAndDestroy(): this
}

/** A connection as web streams. */
export interface WebStreams {
  /** A byte stream: `getReader({ mode: 'byob' })` reads into memory of one's own. */
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}
