import { PcapError } from '../../errors.ts'
import type { ByteSource } from './source.ts'

/** It stays in the processor's cache, so that what is read is copied on from there. */
const BEGIN_BYTES = 256 << 10

/** A stretch of a file in memory, moved along as it is read: `bytes[start, end)`, of which `start` lies at `offset` in the file. */
export class FileWindow {
  bytes: Uint8Array = new Uint8Array(BEGIN_BYTES)
  view: DataView = new DataView(this.bytes.buffer)
  start = 0
  end = 0
  /** The source has no more. */
  ended = false
  readonly source: ByteSource
  #base = 0

  constructor(source: ByteSource) {
    this.source = source
  }

  /** Where in the file `at` lies. */
  offset(at: number = this.start): number {
    return this.#base + at
  }

  /** Bytes that wait. */
  get waiting(): number {
    return this.end - this.start
  }

  /**
   * Reads on, until `needed` bytes wait or the file ends, and as much more as one read brings. What was handed out before is
   * overwritten. @throws PcapError
   */
  async more(needed: number): Promise<void> {
    this.#makeRoom(needed)
    do {
      let count: number
      try {
        const answer = this.source.read(this.bytes, this.end, this.bytes.length - this.end)
        // A file answers at once: waiting for it would cost a turn of Node's loop for each piece.
        count = typeof answer === 'number' ? answer : await answer
      } catch (error) {
        throw readError(error, this.offset(this.end))
      }
      if (count === 0) {
        this.ended = true
        return
      }
      this.end += count
    } while (this.waiting < needed)
  }

  #makeRoom(needed: number): void {
    const { bytes } = this
    if (this.start > 0) {
      bytes.copyWithin(0, this.start, this.end)
      this.#base += this.start
      this.end -= this.start
      this.start = 0
    }
    if (needed <= bytes.length) return
    this.bytes = new Uint8Array(2 ** Math.ceil(Math.log2(needed)))
    this.bytes.set(bytes.subarray(0, this.end))
    this.view = new DataView(this.bytes.buffer)
  }
}

function readError(error: unknown, offset: number): PcapError {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === 'Z_BUF_ERROR') {
    return new PcapError('PCAP_TRUNCATED', 'the compressed file ends early', offset, '', { cause: error })
  }
  if (code.startsWith('Z_')) {
    return new PcapError('PCAP_COMPRESSION', `the file can't be unpacked (${message})`, offset, '', {
      cause: error,
    })
  }
  return new PcapError('PCAP_IO', `the file can't be read (${message})`, offset, '', { cause: error })
}
