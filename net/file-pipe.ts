import fs, { type WriteStream, writev } from 'node:fs'
import type { Duplex } from 'node:stream'
import { behind } from '../bytes.ts'
import type { ReadEnd } from './read-end.ts'
import { allViews } from './views.ts'

/** A stream that is written to a file by the calls of `node:fs`, and not by somebody's of one's own. */
export function isPlainFile(target: unknown): target is WriteStream & { pos?: number; fd: number | null } {
  if (!(target instanceof fs.WriteStream)) return false
  const symbols = Object.getOwnPropertySymbols(target)
  const own = (name: string): unknown =>
    (target as unknown as Record<symbol, unknown>)[
      symbols.find(({ description }) => description === name) ?? Symbol()
    ]
  return own('kFs') === fs && (own('kHandle') ?? null) === null
}

/**
 * What arrives goes to a file stream from where it lies: all of it is one writev(2), behind the stream's back, so that no chunk is copied for it.
 * The file stream is written to by nobody else meanwhile, as with any pipe that is to make sense.
 */
export class FilePipe {
  readonly #source: Duplex
  readonly #end: ReadEnd
  readonly #file: WriteStream & { pos?: number; fd: number | null }
  /** The file is ended with the stream. */
  readonly endFile: boolean
  #writing = false
  #stopped = false

  constructor(source: Duplex, end: ReadEnd, file: WriteStream, endFile: boolean) {
    this.#source = source
    this.#end = end
    this.#file = file as WriteStream & { pos?: number; fd: number | null }
    this.endFile = endFile
    file.once('close', this.stop)
    if (file.pending) file.once('ready', this.pump)
    file.emit('pipe', source)
    queueMicrotask(this.pump)
  }

  /** Who is piped to. */
  get file(): WriteStream {
    return this.#file
  }

  /** Nothing more is written. */
  readonly stop = (): void => {
    this.#stopped = true
    this.#file.off('close', this.stop)
    this.#file.off('ready', this.pump)
  }

  /** Writes what waits, if the file is ready for it. */
  readonly pump = (): void => {
    const file = this.#file
    if (this.#stopped || this.#writing || file.pending || file.destroyed || this.#source.destroyed) return
    // What was written to it before comes first.
    if (file.writableLength > 0) {
      file.once('drain', this.pump)
      return
    }
    if (this.#end.received.count > 0) this.#write()
    else if (this.#end.streamEnded) this.#finish()
  }

  #write(): void {
    const { received } = this.#end
    const views = allViews(this.#end)
    const offsets = received.handOver()
    this.#writing = true
    this.#end.drained()
    this.#rest(views, () => {
      this.#writing = false
      for (const offset of offsets) this.#end.release(offset)
      this.pump()
    })
  }

  /** Writes all of `views`, however many calls it takes. */
  #rest(views: readonly Uint8Array[], done: () => void): void {
    const file = this.#file
    writev(file.fd!, views as NodeJS.ArrayBufferView[], file.pos ?? null, (error, written) => {
      if (error !== null) {
        done()
        file.destroy(error)
        return
      }
      file.bytesWritten += written
      if (file.pos !== undefined) file.pos += written
      const rest = behind(views, written)
      if (rest.length > 0 && !file.destroyed) this.#rest(rest, done)
      else done()
    })
  }

  #finish(): void {
    this.stop()
    // The reader of nothing finds the end, or what went wrong.
    this.#source.resume()
    if (this.#end.streamError === null && this.endFile) this.#source.once('end', () => this.#file.end())
  }
}
