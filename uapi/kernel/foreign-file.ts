import { loadNative } from '../../driver/native/index.ts'
import type { OpenFile } from './files.ts'

/** A descriptor of the process that stands in for memory: a memfd, a dma-buf, a file. */
export class ForeignFile implements OpenFile {
  readonly kind = 'foreign'
  readonly #fd: number

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Duplicates the process's descriptor. @throws NicError when the addon is not built */
  static open(fd: number): ForeignFile | number {
    const own = loadNative().duplicate(fd)
    return own < 0 ? own : new ForeignFile(own)
  }

  map(bytes: number, tailBytes: number): ArrayBuffer | number {
    return loadNative().mapDescriptor(this.#fd, bytes, tailBytes)
  }

  release(): void {
    loadNative().close(this.#fd)
  }
}
