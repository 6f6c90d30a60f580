import { fstatSync, type Stats, statSync } from 'node:fs'
import { type CaptureSink, FileSink, ZcrxError } from '../api.ts'

/** The file that a replay is captured to. Errors name it, and what to do. */
export class RunCapture implements CaptureSink {
  readonly #path: string
  readonly #file: FileSink

  /**
   * Creates the file, or empties it if it is ours. @param input the capture that is replayed, which is never emptied
   * @param mode permission bits @throws ZcrxError when it can't be written
   */
  constructor(path: string, input: string, mode?: number) {
    this.#path = path
    if (same(statOf(path), statOf(input))) {
      throw this.#failed('it is the capture that is read', 'name another file')
    }
    this.#file = this.#try(() => new FileSink(path, mode))
  }

  /** @throws ZcrxError, when the disk is full for one */
  write(bytes: Uint8Array): void {
    this.#try(() => this.#file.write(bytes))
  }

  close(): void {
    this.#file.close()
  }

  #try<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      const { code = '', errno, message } = error as NodeJS.ErrnoException
      // What the system said has a number; the rest are our own reasons.
      throw this.#failed(errno === undefined ? message : code, 'name a file that can be', error)
    }
  }

  #failed(why: string, remedy: string, cause?: unknown): ZcrxError {
    return new ZcrxError('ZCRXD_OUT', `can't write ${this.#path} (${why})`, `${remedy}: --capture FILE`, {
      cause,
    })
  }
}

/** `-` is standard input. */
function statOf(path: string): Stats | undefined {
  return path === '-' ? fstatSync(0) : statSync(path, { throwIfNoEntry: false })
}

function same(a: Stats | undefined, b: Stats | undefined): boolean {
  return a?.isFile() === true && b?.isFile() === true && a.dev === b.dev && a.ino === b.ino
}
