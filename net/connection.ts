import { ArgumentError, ConnectionError } from '../errors.ts'
import { ECANCELED, EPIPE, ETIMEDOUT, errnoName } from '../uapi/abi/errno.ts'
import { IPPROTO_TCP } from '../uapi/abi/in.ts'
import { SO_KEEPALIVE, SOL_SOCKET } from '../uapi/abi/socket.ts'
import { TCP_KEEPIDLE, TCP_NODELAY } from '../uapi/abi/tcp.ts'
import type { HandlerOf } from './connection-handler.ts'
import type { ConnectionHost, SendOptions } from './connection-host.ts'
import type { IpEnd } from './ends.ts'
import { toNodeStream } from './node-stream.ts'
import type { ReadEnd, Reader } from './read-end.ts'
import { type Chunk, chunks, type IterateOptions, Iteration } from './reading.ts'
import { Received } from './received.ts'
import { refused, SendQueue } from './send-queue.ts'
import type { NodeStreamOptions, WebStreams, ZcrxDuplex } from './stream-types.ts'
import { allViews } from './views.ts'
import { toWebStreams } from './web-stream.ts'

export type { SendOptions } from './connection-host.ts'
export type { Chunk, IterateOptions } from './reading.ts'

/** Callbacks of a server, or of a connection that was made. */
export interface ConnectionHandler extends HandlerOf<Connection> {}

/** The receive request of a connection. */
const RUNNING = 0
const STOPPING = 1
const STOPPED = 2

/** One TCP connection. */
export class Connection implements AsyncIterable<Chunk>, ReadEnd {
  /** Counts from 1 in order of acceptance, or of connecting. */
  readonly id: number
  /** As text: `192.0.2.1`, `2001:db8::1`. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** @internal */
  local: IpEnd | null = null
  readonly #host: ConnectionHost
  /** Bytes received: 2^30 so often, and the rest. A number that is no small integer would be an object, a new one with each piece. */
  #received30 = 0
  #received = 0
  readonly #queue: SendQueue
  #streamEnded = false
  #endAsked = false
  #closeAsked = false
  #descriptorGone = false
  #closeDone = false
  #left = false
  #error = 0
  /** Why sending failed, where that says something of the other direction. */
  #sendError = 0
  /** Why this side has ended it, whatever the requests say. */
  #verdict = 0
  /** @internal */
  readonly received: Received
  #reader: Reader | null = null
  /** There are pieces of this turn. */
  #told = false
  /** Pieces were given back that nobody had read: the peer is not to believe that they were taken. */
  #unread = false
  #flow = RUNNING
  /** The application has asked for no more, for a while. */
  #pauseAsked = false
  /** More waits than may. */
  #full = false
  #closed: Promise<void> | null = null
  #resolveClosed: (() => void) | null = null
  /** @internal */
  keepsAlive = true
  /** @internal there was traffic since this was last set to false */
  active = true
  /** @internal looks at it since then without any */
  idle = 0

  /** @internal */
  readonly handler: ConnectionHandler | null

  /** @internal @param handler who is told of it; null: it is read */
  constructor(host: ConnectionHost, handler: ConnectionHandler | null, id: number, { address, port }: IpEnd) {
    this.#host = host
    this.handler = handler
    this.id = id
    this.remoteAddress = address
    this.remotePort = port
    this.#queue = new SendQueue(host, host.sendBufferBytes)
    this.received = new Received((offset) => this.#host.release(offset))
  }

  /** `IPv4` or `IPv6`, as `node:net` has it. */
  get remoteFamily(): 'IPv4' | 'IPv6' {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4'
  }

  /** The address that the peer knows us by, as text. */
  get localAddress(): string {
    return this.local?.address ?? ''
  }

  /** 0 until it is known, which is when the connection is handed out. */
  get localPort(): number {
    return this.local?.port ?? 0
  }

  /** The memory that received data lies in: of `offset`. */
  get area(): Uint8Array {
    return this.#host.area
  }

  /** Bytes received so far. */
  get bytesReceived(): number {
    return this.#received30 * 2 ** 30 + this.#received
  }

  /** Bytes that the socket has taken to send, so far. */
  get bytesSent(): number {
    return this.#queue.taken
  }

  /** Bytes that the socket has not taken yet of what was given to `send`. */
  get bytesWaiting(): number {
    return this.#queue.waiting
  }

  /** The connection is over, or about to be: the application has closed it, or an error has. */
  get closing(): boolean {
    return this.#closeAsked
  }

  /** Gives back a buffer that `onData` kept. Exactly once per kept piece. */
  release(offset: number): void {
    this.#host.release(offset)
  }

  /**
   * Sends bytes after those given before. Resolves when they may be changed: at once for small pieces, which are copied; else when the
   * socket has taken all of them, which a peer that reads slowly delays. Who does not wait has to leave them unchanged, and gets an error
   * thrown when `sendBufferBytes` wait already. Rejects with a `ConnectionError` when the connection ends before; nobody has to
   * look at that.
   * @throws ArgumentError for anything else than bytes; ZcrxError `ZCRX_SEND_BUFFER`; the connection goes on
   */
  send(bytes: Uint8Array, { zeroCopy = false }: SendOptions = {}): Promise<void> {
    if (!(bytes instanceof Uint8Array))
      throw new ArgumentError('only bytes can be sent', 'pass a Uint8Array: new TextEncoder().encode(text)')
    if (this.#closeAsked || this.#endAsked)
      return refused(new ConnectionError(['EPIPE', EPIPE], 'write', this.#place))
    this.active = true
    return this.#queue.push(bytes, zeroCopy)
  }

  get #place(): { address: string; port: number } {
    return { address: this.remoteAddress, port: this.remotePort }
  }

  /**
   * Half-closes: the peer sees the end of the stream behind everything given to `send`; receiving goes on (RFC 9293 3.6). Close
   * the connection all the same when the peer's stream has ended too.
   */
  end(): void {
    if (this.#closeAsked || this.#endAsked) return
    this.#endAsked = true
    if (this.#queue.empty) this.#host.end()
  }

  /**
   * Closes the connection once everything given to `send` has been taken; unread data makes it a reset, as close(2) does (RFC
   * 2525 2.17). What nobody has asked for yet is given back at once; a chunk in hand goes back at the iteration's next step.
   * May be called from any callback, and again.
   */
  close(): void {
    // What has come before an error ended it may still wait.
    this.#discard()
    if (this.#closeAsked) return
    this.#closeAsked = true
    if (this.#queue.empty) this.#shut()
  }

  /**
   * Ends the connection at once: what was not sent yet is thrown away, what nobody has read is given back, and the peer
   * is sent a reset (RFC 9293 3.10.5), so that it can't take the end for an orderly one. May be called from any callback, and
   * again, also behind `close()` while that waits for its last bytes to be taken.
   */
  reset(): void {
    this.#discard()
    if (!this.#descriptorGone) this.#drop(ECANCELED)
  }

  /** Resolves when the connection is over in both directions and everything of it was given back. Never rejects. */
  get closed(): Promise<void> {
    this.#closed ??= this.#left
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosed = resolve
        })
    return this.#closed
  }

  /** Closes it, and waits until that is done: `await using connection = await connect(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return this.closed
  }

  /** Nothing more is received until `resume`: data waits in the socket, and closes the peer's window. What has arrived already still comes. */
  pause(): void {
    this.#pauseAsked = true
    this.#regulate()
  }

  resume(): void {
    this.#pauseAsked = false
    this.#regulate()
  }

  /** TCP_NODELAY: small pieces leave at once, also while others are not acknowledged. */
  setNoDelay(on = true): this {
    if (!this.#descriptorGone) this.#host.setOption(IPPROTO_TCP, TCP_NODELAY, Number(on))
    return this
  }

  /** SO_KEEPALIVE. @param idleMs without traffic until the first probe; 0 leaves it as it is */
  setKeepAlive(on = false, idleMs = 0): this {
    if (this.#descriptorGone) return this
    this.#host.setOption(SOL_SOCKET, SO_KEEPALIVE, Number(on))
    // The option is in seconds.
    if (on && idleMs > 0)
      this.#host.setOption(IPPROTO_TCP, TCP_KEEPIDLE, Math.max(1, Math.ceil(idleMs / 1000)))
    return this
  }

  /** The process stays alive while the connection is open, as it does from the beginning; `unref`: not for its sake. */
  ref(on = true): this {
    if (on !== this.keepsAlive && !this.#left) this.#host.hold(on ? 1 : -1)
    this.keepsAlive = on
    return this
  }

  unref(): this {
    return this.ref(false)
  }

  /** The stream, piece by piece, in place. Leaving the loop closes the connection. @throws ConnectionError when the stream ends otherwise than by the peer's FIN */
  [Symbol.asyncIterator](): AsyncIterator<Chunk> {
    return new Iteration(
      this.#pulled(),
      chunks((bytes) => this.copied(bytes)),
    )
  }

  /**
   * The same, all that has arrived at a time: views into the area, one for each stretch that was filled without a gap. They are valid until the
   * next step, which gives the buffers back; what arrives meanwhile is the next batch. @throws as the iteration of the connection
   */
  batches(options: IterateOptions = {}): AsyncIterableIterator<Uint8Array[]> {
    return new Iteration(this.#pulled(), allViews, options)
  }

  /** The connection as a `stream.Duplex`, for whatever takes a `net.Socket`. It is the stream's from then on. */
  toNode(options: NodeStreamOptions = {}): ZcrxDuplex {
    return toNodeStream(this, this.#pulled(), options)
  }

  /** The connection as web streams; the readable one is a byte stream, for readers with buffers of their own too. */
  toWeb(): WebStreams {
    return toWebStreams(this, this.#pulled())
  }

  #pulled(): this {
    if (this.handler !== null)
      throw new ArgumentError(
        'this connection has a handler',
        'make the server without one to read connections',
      )
    if (this.#reader !== null) throw new ArgumentError('somebody reads this connection already')
    return this
  }

  /** @internal */
  attach(reader: Reader): void {
    this.#reader = reader
  }

  /** @internal */
  view(offset: number, length: number): Uint8Array {
    return this.#host.area.subarray(offset, offset + length)
  }

  /** @internal */
  drained(): void {
    if (this.#full && this.received.bytes <= this.#host.receiveBufferBytes / 2) {
      this.#full = false
      this.#regulate()
    }
  }

  /** @internal bytes were copied out of the area for whoever keeps them */
  copied(bytes: number): void {
    this.#host.copied(bytes)
  }

  /** @internal as `SendQueue.room` */
  room(): Promise<void> {
    return this.#queue.room()
  }

  /** @internal closes at once, whatever is still to be sent: the server ends */
  abandon(): void {
    this.#closeAsked = true
    this.#queue.fail(ECANCELED, this.remoteAddress, this.remotePort)
    this.#discard()
    this.#shut()
  }

  /** @internal a time without traffic is over */
  timedOut(): void {
    if (this.#descriptorGone) return
    this.#verdict = ETIMEDOUT
    this.#discard()
    this.#drop(ETIMEDOUT)
  }

  /** @internal issues the receive request, the first time or again */
  start(): void {
    if (this.#streamEnded) return
    // The descriptor is closed, and may be another connection's by now.
    if (this.#closeAsked && this.#queue.empty) this.ended(ECANCELED)
    else if (this.#pauseAsked || this.#full) this.#flow = STOPPED
    else {
      this.#flow = RUNNING
      this.#host.receive()
    }
  }

  #regulate(): void {
    if (this.#streamEnded || this.#descriptorGone) return
    const wanted = !this.#pauseAsked && !this.#full
    if (wanted && this.#flow === STOPPED) {
      this.start()
      this.#host.wake()
    } else if (!wanted && this.#flow === RUNNING) {
      this.#flow = STOPPING
      this.#host.pause()
    }
  }

  /** @internal the receive request was ended. Returns whether that was asked for, and is no end of the stream */
  stopped(): boolean {
    if (this.#flow !== STOPPING || this.#descriptorGone) return false
    this.#flow = STOPPED
    this.#regulate()
    return true
  }

  /** @internal one data completion; true when its buffer can go back at once */
  deliver(offset: number, length: number): boolean {
    this.active = true
    this.#received += length
    if (this.#received >= 0x40000000) {
      this.#received -= 0x40000000
      this.#received30++
    }
    const { handler } = this
    if (handler !== null) {
      try {
        const done: unknown = handler.onData(this, offset, length)
        if (done === true || done === false) return done
        throw new ArgumentError(
          `onData returned ${String(done)}`,
          'return true when you are done with the bytes, false to keep them until release(offset)',
        )
      } catch (error) {
        this.#host.threw(error)
        return true
      }
    }
    if (this.#closeAsked) return true
    this.received.push(offset, length)
    if (!this.#full && this.received.bytes > this.#host.receiveBufferBytes) {
      this.#full = true
      this.#regulate()
    }
    if (!this.#told) this.#host.news()
    this.#told = true
    return false
  }

  /** @internal the end of a batch that `news` was said in */
  arrived(): void {
    this.#told = false
    if (this.received.count > 0) this.received.batches++
    this.#reader?.onReadable()
  }

  /** @internal the last completion of the receive request */
  ended(errno: number): void {
    if (this.#streamEnded) return
    // Linux tells of a reset once, whoever asks first: to whoever receives it looks like the end then.
    if (errno === 0) errno = this.#sendError
    if (this.#verdict !== 0) errno = this.#verdict
    this.#streamEnded = true
    this.#error = errno
    const { handler } = this
    if (handler !== null) {
      try {
        handler.onEnd(this, errno)
      } catch (error) {
        this.#host.threw(error)
      }
    }
    // Nothing can come of it any more, in either direction: what it took is given back, whether anybody asks for it or not.
    if (errno !== 0 && !this.#closeAsked) {
      // Nor may a peer that resets leave behind what nobody has begun to read: queues are flushed (RFC 9293 3.10.7.4).
      if (this.#reader === null) this.#discard()
      this.#drop(errno)
    }
    if (handler === null) this.#reader?.onReadable()
    this.#leave()
  }

  /** @internal */
  get streamEnded(): boolean {
    return this.#streamEnded
  }

  /** @internal */
  get streamError(): ConnectionError | null {
    if (this.#error === 0) return null
    return new ConnectionError([errnoName(this.#error), this.#error], 'read', this.#place)
  }

  /** @internal the server has ended, and everything with it: no completion comes any more */
  lost(): void {
    this.#closeDone = true
    this.#queue.lost(this.remoteAddress, this.remotePort)
    this.#leave()
  }

  /** @internal a SEND completed */
  sent(res: number): void {
    this.active = true
    this.#queue.sent(res)
    this.#host.sent()
    // EPIPE: the peer's end was there before.
    if (res < 0 && res !== -EPIPE && res !== -ECANCELED) this.#sendError = -res
    if (res < 0) this.#queue.fail(-res, this.remoteAddress, this.remotePort)
    if (!this.#queue.empty) this.#sendRest()
    else if (this.#closeAsked) this.#shut()
    else if (this.#endAsked) this.#host.end()
    this.#leave()
  }

  /** @internal the CLOSE completed */
  wasClosed(): void {
    this.#closeDone = true
    // While it was paused no request is under way that could tell of the end.
    if (this.#flow === STOPPED) this.ended(ECANCELED)
    this.#leave()
  }

  /** Gives back what nobody has asked for. */
  #discard(): void {
    if (this.received.discard()) this.#unread = true
  }

  #shut(): void {
    if (this.#descriptorGone) return
    if (this.#unread) this.#drop(ECANCELED)
    else {
      this.#descriptorGone = true
      this.#host.close()
    }
  }

  /** Closes at once, with a reset if the connection still is one. */
  #drop(errno: number): void {
    this.#closeAsked = true
    this.#descriptorGone = true
    this.#queue.fail(errno, this.remoteAddress, this.remotePort)
    this.#host.reset()
  }

  /** A late completion must not find the id with another connection. */
  #leave(): void {
    if (!this.#streamEnded || !this.#closeDone || this.#queue.sending || this.#left) return
    this.#left = true
    this.#host.gone()
    this.#resolveClosed?.()
  }

  /** From a completion there is nobody to throw to: what can't be sent any further ends the connection. */
  #sendRest(): void {
    try {
      this.#queue.next()
    } catch (error) {
      this.#queue.fail(EPIPE, this.remoteAddress, this.remotePort)
      this.#host.threw(error)
    }
  }
}
