import type { OpenFile } from '../../uapi/kernel/files.ts'
import { PAGE } from './memory.ts'
import type { Play } from './play.ts'

/** A descriptor of the process that is none of the stack's. */
class Foreign implements OpenFile {
  readonly kind = 'foreign'
  /** A socket of another protocol, which RECV_ZC tells from what is no socket. */
  readonly isSocket: boolean
  readonly #pages: number

  constructor(isSocket: boolean, pages = 0) {
    this.isSocket = isSocket
    this.#pages = pages
  }

  release(): void {}

  /** As a memfd or dma-buf: its memory, and room behind. */
  map(bytes: number, tailBytes: number): ArrayBuffer | number {
    if (this.#pages === 0 || bytes > this.#pages * PAGE) return -22
    this.memory ??= new ArrayBuffer(bytes + tailBytes)
    return this.memory
  }
  memory: ArrayBuffer | null = null
}

/** Opens a descriptor of this kind. */
export function foreignFile(play: Play, kind: 'memfd' | 'pipe' | 'socket', pages = 1024): number {
  return play.ours.kernel.files.open(new Foreign(kind === 'socket', kind === 'memfd' ? pages : 0))
}

/** What was mapped of such a descriptor, null before. */
export function foreignMemory(play: Play, fd: number): ArrayBuffer | null {
  const file = play.ours.kernel.files.get(fd)
  return file instanceof Foreign ? file.memory : null
}
