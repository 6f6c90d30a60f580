import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
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

/** A stream: a pipe, for one. Holds one piece at a time; the stream is not read ahead of that. */
export class StreamSource implements ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #end: () => void
  #piece: Uint8Array = new Uint8Array(0)
  #at = 0

  /** @param end ends a stream that is being waited for, which its iterator can't */
  constructor(stream: AsyncIterable<Uint8Array>, end: () => void = () => {}) {
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#end = end
  }

  read(into: Uint8Array, at: number, length: number): number | Promise<number> {
    return this.#at < this.#piece.length ? this.#take(into, at, length) : this.#wait(into, at, length)
  }

  /** Lets go of the stream, which may have more. */
  close(): void {
    this.#end()
    this.#pieces.return?.().catch(() => {})
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
  return new GunzipSource(head, source)
}

/** Packed bytes that are unpacked at a time: of these what was unpacked in front of a damaged place is lost. */
const PACKED_BYTES = 64 << 10

/**
 * Unpacks as it is read. Nothing new is unpacked before all that there is has been taken: an error drops what waits in the
 * stream, and every packet in front of the place where a file was cut off is to be had.
 */
class GunzipSource implements ByteSource {
  readonly #source: ByteSource
  readonly #unpack = createGunzip({ chunkSize: 256 << 10 })
  #packed: Uint8Array | null
  #piece: Uint8Array = new Uint8Array(0)
  #at = 0
  #writing = false
  #ended = false
  #error: Error | null = null
  #wake: () => void = () => {}

  constructor(head: Uint8Array, source: ByteSource) {
    this.#packed = head
    this.#source = source
    const wake = (): void => this.#wake()
    const end = (): void => {
      this.#ended = true
      wake()
    }
    this.#unpack
      .on('readable', wake)
      .on('end', end)
      .on('close', end)
      .on('error', (error) => {
        this.#error = error
        wake()
      })
  }

  read(into: Uint8Array, at: number, length: number): number | Promise<number> {
    return this.#at < this.#piece.length ? this.#take(into, at, length) : this.#wait(into, at, length)
  }

  close(): void {
    this.#unpack.destroy()
    this.#source.close()
  }

  #take(into: Uint8Array, at: number, length: number): number {
    const part = this.#piece.subarray(this.#at, this.#at + length)
    into.set(part, at)
    this.#at += part.length
    return part.length
  }

  async #wait(into: Uint8Array, at: number, length: number): Promise<number> {
    for (;;) {
      const piece = this.#unpack.read() as Uint8Array | null
      if (piece !== null) {
        this.#piece = piece
        this.#at = 0
        return this.#take(into, at, length)
      }
      if (this.#error !== null) throw this.#error
      if (this.#ended) return 0
      if (!this.#writing && !this.#unpack.writableEnded) await this.#feed()
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  /** Gives the next packed bytes, or says that there are no more, which is an error within a member. */
  async #feed(): Promise<void> {
    const packed = this.#packed ?? (await this.#more())
    this.#packed = packed.length > PACKED_BYTES ? packed.subarray(PACKED_BYTES) : null
    if (packed.length === 0) {
      this.#unpack.end()
      return
    }
    this.#writing = true
    this.#unpack.write(packed.subarray(0, PACKED_BYTES), () => {
      this.#writing = false
      this.#wake()
    })
  }

  async #more(): Promise<Uint8Array> {
    const piece = new Uint8Array(PACKED_BYTES)
    return piece.subarray(0, await this.#source.read(piece, 0, piece.length))
  }
}
