import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { PcapError } from '../../errors.ts'

/** Where the bytes of a capture come from. */
export interface ByteSource {
  /**
   * Puts at most `length` bytes at `into[at]` and says how many; 0 at the end. A promise where bytes have to be waited for.
   * @throws Error of the system's
   */
  read(into: Uint8Array, at: number, length: number): number | Promise<number>
  close(): void
}

/** A regular file, read when asked: no thread, no copy between. */
class FileSource implements ByteSource {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  read(into: Uint8Array, at: number, length: number): number {
    return readSync(this.#fd, into, at, length, null)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Bytes that are taken little by little. */
export class Piece {
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0

  get empty(): boolean {
    return this.#at >= this.#bytes.length
  }

  set(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#at = 0
  }

  /** As `ByteSource.read`, of what is here. */
  take(into: Uint8Array, at: number, length: number): number {
    const part = this.#bytes.subarray(this.#at, this.#at + length)
    into.set(part, at)
    this.#at += part.length
    return part.length
  }
}

/** Bytes that are there already. */
export class BytesSource implements ByteSource {
  readonly #piece = new Piece()

  constructor(bytes: Uint8Array) {
    this.#piece.set(bytes)
  }

  read(into: Uint8Array, at: number, length: number): number {
    return this.#piece.take(into, at, length)
  }

  close(): void {}
}

/** A stream: a pipe, for one. Holds one piece at a time; the stream is not read ahead of that. */
export class StreamSource implements ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #end: () => void
  readonly #piece = new Piece()

  /** @param end ends a stream that is being waited for, which its iterator can't */
  constructor(stream: AsyncIterable<Uint8Array>, end: () => void = () => {}) {
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#end = end
  }

  read(into: Uint8Array, at: number, length: number): number | Promise<number> {
    return this.#piece.empty ? this.#wait(into, at, length) : this.#piece.take(into, at, length)
  }

  /** Lets go of the stream, which may have more. */
  close(): void {
    this.#end()
    this.#pieces.return?.().catch(() => {})
  }

  async #wait(into: Uint8Array, at: number, length: number): Promise<number> {
    do {
      const next = await this.#pieces.next()
      if (next.done === true) return 0
      if (!(next.value instanceof Uint8Array)) throw new TypeError('a piece of the stream is no Uint8Array')
      this.#piece.set(next.value)
    } while (this.#piece.empty)
    return this.#piece.take(into, at, length)
  }
}

/** Opens a file; `-` is standard input. @throws PcapError */
export function openSource(path: string): ByteSource {
  // Whoever does not read it to its end is not kept running by it.
  if (path === '-') return new StreamSource(process.stdin, () => process.stdin.destroy())
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const remedy = code === 'EACCES' ? 'it may be read by its owner only' : 'check the path'
    throw new PcapError('PCAP_IO', `${path} can't be opened (${code})`, -1, remedy, { cause: error })
  }
  if (fstatSync(fd).isDirectory()) {
    closeSync(fd)
    throw new PcapError('PCAP_IO', `${path} is a directory`, -1, 'name a capture in it')
  }
  return new FileSource(fd)
}
