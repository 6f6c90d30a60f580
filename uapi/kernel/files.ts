import type { Socket } from './socket.ts'

/** Most descriptors, as a process's usual hard limit. */
const MAX_FILES = 1_048_576

/** Descriptors: the lowest free number is given out, as POSIX has it. */
export class FileTable {
  readonly #files: (Socket | null)[] = []
  #firstFree = 0

  /** The descriptor for `socket`, or -1 when the table is full. */
  open(socket: Socket): number {
    let fd = this.#firstFree
    while (fd < this.#files.length && this.#files[fd] !== null) fd++
    if (fd >= MAX_FILES) return -1
    this.#files[fd] = socket
    this.#firstFree = fd + 1
    return fd
  }

  get(fd: number): Socket | null {
    return this.#files[fd] ?? null
  }

  /** Frees the number; returns what it named. */
  close(fd: number): Socket | null {
    const socket = this.get(fd)
    if (socket === null) return null
    this.#files[fd] = null
    if (fd < this.#firstFree) this.#firstFree = fd
    return socket
  }
}
