import { behind } from '../../bytes.ts'
import { type FileOperations, type FsyncPolicy, publish } from '../../sinks/operations.ts'
import type { Connection } from '../api.ts'
import type { SinkResult, SinkStream, StreamContext } from './sink.ts'

/** What the name of a file ends in whose stream is not whole. */
export const PART = '.part'
/** Chunks in one writev: 1 MiB of 4 KiB chunks, so that the first are given back while more arrive. */
const BATCH = 256
/** Names tried for one connection before giving up. */
const MAX_NAMES = 1000

export interface FileStreamOptions {
  readonly files: FileOperations
  readonly fsync: FsyncPolicy
  readonly mode: number
  /** Of the directory whose names are to reach the disk; -1: they need not. */
  readonly directoryFd: number
}

type Failure = NodeJS.ErrnoException | null

/** One connection's file. It is made when there is something to write, or the stream was whole and empty. */
export class FileStream implements SinkStream {
  readonly #base: string
  readonly #connection: Connection
  readonly #context: StreamContext
  readonly #files: FileOperations
  readonly #options: FileStreamOptions
  /** Chunks not yet handed to writev, oldest first. */
  #offsets: number[] = []
  #lengths: number[] = []
  /** Which of the names that this connection may have. */
  #number = 1
  #path = ''
  #fd = -1
  #busy = false
  #written = 0
  #error: Error | undefined
  #whole = false
  #ended: ((result: SinkResult) => void) | undefined
  /** Bytes were written since the last sync; when the next is due; whether one is under way. */
  #dirty = false
  #syncTimer: NodeJS.Timeout | undefined
  #syncing = false
  /** The file is to be closed when that is over. */
  #finishing = false

  /** @param base path without what tells names apart and what they end in */
  constructor(base: string, connection: Connection, context: StreamContext, options: FileStreamOptions) {
    this.#base = base
    this.#connection = connection
    this.#context = context
    this.#files = options.files
    this.#options = options
  }

  data(offset: number, length: number): boolean {
    // After a failure the connection is on its way out; what still arrives is not stored, and `failed` has said so.
    if (this.#error !== undefined) return true
    this.#offsets.push(offset)
    this.#lengths.push(length)
    if (!this.#busy) this.#pump()
    return false
  }

  end(whole: boolean): Promise<SinkResult> {
    return new Promise((resolve) => {
      this.#whole = whole
      this.#ended = resolve
      if (!this.#busy) this.#pump()
    })
  }

  #name(suffix: string): string {
    return `${this.#base}${this.#number === 1 ? '' : `-${this.#number}`}.bin${suffix}`
  }

  #open(): void {
    const path = this.#name(PART)
    this.#files.open(path, this.#options.mode, (error, fd) => {
      if (error?.code === 'EEXIST' && this.#number < MAX_NAMES) {
        this.#number += 1
        return this.#open()
      }
      if (error === null) {
        this.#path = path
        this.#fd = fd
      } else this.#fail(error)
      this.#pump()
    })
  }

  /** Starts the next write; when nothing is left and the connection has ended, finishes the file. */
  #pump(): void {
    const waits = this.#offsets.length > 0
    const emptyFile = this.#ended !== undefined && this.#whole
    this.#busy = true
    if (this.#fd < 0 && this.#error === undefined && (waits || emptyFile)) this.#open()
    else if (waits) this.#writeNext()
    else if (this.#ended !== undefined) this.#finish()
    else this.#busy = false
  }

  #writeNext(): void {
    const offsets = this.#offsets.splice(0, BATCH)
    const lengths = this.#lengths.splice(0, BATCH)
    const { area } = this.#context
    this.#write(
      offsets.map((offset, i) => area.subarray(offset, offset + lengths[i]!)),
      offsets,
    )
  }

  /** Writes all of `buffers` at the end of the file, however many calls it takes, then gives their chunks back. */
  #write(buffers: Uint8Array[], offsets: number[]): void {
    this.#files.writev(this.#fd, buffers, this.#written, (error, count) => {
      if (error !== null || count === 0) {
        this.#fail(error ?? new Error('the file takes no more bytes'))
        this.#release(offsets)
        return this.#pump()
      }
      this.#written += count
      this.#syncLater()
      const rest = behind(buffers, count)
      if (rest.length > 0) return this.#write(rest, offsets)
      this.#release(offsets)
      this.#pump()
    })
  }

  #release(offsets: readonly number[]): void {
    for (const offset of offsets) this.#connection.release(offset)
  }

  #fail(error: Error): void {
    if (this.#error !== undefined) return
    this.#error = error
    const waiting = this.#offsets
    this.#offsets = []
    this.#lengths = []
    this.#release(waiting)
    if (this.#ended === undefined) this.#context.failed(error)
  }

  // ---- while it grows -------------------------------------------------------------------------------------------

  #syncLater(): void {
    this.#dirty = true
    const { fsync } = this.#options
    if (fsync.kind !== 'interval' || this.#syncTimer !== undefined || this.#syncing) return
    this.#syncTimer = setTimeout(() => this.#sync(), fsync.everyMs)
  }

  #sync(): void {
    this.#syncTimer = undefined
    this.#syncing = true
    this.#dirty = false
    this.#files.fdatasync(this.#fd, (error) => {
      this.#syncing = false
      if (error !== null) this.#fail(error)
      else if (this.#dirty) this.#syncLater()
      // Whoever closes the file has waited for this.
      if (this.#finishing) this.#finish()
    })
  }

  // ---- at its end -----------------------------------------------------------------------------------------------

  /** Everything is written, or given up: the file is synced, closed, and gets its name if it is whole. */
  #finish(): void {
    this.#finishing = true
    if (this.#syncing) return
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#finishing = false
    if (this.#fd < 0) this.#done()
    else if (this.#options.fsync.kind === 'none' || this.#error !== undefined) this.#close()
    else {
      this.#files.fsync(this.#fd, (error) => {
        this.#note(error)
        this.#close()
      })
    }
  }

  #close(): void {
    // Some file systems (NFS, quotas) report a failed write only here.
    this.#files.close(this.#fd, (error) => {
      this.#note(error)
      if (this.#whole && this.#error === undefined) this.#publish()
      else if (this.#written === 0) this.#removeEmpty()
      else this.#done()
    })
  }

  #note(error: Failure | undefined): void {
    if (error !== null && error !== undefined) this.#error ??= error
  }

  #publish(): void {
    const path = this.#name('')
    publish(this.#files, this.#path, path, (named, error) => {
      if (!named && error?.code === 'EEXIST' && this.#number < MAX_NAMES) {
        this.#number += 1
        return this.#publish()
      }
      if (named) this.#path = path
      this.#note(error)
      if (named) this.#syncName()
      else this.#done()
    })
  }

  #syncName(): void {
    const { directoryFd } = this.#options
    if (directoryFd < 0) this.#done()
    else {
      this.#files.syncNames(directoryFd, (error) => {
        this.#note(error)
        this.#done()
      })
    }
  }

  /** A file that got no byte of a stream that was cut says nothing. */
  #removeEmpty(): void {
    this.#files.remove(this.#path, (error) => {
      if (error === null) this.#path = ''
      this.#done()
    })
  }

  #done(): void {
    const resolve = this.#ended!
    resolve({
      bytes: this.#written,
      ...(this.#path === '' ? {} : { path: this.#path }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    })
  }
}
