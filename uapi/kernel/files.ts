import type { PayloadSink } from '../../stack/tcp/sink.ts'
import { Keeper } from './keeper.ts'

/** Most descriptors, as a process's usual hard limit. */
const MAX_FILES = 1_048_576
/** The first number given out: a process has standard streams below. */
const FIRST_FILE = 3

/** A request that waits on something open. */
export interface Waiter {
  /** Those that wait for longer have smaller numbers. */
  readonly armed: number
  /** What may be given payload straight away, if it receives. */
  readonly sink: PayloadSink | null
  /**
   * Something it may wait for has happened: it goes on with its ring's next entry.
   * @param events those of poll(2) that it was; 0 or none: whatever is true now
   */
  wake(events?: number): void
  /** Ends it. @param res minus errno */
  finish(res: number): void
}

/** What a descriptor can name. */
export interface OpenFile {
  /** `foreign`: something that is not this kernel's, known by its number only. */
  readonly kind: 'socket' | 'ring' | 'zcrx' | 'foreign'
  /** A descriptor, or a slot of fixed files, that named it lets go. */
  release(): void
  /**
   * Its memory from the start, shared with whoever else maps it, and room of the process's own behind; or minus errno.
   * @param bytes,tailBytes whole pages
   */
  map?(bytes: number, tailBytes: number): ArrayBuffer | number
  /** Another descriptor or slot names it, until `release`. What has no such method stays with its first descriptor. */
  dup?(): void
  /** Of what is foreign: a socket of another protocol. */
  readonly isSocket?: boolean
}

/** Descriptors: the lowest free number is given out, as POSIX has it. Its files of kind `socket` are of class `Socket`. */
export class FileTable<Socket extends OpenFile = OpenFile> {
  /** What else is kept for whoever has these descriptors. */
  readonly keeper: Keeper = new Keeper()
  /** Most descriptors. */
  most: number = MAX_FILES
  readonly #files: (OpenFile | null)[] = new Array(FIRST_FILE).fill(null)
  #firstFree = FIRST_FILE

  /** The descriptor for `file`, or -1 when the table is full. */
  open(file: OpenFile): number {
    let fd = this.#firstFree
    while (fd < this.#files.length && this.#files[fd] !== null) fd++
    if (fd >= this.most) return -1
    this.#files[fd] = file
    this.#firstFree = fd + 1
    return fd
  }

  get(fd: number): OpenFile | null {
    return this.#files[fd] ?? null
  }

  /** The socket that a descriptor names; null when it names none. */
  socket(fd: number): Socket | null {
    const file = this.get(fd)
    return file?.kind === 'socket' ? (file as Socket) : null
  }

  /** Every descriptor is closed, as when a process ends. */
  end(): void {
    for (let fd = 0; fd < this.#files.length; fd++) this.close(fd)?.release()
  }

  /** Frees the number; returns what it named. */
  close(fd: number): OpenFile | null {
    const file = this.get(fd)
    if (file === null) return null
    this.#files[fd] = null
    if (fd < this.#firstFree) this.#firstFree = fd
    return file
  }
}
