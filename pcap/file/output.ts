import { ArgumentError } from '../../errors.ts'
import type { CaptureSink } from './sink.ts'

/** Up to so many bytes a loop is cheaper than making a view for `set`. */
const LOOP_BYTES = 64
/** Most bytes of an option's value or of a name: what a 16-bit length can say. */
const MAX_TEXT_BYTES = 0xffff
const NANOSECONDS = 1_000_000_000
/** 2^64 nanoseconds are a little more. */
const MAX_SECONDS = 18_446_744_072

/**
 * The buffer of a capture writer. What is being written lies behind `start`; only whole blocks, those in front of it, are
 * handed to the sink. Grows for a block that is larger than all of it, and never otherwise.
 */
export class Output {
  readonly little: boolean
  /** Where the next byte goes. */
  at = 0
  #sink: CaptureSink
  #bytes: Buffer
  #view: DataView
  #start = 0
  #handed = 0
  #open = false
  #closed = false

  constructor(sink: CaptureSink, bigEndian: boolean, bufferBytes: number) {
    if (!Number.isInteger(bufferBytes) || bufferBytes < 1024 || bufferBytes > 1 << 30)
      throw new ArgumentError(`bufferBytes is ${bufferBytes}`, 'give a whole number from 1024 to 2^30')
    this.#sink = sink
    this.little = !bigEndian
    this.#bytes = Buffer.alloc(bufferBytes)
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, bufferBytes)
  }

  /** Bytes written so far, those still in the buffer included. */
  get length(): number {
    return this.#handed + this.at
  }

  /** Bytes that the sink has taken. */
  get handed(): number {
    return this.#handed
  }

  /** Where the open block begins. */
  get start(): number {
    return this.#start
  }

  /** Begins a block. @throws ArgumentError when one is open, or after `close`. */
  begin(): void {
    if (this.#open) throw new ArgumentError('a packet is open', 'call end() first')
    if (this.#closed) throw new ArgumentError('the writer is closed')
    this.#open = true
    this.#start = this.at
  }

  /** @throws ArgumentError when no block is open. */
  check(): void {
    if (!this.#open) throw new ArgumentError('no packet is open', 'call begin() first')
  }

  end(): void {
    this.#open = false
  }

  /** Forgets the open block. */
  abandon(): void {
    this.at = this.#start
    this.#open = false
  }

  /**
   * Makes room for `count` bytes behind `at`. `at` and `start` may move. The open block is forgotten when the sink throws.
   */
  room(count: number): void {
    if (this.at + count <= this.#bytes.length) return
    try {
      this.#hand(this.#start)
    } catch (error) {
      this.abandon()
      throw error
    }
    if (this.at + count <= this.#bytes.length) return
    let size = this.#bytes.length
    while (size < this.at + count) size *= 2
    const bytes = Buffer.alloc(size)
    this.#bytes.copy(bytes, 0, 0, this.at)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, size)
  }

  u8(value: number): void {
    this.#bytes[this.at++] = value
  }

  u16(value: number): void {
    this.#view.setUint16(this.at, value, this.little)
    this.at += 2
  }

  u32(value: number): void {
    this.#view.setUint32(this.at, value, this.little)
    this.at += 4
  }

  /** A count of 64 bits in the file's byte order. */
  u64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000)
    this.u32(this.little ? value % 0x1_0000_0000 : high)
    this.u32(this.little ? high : value % 0x1_0000_0000)
  }

  /** Nanoseconds since the epoch, upper half first in either byte order, as pcapng has its times. */
  ticks(seconds: number, nanoseconds: number): void {
    // seconds * 10^9 doesn't fit a double's 53 bits, each of these products does.
    const upper = Math.floor(seconds / 0x1_0000) * NANOSECONDS
    const lower = (seconds % 0x1_0000) * NANOSECONDS + nanoseconds + (upper % 0x1_0000) * 0x1_0000
    this.u32(Math.floor(upper / 0x1_0000) + Math.floor(lower / 0x1_0000_0000))
    this.u32(lower % 0x1_0000_0000)
  }

  /** Overwrites a word that was written in the open block. */
  patch(at: number, value: number): void {
    this.#view.setUint32(at, value, this.little)
  }

  /** Overwrites a 16-bit word that was written in the open block. */
  patch16(at: number, value: number): void {
    this.#view.setUint16(at, value, this.little)
  }

  copy(bytes: Uint8Array, at: number, length: number): void {
    this.room(length)
    const target = this.#bytes
    let to = this.at
    if (length <= LOOP_BYTES) for (let i = at; i < at + length; i++) target[to++] = bytes[i]!
    else target.set(bytes.subarray(at, at + length), to)
    this.at += length
  }

  /** UTF-8, cut in front of the character that does not fit 65535 bytes. Returns its bytes. */
  text(text: string): number {
    const most = Math.min(MAX_TEXT_BYTES, text.length * 3)
    this.room(most)
    const length = this.#ascii(text) ? text.length : this.#bytes.write(text, this.at, most, 'utf8')
    this.at += length
    return length
  }

  /** Writes a short text of ASCII alone, which costs less than a call; false when it is something else. */
  #ascii(text: string): boolean {
    if (text.length > LOOP_BYTES * 2) return false
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      this.#bytes[this.at + i] = code
    }
    return true
  }

  /** Zeros up to a multiple of four bytes of the open block. */
  pad(): void {
    const count = -(this.at - this.#start) & 3
    this.room(count)
    for (let i = 0; i < count; i++) this.u8(0)
  }

  /** Hands everything whole to the sink. */
  flush(): void {
    this.#hand(this.#open ? this.#start : this.at)
  }

  /** Hands everything over and closes the sink, even when it throws. An open block is forgotten. Idempotent. */
  close(): void {
    if (this.#closed) return
    if (this.#open) this.abandon()
    this.#closed = true
    try {
      this.flush()
    } finally {
      this.#sink.close?.()
    }
  }

  #hand(end: number): void {
    if (end === 0) return
    // Not a Buffer: its `slice` doesn't copy, which a sink could believe.
    this.#sink.write(new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, end))
    this.#bytes.copyWithin(0, end, this.at)
    this.#handed += end
    this.at -= end
    this.#start = Math.max(0, this.#start - end)
  }
}

/** @throws ArgumentError for a time that a capture file can't hold. */
export function checkTime(seconds: number, nanoseconds: number, maxSeconds = MAX_SECONDS): void {
  const good =
    seconds >= 0 &&
    seconds <= maxSeconds &&
    Math.floor(seconds) === seconds &&
    nanoseconds >= 0 &&
    nanoseconds < NANOSECONDS
  if (!good)
    throw new ArgumentError(
      `the time ${seconds} s ${nanoseconds} ns can't be written`,
      `give whole seconds since the epoch, at most ${maxSeconds}, and 0 to 999999999 nanoseconds`,
    )
}

/** @throws ArgumentError when `[at, at + length)` does not lie in `bytes`. */
export function checkRange(bytes: Uint8Array, at: number, length: number): void {
  if (!(bytes instanceof Uint8Array)) throw new ArgumentError('bytes is no Uint8Array', 'give the packet')
  if (!(at >= 0 && length >= 0 && at + length <= bytes.length))
    throw new ArgumentError(`bytes ${at} to ${at + length} of ${bytes.length}`)
}

/** @throws ArgumentError when no packet can have had so many bytes on the wire. */
export function checkOriginal(length: number): void {
  if (!(Number.isInteger(length) && length >= 0 && length <= 0xffff_ffff))
    throw new ArgumentError(`originalLength is ${length}`, 'give the bytes that it had on the wire')
}
