/**
 * Callbacks of a server. They run inside its loop. Any connection, and the server, may be closed from any of them. One that throws
 * ends the connection it was called for: the peer is sent a reset, the others go on.
 */
export interface HandlerOf<Connection> {
  onConnection?(connection: Connection): void
  /**
   * `[offset, offset + length)` of `connection.area` is the stream's next piece. Return true when you are done with the bytes:
   * the buffer is given back. Return false to keep it, and call `connection.release(offset)` exactly once later; kept
   * buffers close the peer's window when the area runs out. To return anything else is an error, told like one that was thrown.
   */
  onData(connection: Connection, offset: number, length: number): boolean
  /** The stream is over. @param errno 0 = the peer's FIN, after all data; else positive, 104 ECONNRESET … */
  onEnd(connection: Connection, errno: number): void
  /**
   * A callback threw `error`; the connection was reset and its buffers given back, but those that `onData` had kept. Absent: the
   * error is thrown from the event loop, as of an emitter without a listener for it: `uncaughtException`.
   */
  onError?(connection: Connection, error: unknown): void
}
