import { constants, open as openDirectory } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { behind } from '../bytes.ts'
import { type FileOperations, publish, SYSTEM } from './operations.ts'
import { SinkError } from './sink-error.ts'
import type { SinkOptions, SinkSource } from './source.ts'

/** What the name of a file ends in whose stream is not whole. */
const PART = '.part'

/** How a file is written. */
export interface FileOptions extends SinkOptions {
  /**
   * When it reaches the disk: `close`, before it is called whole, its name too; `none`, when the system likes; a number, also every so many
   * milliseconds while it grows. Default `close`.
   */
  readonly fsync?: 'close' | 'none' | number
  /** Until the stream is whole the file is called `PATH.part`. Default true. */
  readonly rename?: boolean
  /** Permission bits, whatever the umask. Default 0600. */
  readonly mode?: number
  /** Something of that name is replaced. Default false: `EEXIST`. */
  readonly overwrite?: boolean
}

/** What was written, and where. */
export interface FileResult {
  /** As it was given. */
  readonly path: string
  /** Bytes written. */
  readonly bytes: number
}

/**
 * Writes a stream to a file, from where it lies: all that has arrived is one writev(2), and what arrives meanwhile is the next. A slow disk closes
 * the peer's window. The connection is closed at the end.
 * @throws SinkError when the file can't be written (the connection is reset); ConnectionError when the stream ends otherwise than by the
 * peer's FIN; AbortError. What was stored by then stays, as `PATH.part` unless `rename` is false
 */
export function toFile(connection: SinkSource, path: string, options: FileOptions = {}): Promise<FileResult> {
  return new FileWriter(path, options, SYSTEM).run(connection)
}

/** One file, from its first byte to its name. @internal */
export class FileWriter {
  readonly #path: string
  readonly #options: FileOptions
  readonly #files: FileOperations
  /** What it is called for the moment. */
  #name: string
  #fd = -1
  #bytes = 0
  #syncedAt = 0

  constructor(path: string, options: FileOptions, files: FileOperations) {
    this.#path = path
    this.#options = options
    this.#files = files
    this.#name = options.rename === false ? path : path + PART
  }

  async run(connection: SinkSource): Promise<FileResult> {
    let stream = true
    try {
      stream = false
      await this.#open()
      stream = true
      for await (const views of connection.batches({ signal: this.#options.signal })) {
        stream = false
        await this.#write(views)
        stream = true
      }
      stream = false
      await this.#finish()
      return { path: this.#path, bytes: this.#bytes }
    } catch (error) {
      connection.reset()
      await this.#giveUp()
      // The stream's own errors say what there is to say.
      if (stream) throw error
      throw new SinkError(error as NodeJS.ErrnoException, this.#bytes, this.#bytes > 0 ? this.#name : '')
    }
  }

  async #open(): Promise<void> {
    const { mode = 0o600, overwrite = false, rename = true } = this.#options
    if (overwrite) await this.#remove(this.#name)
    // Better now than when all of it has come.
    else if (rename) await this.#absent(this.#path)
    this.#fd = await promisify(this.#files.open)(this.#name, mode)
    this.#syncedAt = performance.now()
  }

  async #absent(path: string): Promise<void> {
    const { access } = await import('node:fs/promises')
    const there = await access(path).then(
      () => true,
      () => false,
    )
    if (there) throw Object.assign(new Error(`EEXIST: file already exists, '${path}'`), { code: 'EEXIST' })
  }

  async #remove(path: string): Promise<void> {
    await promisify(this.#files.remove)(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }

  /** All of `views`, however many calls it takes. */
  async #write(views: readonly Uint8Array[]): Promise<void> {
    let rest = views
    while (rest.length > 0) {
      const count = await promisify(this.#files.writev)(this.#fd, rest, this.#bytes)
      if (count === 0) throw Object.assign(new Error('the file takes no more bytes'), { code: 'EIO' })
      this.#bytes += count
      rest = behind(rest, count)
    }
    const { fsync = 'close' } = this.#options
    if (typeof fsync === 'number' && performance.now() - this.#syncedAt >= fsync) {
      await promisify(this.#files.fdatasync)(this.#fd)
      this.#syncedAt = performance.now()
    }
  }

  async #finish(): Promise<void> {
    const { fsync = 'close', rename = true, overwrite = false } = this.#options
    if (fsync !== 'none') await promisify(this.#files.fsync)(this.#fd)
    const fd = this.#fd
    this.#fd = -1
    // Some file systems (NFS, quotas) report a failed write only here.
    await promisify(this.#files.close)(fd)
    if (rename) {
      if (overwrite) await promisify(this.#files.rename)(this.#name, this.#path)
      else await this.#publish()
    }
    if (fsync !== 'none') await this.#syncName()
  }

  #publish(): Promise<void> {
    return new Promise((resolve, reject) => {
      publish(this.#files, this.#name, this.#path, (named, error) => {
        if (named) resolve()
        else reject(error ?? new Error(`${this.#path} could not be named`))
      })
    })
  }

  async #syncName(): Promise<void> {
    const directory = await promisify(openDirectory)(
      dirname(this.#path),
      constants.O_RDONLY | constants.O_DIRECTORY,
    )
    try {
      await promisify(this.#files.syncNames)(directory)
    } finally {
      await promisify(this.#files.close)(directory)
    }
  }

  /** What was stored stays; a file without a byte says nothing. */
  async #giveUp(): Promise<void> {
    if (this.#fd < 0) return
    await promisify(this.#files.close)(this.#fd).catch(() => {})
    if (this.#bytes === 0) await this.#remove(this.#name).catch(() => {})
  }
}
