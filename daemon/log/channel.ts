import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'

type Written = (error: NodeJS.ErrnoException | null, bytes: number) => void

/** Where bytes can be put without waiting for who reads them. */
export interface Channel {
  /** Takes some of the bytes, perhaps; `EAGAIN` when there is no room now. Tells at once, or later. */
  write(bytes: Uint8Array, done: Written): void
  /** The same, at once: the process ends. @throws the error of write(2) */
  writeNow(bytes: Uint8Array): number
}

/** write(2) to a descriptor that says EAGAIN instead of waiting. */
class NonBlocking implements Channel {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Uint8Array, done: Written): void {
    let count = 0
    try {
      count = writeSync(this.#fd, bytes)
    } catch (error) {
      done(error as NodeJS.ErrnoException, 0)
      return
    }
    done(null, count)
  }

  writeNow(bytes: Uint8Array): number {
    return writeSync(this.#fd, bytes)
  }
}

/** A file: it never says EAGAIN, but its disk may be slow. One write at a time, so that others find threads for theirs. */
class Threaded implements Channel {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Uint8Array, done: Written): void {
    write(this.#fd, bytes, (error, count) => done(error, error === null ? count : 0))
  }

  writeNow(bytes: Uint8Array): number {
    return writeSync(this.#fd, bytes)
  }
}

/**
 * A channel to standard output or standard error. What may make a writer wait (pipes, terminals) is opened anew, because
 * O_NONBLOCK is a property of the open file description, which others share.
 */
export function standardChannel(fd: 1 | 2): Channel {
  const stats = fstatSync(fd)
  if (stats.isFile()) return new Threaded(fd)
  try {
    return new NonBlocking(
      openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY),
    )
  } catch {
    // A socket can't be opened (the journal's), nor what another user made. Node's own stream of it sets O_NONBLOCK.
    void (fd === 1 ? process.stdout : process.stderr)
    return new NonBlocking(fd)
  }
}
