import { close, constants, type NoParamCallback, open, writev } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Connection, ZcrxError } from '../api.ts'
import type { Sink, SinkResult, SinkStream, StreamContext } from './sink.ts'

/** Chunks in one writev: 1 MiB of 4 KiB chunks, so that the first are given back while more arrive. */
const BATCH = 256
/** Names tried for one connection before giving up. */
const MAX_NAMES = 1000

/** The file operations the sink needs; tests put failures in their way. */
export interface FileOperations {
  open(path: string, callback: (error: NodeJS.ErrnoException | null, fd: number) => void): void
  /** May write less than it was given. */
  writev(
    fd: number,
    buffers: readonly Uint8Array[],
    position: number,
    callback: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void
  close(fd: number, callback: NoParamCallback): void
}

const SYSTEM: FileOperations = {
  // 'wx': a file of an earlier run is never overwritten.
  open: (path, callback) => open(path, 'wx', 0o644, callback),
  writev: (fd, buffers, position, callback) => writev(fd, buffers, position, callback),
  close,
}

/**
 * A file per connection, `DIR/<address>-<port>-<id>.bin`, written straight from the area: a chunk is kept until its
 * bytes are in the file, so a slow disk closes the window of the sender.
 */
export class FileSink implements Sink {
  readonly name: string
  readonly #directory: string
  readonly #files: FileOperations

  private constructor(directory: string, files: FileOperations) {
    this.name = `file:${directory}`
    this.#directory = directory
    this.#files = files
  }

  /** Makes the directory when it is missing (its parent must exist). @throws ZcrxError when it can't be written to */
  static async create(directory: string, files: FileOperations = SYSTEM): Promise<FileSink> {
    try {
      // Not recursive: a mistyped path should be an error, and Node loops for ever where the kernel says ENOENT to it.
      await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
      await access(directory, constants.W_OK | constants.X_OK)
    } catch (error) {
      throw new ZcrxError(
        'ZCRXD_SINK',
        `can't write into ${directory} (${(error as NodeJS.ErrnoException).code})`,
        'name a directory this user may write to: --sink file:DIR',
        { cause: error },
      )
    }
    return new FileSink(directory, files)
  }

  open(connection: Connection, context: StreamContext): SinkStream {
    const base = join(
      this.#directory,
      `${connection.remoteAddress}-${connection.remotePort}-${connection.id}`,
    )
    return new FileStream(base, connection, context, this.#files)
  }
}

class FileStream implements SinkStream {
  readonly #base: string
  readonly #connection: Connection
  readonly #context: StreamContext
  readonly #files: FileOperations
  /** Chunks not yet handed to writev, oldest first. */
  #offsets: number[] = []
  #lengths: number[] = []
  #path = ''
  #fd = -1
  #busy = true
  #written = 0
  #error: Error | undefined
  #ended: ((result: SinkResult) => void) | undefined

  constructor(base: string, connection: Connection, context: StreamContext, files: FileOperations) {
    this.#base = base
    this.#connection = connection
    this.#context = context
    this.#files = files
    this.#open(0)
  }

  data(offset: number, length: number): boolean {
    // After a failure the connection is on its way out; what still arrives is not stored, and `failed` has said so.
    if (this.#error !== undefined) return true
    this.#offsets.push(offset)
    this.#lengths.push(length)
    if (!this.#busy) this.#pump()
    return false
  }

  end(): Promise<SinkResult> {
    return new Promise((resolve) => {
      this.#ended = resolve
      if (!this.#busy) this.#pump()
    })
  }

  #open(attempt: number): void {
    const path = `${this.#base}${attempt === 0 ? '' : `-${attempt + 1}`}.bin`
    this.#files.open(path, (error, fd) => {
      if (error?.code === 'EEXIST' && attempt + 1 < MAX_NAMES) return this.#open(attempt + 1)
      this.#path = path
      if (error === null) this.#fd = fd
      else this.#fail(error)
      this.#pump()
    })
  }

  /** Starts the next write; when nothing is left and the connection has ended, closes the file. */
  #pump(): void {
    if (this.#offsets.length === 0) {
      this.#busy = false
      if (this.#ended !== undefined) this.#finish(this.#ended)
      return
    }
    this.#busy = true
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
      const rest = skip(buffers, count)
      if (rest.length > 0) return this.#write(rest, offsets)
      this.#release(offsets)
      this.#pump()
    })
  }

  #release(offsets: readonly number[]): void {
    for (const offset of offsets) this.#connection.release(offset)
  }

  #fail(error: Error): void {
    this.#error = error
    const waiting = this.#offsets
    this.#offsets = []
    this.#lengths = []
    this.#release(waiting)
    if (this.#ended === undefined) this.#context.failed(error)
  }

  #finish(resolve: (result: SinkResult) => void): void {
    const result = (error: Error | undefined): SinkResult => ({
      bytes: this.#written,
      path: this.#path,
      ...(error === undefined ? {} : { error }),
    })
    this.#ended = undefined
    this.#busy = true
    if (this.#fd < 0) {
      resolve(result(this.#error))
      return
    }
    // Some file systems (NFS, quotas) report a failed write only here.
    this.#files.close(this.#fd, (error) => resolve(result(this.#error ?? error ?? undefined)))
  }
}

/** What is left of `buffers` after their first `count` bytes. */
function skip(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0
  let left = count
  while (index < buffers.length && left >= buffers[index]!.length) {
    left -= buffers[index]!.length
    index += 1
  }
  const rest = buffers.slice(index)
  if (left > 0 && rest.length > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}
