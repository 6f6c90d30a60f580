import { close, closeSync, constants, fsyncSync, openSync } from 'node:fs'
import { access, mkdir, opendir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type FileOperations, type FsyncPolicy, SYSTEM } from '../../sinks/operations.ts'
import { type Connection, ZcrxError } from '../api.ts'
import { FileStream, PART } from './file-stream.ts'
import type { Leftovers, Sink, SinkStream, StreamContext } from './sink.ts'

export type { FileOperations, FsyncPolicy } from '../../sinks/operations.ts'

/** Leftovers that are named. */
const NAMED = 5

export interface FileSinkOptions {
  /** Default `close`. */
  readonly fsync?: FsyncPolicy
  /** Permission bits of the files, whatever the umask. Default 0600. */
  readonly mode?: number
}

/**
 * A file per connection, written straight from the area: a chunk is kept until its bytes are in the file, so a slow disk closes
 * the window of the sender. It is `DIR/<address>-<port>-<id>.bin.part` until the stream is whole, and loses the last part of
 * its name then. What did not become whole keeps it, and nothing that exists is overwritten.
 */
export class FileSink implements Sink {
  readonly name: string
  readonly leftovers: Leftovers
  readonly #directory: string
  readonly #files: FileOperations
  readonly #fsync: FsyncPolicy
  readonly #mode: number
  /** Descriptor of the directory, whose names are to reach the disk; -1: they need not. */
  readonly #directoryFd: number

  private constructor(
    directory: string,
    leftovers: Leftovers,
    directoryFd: number,
    files: FileOperations,
    options: FileSinkOptions,
  ) {
    this.name = `file:${directory}`
    this.leftovers = leftovers
    this.#directory = directory
    this.#directoryFd = directoryFd
    this.#files = files
    this.#fsync = options.fsync ?? { kind: 'close' }
    this.#mode = options.mode ?? 0o600
  }

  /** Makes the directory when it is missing (its parent must exist). @throws ZcrxError when it can't be written to */
  static async create(
    directory: string,
    options: FileSinkOptions = {},
    files: FileOperations = SYSTEM,
  ): Promise<FileSink> {
    const syncs = options.fsync?.kind !== 'none'
    try {
      // Not recursive: a mistyped path should be an error, and Node loops for ever where the kernel says ENOENT to it.
      const made = await mkdir(directory).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error
          return false
        },
      )
      if (made && syncs) syncOnce(dirname(directory))
      if (!(await stat(directory)).isDirectory())
        throw Object.assign(new Error(`${directory} is no directory`), { code: 'ENOTDIR' })
      await access(directory, constants.W_OK | constants.X_OK)
      const leftovers = await findLeftovers(directory)
      const fd = syncs ? openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY) : -1
      return new FileSink(directory, leftovers, fd, files, options)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new ZcrxError(
        'ZCRXD_SINK',
        code === 'ENOTDIR'
          ? `can't write into ${directory}: it is no directory, and each connection has a file of its own`
          : `can't write into ${directory} (${code})`,
        code === 'ENOTDIR'
          ? 'name the directory to put the files into: --sink file:DIR'
          : 'name a directory this user may write to and list: --sink file:DIR',
        { cause: error },
      )
    }
  }

  open(connection: Connection, context: StreamContext): SinkStream {
    const { remoteAddress, remotePort, id } = connection
    const base = join(this.#directory, `${remoteAddress}-${remotePort}-${id}`)
    return new FileStream(base, connection, context, {
      files: this.#files,
      fsync: this.#fsync,
      mode: this.#mode,
      directoryFd: this.#directoryFd,
    })
  }

  close(): Promise<void> {
    if (this.#directoryFd < 0) return Promise.resolve()
    return new Promise((resolve) => close(this.#directoryFd, () => resolve()))
  }
}

/** The name of a directory that was just made reaches the disk, where that can be had. */
function syncOnce(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } catch (error) {
    // Some file systems can't (fsync(2)): they keep names otherwise.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
  } finally {
    closeSync(fd)
  }
}

/** What earlier runs did not bring to its end. */
async function findLeftovers(directory: string): Promise<Leftovers> {
  const names: string[] = []
  let count = 0
  for await (const entry of await opendir(directory)) {
    if (!entry.name.endsWith(PART)) continue
    count += 1
    if (names.length < NAMED) names.push(entry.name)
  }
  return { count, names }
}
