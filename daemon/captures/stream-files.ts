import { closeSync, constants, fchmodSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type FollowedStream, ZcrxError } from '../api.ts'

/** Bytes of all streams that wait for their files. */
const MAX_WAITING = 16 << 20

interface StreamFile {
  readonly path: string
  pieces: Uint8Array[]
}

/** A file per stream, `DIR/000003-client.bin`. However many streams there are, one file is open at a time. */
export class StreamFiles {
  readonly #directory: string
  readonly #files = new Map<string, StreamFile>()
  #waiting = 0

  readonly #mode: number

  /** Makes the directory when it is missing; its parent must exist. @param mode permission bits of the files @throws ZcrxError */
  constructor(directory: string, mode = 0o600) {
    this.#directory = directory
    this.#mode = mode
    try {
      mkdirSync(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw this.#failed(directory, error)
    }
  }

  /** The next bytes of a stream, which are copied. @throws ZcrxError; a file that is there is not overwritten */
  data({ stream, direction }: FollowedStream, bytes: Uint8Array, at: number, length: number): void {
    const name = `${String(stream).padStart(6, '0')}-${direction}.bin`
    let file = this.#files.get(name)
    if (file === undefined) {
      file = { path: join(this.#directory, name), pieces: [] }
      this.#create(file.path)
      this.#files.set(name, file)
    }
    file.pieces.push(bytes.slice(at, at + length))
    this.#waiting += length
    if (this.#waiting > MAX_WAITING) this.flush()
  }

  /** Writes what waits. @throws ZcrxError */
  flush(): void {
    for (const file of this.#files.values()) {
      if (file.pieces.length === 0) continue
      try {
        append(file.path, Buffer.concat(file.pieces))
      } catch (error) {
        throw this.#failed(file.path, error)
      }
      file.pieces = []
    }
    this.#waiting = 0
  }

  #create(path: string): void {
    try {
      const fd = openSync(path, 'wx', this.#mode)
      fchmodSync(fd, this.#mode)
      closeSync(fd)
    } catch (error) {
      throw this.#failed(path, error)
    }
  }

  #failed(path: string, error: unknown): ZcrxError {
    const { code } = error as NodeJS.ErrnoException
    const remedy =
      code === 'EEXIST'
        ? 'name an empty directory: nothing is overwritten'
        : 'name a directory that can be written to'
    return new ZcrxError('ZCRXD_OUT', `can't write ${path} (${code})`, `${remedy}: --out DIR`, {
      cause: error,
    })
  }
}

/** To a file that is there, and no link to another. @throws the errors of open(2) and write(2) */
function append(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW)
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
  } finally {
    closeSync(fd)
  }
}
