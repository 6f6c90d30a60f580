import type { Socket } from './socket.ts'

/** Most descriptors, as a process's usual hard limit. */
const MAX_FILES = 1_048_576
/** The first number given out: a process has standard streams below. */
const FIRST_FILE = 3

/** What a descriptor can name. */
export interface OpenFile {
  /** `foreign`: something that is not this kernel's, known by its number only. */
  readonly kind: 'socket' | 'ring' | 'zcrx' | 'foreign'
  /** The descriptor lets go of it. */
  release(): void
  /**
   * Its memory from the start, shared with whoever else maps it, and room of the process's own behind; or minus errno.
   * @param bytes,tailBytes whole pages
   */
  map?(bytes: number, tailBytes: number): ArrayBuffer | number
  /** Another descriptor or slot names it, until `letGo`. What has no such method stays with its first descriptor. */
  dup?(): void
  /** Of what is foreign: a socket of another protocol. */
  readonly isSocket?: boolean
}

/** A descriptor or a slot of fixed files lets go of what it named. */
export function letGo(file: OpenFile): void {
  if (file.kind === 'socket') (file as Socket).unname()
  else file.release()
}

/** Descriptors: the lowest free number is given out, as POSIX has it. */
export class FileTable {
  readonly #files: (OpenFile | null)[] = new Array(FIRST_FILE).fill(null)
  #firstFree = FIRST_FILE

  /** The descriptor for `file`, or -1 when the table is full. */
  open(file: OpenFile): number {
    let fd = this.#firstFree
    while (fd < this.#files.length && this.#files[fd] !== null) fd++
    if (fd >= MAX_FILES) return -1
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

  /** Frees the number; returns what it named. */
  close(fd: number): OpenFile | null {
    const file = this.get(fd)
    if (file === null) return null
    this.#files[fd] = null
    if (fd < this.#firstFree) this.#firstFree = fd
    return file
  }
}
