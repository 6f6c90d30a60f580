import type { OpenFile } from '../../uapi/kernel/files.ts'
import type { OtherFile } from './calls.ts'
import { PAGE } from './memory.ts'

/** Of a memfd: more than any scenario asks for. */
const MEMFD_PAGES = 1024

/** A descriptor of the process that is none of the stack's. */
export class Foreign implements OpenFile {
  readonly kind = 'foreign'
  /** A socket of another protocol, which RECV_ZC tells from what is no socket. */
  readonly isSocket: boolean
  readonly #pages: number
  /** What was mapped of it. */
  memory: ArrayBuffer | null = null

  constructor(kind: OtherFile) {
    this.isSocket = kind !== 'memfd' && kind !== 'file'
    this.#pages = kind === 'memfd' ? MEMFD_PAGES : 0
  }

  release(): void {}

  /** As a memfd or dma-buf: its memory, and room behind. */
  map(bytes: number, tailBytes: number): ArrayBuffer | number {
    if (this.#pages === 0 || bytes > this.#pages * PAGE) return -22
    this.memory ??= new ArrayBuffer(bytes + tailBytes)
    return this.memory
  }
}
