import { addAbortSignal, Duplex } from 'node:stream'
import { FilePipe, isPlainFile } from './file-pipe.ts'
import { joined } from './joining.ts'
import type { ReadEnd, Reader } from './read-end.ts'
import type { NodeStreamOptions, StreamedConnection, ZcrxDuplex } from './stream-types.ts'

const CHUNK_BYTES = 64 << 10
const HIGH_WATER_MARK = 64 << 10

/** A connection as a stream. @param end what is received, whose only reader the stream is from now on */
export function toNodeStream(
  connection: StreamedConnection,
  end: ReadEnd,
  options: NodeStreamOptions,
): ZcrxDuplex {
  const stream = new ConnectionStream(connection, end, options)
  const { signal } = options
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

class ConnectionStream extends Duplex implements ZcrxDuplex, Reader {
  readonly #connection: StreamedConnection
  readonly #end: ReadEnd
  readonly #chunkBytes: number
  readonly connecting = false
  readonly pending = false
  /** Somebody has asked for more. */
  #wanted = false
  timeout = 0
  /** What it is piped to, where that is a file. */
  #file: FilePipe | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(connection: StreamedConnection, end: ReadEnd, options: NodeStreamOptions) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      readableHighWaterMark: options.readableHighWaterMark ?? HIGH_WATER_MARK,
      writableHighWaterMark: options.writableHighWaterMark ?? HIGH_WATER_MARK,
    })
    this.#connection = connection
    this.#end = end
    this.#chunkBytes = options.chunkBytes ?? CHUNK_BYTES
    end.attach(this)
  }

  // ---- receiving ------------------------------------------------------------------------------------------------

  /**
   * As of any stream; what goes to a file goes there from where it lies, without a copy, as long as nobody else looks at the stream's data.
   */
  override pipe<T extends NodeJS.WritableStream>(target: T, options?: { end?: boolean }): T {
    const alone =
      this.readableFlowing === null &&
      this.readableLength === 0 &&
      this.readableEncoding === null &&
      this.#file === null &&
      this.listenerCount('data') === 0 &&
      this.listenerCount('readable') === 0
    if (!alone || !isPlainFile(target)) return super.pipe(target, options)
    this.#file = new FilePipe(this, this.#end, target, options?.end !== false)
    return target
  }

  override unpipe(target?: NodeJS.WritableStream): this {
    const file = this.#file
    if (file === null || (target !== undefined && target !== file.file)) return super.unpipe(target)
    file.stop()
    this.#file = null
    file.file.emit('unpipe', this)
    return this
  }

  /** Who looks at the data of a stream that goes to a file has it as of any other. */
  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    const file = this.#file
    if (file !== null && (event === 'data' || event === 'readable')) {
      this.unpipe()
      super.pipe(file.file, { end: file.endFile })
    }
    return super.on(event, listener as (...args: unknown[]) => void)
  }

  override addListener(event: string | symbol, listener: (...args: never[]) => void): this {
    return this.on(event, listener)
  }

  override _read(): void {
    this.#wanted = true
    this.#feed()
  }

  /** Something has arrived. */
  onReadable(): void {
    this.#active()
    // Who is told of the end of a stream that was reset should not have to read first.
    if (this.#end.streamError !== null && this.#end.received.count === 0) this.#cut()
    else if (this.#file !== null) this.#file.pump()
    else if (this.#wanted) this.#feed()
  }

  #feed(): void {
    const { received } = this.#end
    while (this.#wanted && received.count > 0) {
      // A stream's consumer may keep what it gets, so it gets a copy, and the buffers go back at once.
      const chunk = joined(this.#end, this.#chunkBytes)
      this.#connection.copied(chunk.length)
      this.#wanted = false
      if (this.push(chunk)) this.#wanted = true
    }
    if (!this.#end.streamEnded || received.count > 0 || this.destroyed) return
    if (this.#end.streamError !== null) this.#cut()
    else if (this.#wanted) {
      this.#wanted = false
      this.push(null)
    }
  }

  /** The stream is over before its end. What this side has closed itself is no error, as of sockets. */
  #cut(): void {
    const error = this.#end.streamError!
    this.destroy(error.code === 'ECANCELED' ? undefined : error)
  }

  // ---- sending --------------------------------------------------------------------------------------------------

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#active()
    this.#connection.send(chunk).then(() => {
      this.#active()
      done()
    }, done)
  }

  override _writev(
    chunks: { chunk: Uint8Array; encoding: string }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#active()
    this.#sendAll(chunks).then(() => {
      this.#active()
      done()
    }, done)
  }

  async #sendAll(chunks: readonly { chunk: Uint8Array }[]): Promise<void> {
    const total = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0)
    if (total <= HIGH_WATER_MARK)
      return this.#connection.send(Buffer.concat(chunks.map(({ chunk }) => chunk)))
    let last = Promise.resolve()
    for (const { chunk } of chunks) {
      last = this.#connection.send(chunk)
      await this.#connection.room()
    }
    return last
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const connection = this.#connection
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    // What was written and is not on its way is thrown away: the peer is not to take that for the end.
    if (error !== null || (!this.writableFinished && connection.bytesWaiting > 0)) connection.reset()
    else connection.close()
    void connection.closed.then(() => done(error))
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', this.destroy)
  }

  resetAndDestroy(): this {
    this.#connection.reset()
    return this.destroy()
  }

  // ---- as a socket ----------------------------------------------------------------------------------------------

  setTimeout(ms: number, callback?: () => void): this {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.timeout = ms
    if (callback !== undefined) {
      if (ms > 0) this.once('timeout', callback)
      else this.removeListener('timeout', callback)
    }
    if (ms > 0 && !this.destroyed) {
      this.#timer = setTimeout(() => this.emit('timeout'), ms)
      this.#timer.unref()
    }
    return this
  }

  #active(): void {
    this.#timer?.refresh()
  }

  setNoDelay(on = true): this {
    this.#connection.setNoDelay(on)
    return this
  }

  setKeepAlive(on = false, idleMs = 0): this {
    this.#connection.setKeepAlive(on, idleMs)
    return this
  }

  ref(): this {
    this.#connection.ref()
    return this
  }

  unref(): this {
    this.#connection.unref()
    return this
  }

  address(): { address: string; family: 'IPv4' | 'IPv6'; port: number } {
    return { address: this.localAddress, family: this.localFamily, port: this.localPort }
  }
  get remoteAddress(): string {
    return this.#connection.remoteAddress
  }
  get remotePort(): number {
    return this.#connection.remotePort
  }
  get remoteFamily(): 'IPv4' | 'IPv6' {
    return this.#connection.remoteFamily
  }
  get localAddress(): string {
    return this.#connection.localAddress
  }
  get localPort(): number {
    return this.#connection.localPort
  }
  get localFamily(): 'IPv4' | 'IPv6' {
    return this.localAddress.includes(':') ? 'IPv6' : 'IPv4'
  }
  get bytesRead(): number {
    return this.#connection.bytesReceived
  }
  get bytesWritten(): number {
    return this.#connection.bytesSent + this.#connection.bytesWaiting + this.writableLength
  }
  get readyState(): 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.readable && this.writable) return 'open'
    if (this.readable) return 'readOnly'
    return this.writable ? 'writeOnly' : 'closed'
  }
}
