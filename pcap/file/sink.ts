import { closeSync, ftruncateSync, writeSync } from 'node:fs'
import { createFile, PRIVATE_MODE } from './create.ts'

/** Where the bytes of a capture file go. */
export interface CaptureSink {
  /** Takes all of `bytes`, which are the writer's again when this returns. Whatever it throws, the writer passes on. */
  write(bytes: Uint8Array): void
  /** Called once, behind the last `write`. */
  close?(): void
}

/** A file, written synchronously: what `write` took survives the end of the process. */
export class FileSink implements CaptureSink {
  readonly #fd: number
  #position = 0
  #open = true
  /** Part of a write is in the file and the rest is not: what follows would be garbage. */
  #broken: unknown = null

  /**
   * Creates the file, or empties it if it is ours; a link is not followed. @param mode permission bits, whatever the umask
   * @throws the error of open(2): `ENOENT`, `EACCES`, `ELOOP` …; `EPERM` for a file of somebody else's, or with other names
   */
  constructor(path: string, mode: number = PRIVATE_MODE) {
    this.#fd = createFile(path, mode, true).fd
  }

  /**
   * @throws the error of write(2), `ENOSPC` for one. What was written of `bytes` until then is taken back where the file
   * allows it, so that a writer that hands over whole blocks leaves a file without half a block at its end.
   */
  write(bytes: Uint8Array): void {
    if (this.#broken !== null) throw this.#broken
    let done = 0
    try {
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done, bytes.length - done)
    } catch (error) {
      if (done > 0) this.#cut(error)
      throw error
    }
    this.#position += done
  }

  #cut(error: unknown): void {
    this.#broken = error
    try {
      ftruncateSync(this.#fd, this.#position)
    } catch {
      // A pipe can't be cut; the error that is reported is the first.
    }
  }

  /** Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }
}

/** A capture in memory. */
export class MemorySink implements CaptureSink {
  readonly #parts: Uint8Array[] = []
  #length = 0

  write(bytes: Uint8Array): void {
    this.#parts.push(new Uint8Array(bytes))
    this.#length += bytes.length
  }

  /** Everything written so far, in memory of its own. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length)
    let at = 0
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}
