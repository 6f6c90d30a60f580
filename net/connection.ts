import { ArgumentError } from '../errors.ts'
import { ECANCELED, EPIPE, errnoName } from '../uapi/abi/errno.ts'

/**
 * Callbacks of a server. They run inside its loop. Any connection, and the server, may be closed from any of them. One that throws
 * ends the connection it was called for: the peer is sent a reset, the others go on.
 */
export interface ConnectionHandler {
  onConnection?(connection: Connection): void
  /**
   * `[offset, offset + length)` of `server.area` is the stream's next piece. Return true when you are done with the bytes:
   * the buffer is given back. Return false to keep it, and call `connection.release(offset)` exactly once later; kept
   * buffers close the peer's window when the area runs out.
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

/** What a connection asks of its server. */
export interface ConnectionHost {
  readonly area: Uint8Array
  readonly handler: ConnectionHandler | null
  release(offset: number): void
  /** Issues a SEND of the bytes. */
  send(bytes: Uint8Array): void
  /** It has completed. */
  sent(): void
  /** Issues a SHUTDOWN of the sending side. */
  end(): void
  /** Ends the receive request and issues a CLOSE. */
  close(): void
  /** Ends receive and send requests and closes so that the peer is sent a reset. */
  reset(): void
  /** Issues the receive request. */
  receive(): void
  /** A callback threw: the connection is reset, and the program is told. */
  threw(error: unknown): void
  /** Nothing refers to the connection's id any more. */
  gone(): void
}

/** A piece of a stream, in place. */
export interface Chunk {
  /** A view into the area. Valid until the next step of the iteration gives the buffer back. */
  readonly bytes: Uint8Array
  /** Byte offset in the area. */
  readonly offset: number
}

/** Who waits for the next piece. */
interface Waiter {
  readonly resolve: (result: IteratorResult<Chunk>) => void
  readonly reject: (error: Error) => void
}

/** One accepted connection. */
export class Connection implements AsyncIterable<Chunk> {
  /** Counts from 1 in order of acceptance. */
  readonly id: number
  /** As text: `192.0.2.1`, `2001:db8::1`. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly #host: ConnectionHost
  /** Bytes received: 2^30 so often, and the rest. A number that is no small integer would be an object, a new one with each piece. */
  #received30 = 0
  #received = 0
  readonly #sendQueue: Uint8Array[] = []
  #sending = false
  #streamEnded = false
  #endAsked = false
  #closeAsked = false
  #descriptorGone = false
  #closeDone = false
  #left = false
  #error = 0
  /** Why sending failed, where that says something of the other direction. */
  #sendError = 0
  /** Iteration: pieces that were not asked for yet, offset and length in turn. */
  readonly #pieces: number[] = []
  readonly #waiters: Waiter[] = []
  /** Pieces were given back that nobody had read: the peer is not to believe that they were taken. */
  #unread = false
  /** Offsets of the chunks that the iterating application holds: several when it asked for several at once. */
  readonly #held: number[] = []
  /** Somebody has begun to iterate, and will come back for what waits. */
  #iterated = false

  /** @internal */
  constructor(host: ConnectionHost, id: number, remoteAddress: string, remotePort: number) {
    this.#host = host
    this.id = id
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
  }

  /** Bytes received so far. */
  get bytesReceived(): number {
    return this.#received30 * 2 ** 30 + this.#received
  }

  /** Gives back a buffer that `onData` kept. Exactly once per kept piece. */
  release(offset: number): void {
    this.#host.release(offset)
  }

  /**
   * Sends bytes after those given before. They are copied when they can be sent: leave them unchanged until then.
   * @throws ArgumentError for anything else than bytes; the connection goes on
   */
  send(bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array))
      throw new ArgumentError('only bytes can be sent', 'pass a Uint8Array: new TextEncoder().encode(text)')
    if (this.#closeAsked || this.#endAsked || bytes.length === 0) return
    this.#sendQueue.push(bytes)
    try {
      this.#sendMore()
    } catch (error) {
      // Nothing was asked for: the connection goes on without these bytes.
      this.#sendQueue.pop()
      throw error
    }
  }

  /**
   * Half-closes: the peer sees the end of the stream behind everything given to `send`; receiving goes on (RFC 9293 3.6). Close
   * the connection all the same when the peer's stream has ended too.
   */
  end(): void {
    if (this.#closeAsked || this.#endAsked) return
    this.#endAsked = true
    if (this.#sendQueue.length === 0) this.#host.end()
  }

  /**
   * Closes the connection once everything given to `send` has been taken; unread data makes it a reset, as close(2) does (RFC
   * 2525 2.17). What nobody has asked for yet is given back at once; a chunk in hand goes back at the iteration's next step.
   * May be called from any callback, and again.
   */
  close(): void {
    if (this.#closeAsked) return
    this.#closeAsked = true
    this.#discard()
    if (this.#sendQueue.length === 0) this.#shut()
  }

  /**
   * Ends the connection at once: what was not sent yet is thrown away, what nobody has read is given back, and the peer
   * is sent a reset (RFC 9293 3.10.5), so that it can't take the end for an orderly one. May be called from any callback, and
   * again, also behind `close()` while that waits for its last bytes to be taken.
   */
  reset(): void {
    if (this.#descriptorGone) return
    this.#discard()
    this.#drop()
  }

  /** @internal closes at once, whatever is still to be sent: the server ends */
  abandon(): void {
    this.#closeAsked = true
    this.#sendQueue.length = 0
    this.#discard()
    this.#shut()
  }

  /** @internal issues the receive request, the first time or again */
  start(): void {
    if (this.#streamEnded) return
    // The descriptor is closed, and may be another connection's by now.
    if (this.#closeAsked && this.#sendQueue.length === 0) this.ended(ECANCELED)
    else this.#host.receive()
  }

  /** @internal one data completion; true when its buffer can go back at once */
  deliver(offset: number, length: number): boolean {
    this.#received += length
    if (this.#received >= 0x40000000) {
      this.#received -= 0x40000000
      this.#received30++
    }
    const handler = this.#host.handler
    if (handler !== null) {
      try {
        return handler.onData(this, offset, length)
      } catch (error) {
        this.#host.threw(error)
        return true
      }
    }
    if (this.#closeAsked) return true
    const waiter = this.#waiters.shift()
    if (waiter !== undefined) {
      this.#held.push(offset)
      waiter.resolve({ value: this.#chunk(offset, length), done: false })
    } else this.#pieces.push(offset, length)
    return false
  }

  /** @internal the last completion of the receive request */
  ended(errno: number): void {
    if (this.#streamEnded) return
    // Linux tells of a reset once, whoever asks first: to whoever receives it looks like the end then.
    if (errno === 0) errno = this.#sendError
    this.#streamEnded = true
    this.#error = errno
    const handler = this.#host.handler
    if (handler === null) this.#settle()
    else {
      try {
        handler.onEnd(this, errno)
      } catch (error) {
        this.#host.threw(error)
      }
    }
    // Nothing can come of it any more, in either direction: what it took is given back, whether anybody asks for it or not.
    if (errno !== 0 && !this.#closeAsked) {
      // Nor may a peer that resets leave behind what nobody has begun to read: queues are flushed (RFC 9293 3.10.7.4).
      if (!this.#iterated) this.#discard()
      this.#drop()
    }
    this.#leave()
  }

  /** @internal nothing more will be received */
  get streamEnded(): boolean {
    return this.#streamEnded
  }

  /** @internal the application has asked for the end, or an error has brought it */
  get closing(): boolean {
    return this.#closeAsked
  }

  /** @internal the server has ended, and everything with it: no completion comes any more */
  lost(): void {
    this.#closeDone = true
    this.#sending = false
    this.#leave()
  }

  /** @internal a SEND completed */
  sent(res: number): void {
    this.#host.sent()
    this.#sending = false
    // EPIPE: the peer's end was there before.
    if (res < 0 && res !== -EPIPE && res !== -ECANCELED) this.#sendError = -res
    const first = this.#sendQueue[0]
    if (first !== undefined) {
      if (res < 0) this.#sendQueue.length = 0
      else if (res < first.length) this.#sendQueue[0] = first.subarray(res)
      else this.#sendQueue.shift()
      if (this.#sendQueue.length > 0) this.#sendRest()
      else if (this.#closeAsked) this.#shut()
      else if (this.#endAsked) this.#host.end()
    }
    this.#leave()
  }

  /** @internal the CLOSE completed */
  closed(): void {
    this.#closeDone = true
    this.#leave()
  }

  /**
   * The stream, piece by piece, in place. Leaving the loop closes the connection. @throws Error (with `errno`) when the
   * stream ends otherwise than by the peer's FIN
   */
  [Symbol.asyncIterator](): AsyncIterator<Chunk> {
    this.#iterated = true
    return {
      next: () => {
        this.#giveBack()
        const offset = this.#pieces.shift()
        if (offset !== undefined) {
          this.#held.push(offset)
          return Promise.resolve({ value: this.#chunk(offset, this.#pieces.shift()!), done: false })
        }
        return new Promise((resolve, reject) => {
          this.#waiters.push({ resolve, reject })
          if (this.#streamEnded) this.#settle()
        })
      },
      return: () => {
        this.#giveBack()
        this.#discard()
        this.close()
        return Promise.resolve({ value: undefined, done: true })
      },
    }
  }

  /** Tells whoever waits how the stream ended. */
  #settle(): void {
    if (this.#waiters.length === 0) return
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (this.#error === 0) resolve({ value: undefined, done: true })
      else {
        const error = new Error(`the stream ended with ${errnoName(this.#error)}`) as NodeJS.ErrnoException
        error.errno = -this.#error
        error.code = errnoName(this.#error)
        reject(error)
      }
    }
    this.close()
  }

  /** Gives back what nobody has asked for. */
  #discard(): void {
    if (this.#pieces.length === 0) return
    this.#unread = true
    for (let i = 0; i < this.#pieces.length; i += 2) this.#host.release(this.#pieces[i]!)
    this.#pieces.length = 0
  }

  #shut(): void {
    if (this.#descriptorGone) return
    if (this.#unread) this.#drop()
    else {
      this.#descriptorGone = true
      this.#host.close()
    }
  }

  /** Closes at once, with a reset if the connection still is one. */
  #drop(): void {
    this.#closeAsked = true
    this.#descriptorGone = true
    this.#sendQueue.length = 0
    this.#host.reset()
  }

  /** A late completion must not find the id with another connection. */
  #leave(): void {
    if (!this.#streamEnded || !this.#closeDone || this.#sending || this.#left) return
    this.#left = true
    this.#host.gone()
  }

  #sendMore(): void {
    if (this.#sending) return
    this.#host.send(this.#sendQueue[0]!)
    this.#sending = true
  }

  /** From a completion there is nobody to throw to: what can't be sent any further ends the connection. */
  #sendRest(): void {
    try {
      this.#sendMore()
    } catch (error) {
      this.#sendQueue.length = 0
      this.#host.threw(error)
    }
  }

  #giveBack(): void {
    for (const offset of this.#held) this.#host.release(offset)
    this.#held.length = 0
  }

  #chunk(offset: number, length: number): Chunk {
    return { bytes: this.#host.area.subarray(offset, offset + length), offset }
  }
}
