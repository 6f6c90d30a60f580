import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { PcapError } from '../errors.ts'

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

/** Bytes that are there already. */
export class BytesSource implements ByteSource {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  read(into: Uint8Array, at: number, length: number): number {
    const part = this.#bytes.subarray(this.#at, this.#at + length)
    into.set(part, at)
    this.#at += part.length
    return part.length
  }

  close(): void {}
}

/** A stream: a pipe, or what is unpacked. Holds one piece at a time; the stream is not read ahead of that. */
export class StreamSource implements ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #end: () => void
  #piece: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(stream: AsyncIterable<Uint8Array>, end: () => void = () => {}) {
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#end = end
  }

  read(into: Uint8Array, at: number, length: number): number | Promise<number> {
    return this.#at < this.#piece.length ? this.#take(into, at, length) : this.#wait(into, at, length)
  }

  close(): void {
    this.#end()
  }

  #take(into: Uint8Array, at: number, length: number): number {
    const part = this.#piece.subarray(this.#at, this.#at + length)
    into.set(part, at)
    this.#at += part.length
    return part.length
  }

  async #wait(into: Uint8Array, at: number, length: number): Promise<number> {
    do {
      const next = await this.#pieces.next()
      if (next.done === true) return 0
      this.#piece = next.value
      this.#at = 0
    } while (this.#piece.length === 0)
    return this.#take(into, at, length)
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

/** Unpacks what `head` and then `source` bring; members that follow each other are one stream (RFC 1952 section 2.2). */
export function gunzip(head: Uint8Array, source: ByteSource): ByteSource {
  const packed = Readable.from(pieces(head, source))
  const unpacked = createGunzip({ chunkSize: 256 << 10 })
  packed.on('error', (error) => unpacked.destroy(error))
  packed.pipe(unpacked)
  return new StreamSource(unpacked, () => {
    packed.destroy()
    unpacked.destroy()
    source.close()
  })
}

async function* pieces(head: Uint8Array, source: ByteSource): AsyncGenerator<Uint8Array> {
  yield head
  for (;;) {
    const piece = new Uint8Array(256 << 10)
    const count = await source.read(piece, 0, piece.length)
    if (count === 0) return
    yield piece.subarray(0, count)
  }
}
