import type { SendRequests } from './send-queue.ts'

/** What a connection asks of whoever has made it. */
export interface ConnectionHost extends SendRequests {
  readonly area: Uint8Array
  /** Limits, in bytes, of what waits in each direction. */
  readonly sendBufferBytes: number
  readonly receiveBufferBytes: number
  release(offset: number): void
  /** A SEND has completed. */
  sent(): void
  /** Issues a SHUTDOWN of the sending side. */
  end(): void
  /** Ends the receive request and issues a CLOSE. */
  close(): void
  /** Ends receive and send requests and closes so that the peer is sent a reset. */
  reset(): void
  /** Issues the receive request, with the next turn. */
  receive(): void
  /** One more who wants the process to stay alive, or one less. */
  hold(by: 1 | -1): void
  /** Makes that turn come. */
  wake(): void
  /** Ends the receive request: data waits in the socket, and closes the peer's window. */
  pause(): void
  /** Something was received: `arrived` is to be called at the end of the batch. */
  news(): void
  /** Sets an option of the socket. */
  setOption(level: number, name: number, value: number): void
  /** A callback threw: the connection is reset, and the program is told. */
  threw(error: unknown): void
  /** Bytes were copied for whoever reads a stream. */
  copied(bytes: number): void
  /** Nothing refers to the connection's id any more. */
  gone(): void
}

/** How bytes are sent. */
export interface SendOptions {
  /**
   * They are sent from where they lie (SEND_ZC) instead of being copied to the socket first: they may be changed when the peer has
   * acknowledged them, and not before. Worth it for large pieces, several of which are on their way at once. Default false.
   */
  readonly zeroCopy?: boolean
}
