import { ECANCELED, errnoName } from './abi/errno.ts'
import type { ConnectionHandler } from './server.ts'

/** What a connection asks of its server. */
export interface ConnectionHost {
  readonly area: Uint8Array
  readonly handler: ConnectionHandler | null
  release(offset: number): void
  /** Issues a SEND of the bytes. */
  send(bytes: Uint8Array): void
  /** Issues a SHUTDOWN of the sending side. */
  end(): void
  /** Ends the receive request and issues a CLOSE. */
  close(): void
  /** Issues the receive request. */
  receive(): void
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

/** One accepted connection. */
export class Connection implements AsyncIterable<Chunk> {
  /** Counts from 1 in order of acceptance. */
  readonly id: number
  /** As text: `192.0.2.1`, `2001:db8::1`. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** Bytes received so far. */
  bytesReceived = 0
  readonly #host: ConnectionHost
  readonly #sendQueue: Uint8Array[] = []
  #sending = false
  #streamEnded = false
  #endAsked = false
  #closeAsked = false
  #closeDone = false
  #error = 0
  /** Iteration: pieces that were not asked for yet, offset and length in turn. */
  readonly #pieces: number[] = []
  #next: ((result: IteratorResult<Chunk>) => void) | null = null
  #fail: ((error: Error) => void) | null = null
  /** Offset of the chunk the iterating application holds, -1 when none. */
  #held = -1

  /** @internal */
  constructor(host: ConnectionHost, id: number, remoteAddress: string, remotePort: number) {
    this.#host = host
    this.id = id
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
  }

  /** Gives back a buffer that `onData` kept. Exactly once per kept piece. */
  release(offset: number): void {
    this.#host.release(offset)
  }

  /** Sends bytes after those given before. They are copied when they can be sent: leave them unchanged until then. */
  send(bytes: Uint8Array): void {
    if (this.#closeAsked || this.#endAsked || bytes.length === 0) return
    this.#sendQueue.push(bytes)
    this.#sendMore()
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

  /** Closes the connection once everything given to `send` has been taken; unread data makes it a reset. */
  close(): void {
    if (this.#closeAsked) return
    this.#closeAsked = true
    if (this.#sendQueue.length === 0) this.#host.close()
  }

  /** @internal closes at once, whatever is still to be sent: the server ends */
  abandon(): void {
    const waiting = !this.#closeAsked || this.#sendQueue.length > 0
    this.#closeAsked = true
    this.#sendQueue.length = 0
    if (waiting) this.#host.close()
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
    this.bytesReceived += length
    const handler = this.#host.handler
    if (handler !== null) return handler.onData(this, offset, length)
    if (this.#closeAsked) return true
    const next = this.#next
    if (next !== null) {
      this.#next = null
      this.#held = offset
      next({ value: this.#chunk(offset, length), done: false })
    } else this.#pieces.push(offset, length)
    return false
  }

  /** @internal the last completion of the receive request */
  ended(errno: number): void {
    if (this.#streamEnded) return
    this.#streamEnded = true
    this.#error = errno
    const handler = this.#host.handler
    if (handler !== null) handler.onEnd(this, errno)
    else this.#settle()
    // The application can no longer answer what it has not sent by now through the iterator or its handler.
    if (this.#closeDone) this.#host.gone()
  }

  /** @internal a SEND completed */
  sent(res: number): void {
    this.#sending = false
    const first = this.#sendQueue[0]
    if (first === undefined) return
    if (res < 0) this.#sendQueue.length = 0
    else if (res < first.length) this.#sendQueue[0] = first.subarray(res)
    else this.#sendQueue.shift()
    if (this.#sendQueue.length > 0) this.#sendMore()
    else if (this.#closeAsked) this.#host.close()
    else if (this.#endAsked) this.#host.end()
  }

  /** @internal the CLOSE completed */
  closed(): void {
    this.#closeDone = true
    if (this.#streamEnded) this.#host.gone()
  }

  /**
   * The stream, piece by piece, in place. Leaving the loop closes the connection. @throws Error (with `errno`) when the
   * stream ends otherwise than by the peer's FIN
   */
  [Symbol.asyncIterator](): AsyncIterator<Chunk> {
    return {
      next: () => {
        this.#giveBack()
        const offset = this.#pieces.shift()
        if (offset !== undefined) {
          this.#held = offset
          return Promise.resolve({ value: this.#chunk(offset, this.#pieces.shift()!), done: false })
        }
        return new Promise((resolve, reject) => {
          this.#next = resolve
          this.#fail = reject
          if (this.#streamEnded) this.#settle()
        })
      },
      return: () => {
        this.#giveBack()
        for (let i = 0; i < this.#pieces.length; i += 2) this.#host.release(this.#pieces[i]!)
        this.#pieces.length = 0
        this.close()
        return Promise.resolve({ value: undefined, done: true })
      },
    }
  }

  #settle(): void {
    const next = this.#next
    if (next === null) return
    this.#next = null
    if (this.#error === 0) {
      next({ value: undefined, done: true })
      this.close()
    } else {
      const error = new Error(`the stream ended with ${errnoName(this.#error)}`) as NodeJS.ErrnoException
      error.errno = -this.#error
      error.code = errnoName(this.#error)
      this.close()
      this.#fail?.(error)
    }
  }

  #sendMore(): void {
    if (this.#sending) return
    this.#sending = true
    this.#host.send(this.#sendQueue[0]!)
  }

  #giveBack(): void {
    if (this.#held < 0) return
    this.#host.release(this.#held)
    this.#held = -1
  }

  #chunk(offset: number, length: number): Chunk {
    return { bytes: this.#host.area.subarray(offset, offset + length), offset }
  }
}
