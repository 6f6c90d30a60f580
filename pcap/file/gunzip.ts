import { createInflateRaw, type InflateRaw } from 'node:zlib'
import { get32 } from '../../bytes.ts'
import { crc32 } from './crc32.ts'
import { type ByteSource, Piece } from './source.ts'

/** RFC 1952 section 2.3. */
const ID1 = 0x1f
const ID2 = 0x8b
const DEFLATE = 8
const FIXED_BYTES = 10
const FHCRC = 2
const FEXTRA = 4
const FNAME = 8
const FCOMMENT = 16
const RESERVED = 0xe0
/** Checksum and length behind each member. */
const TRAILER_BYTES = 8
/** A name or a comment that is longer is none. */
const MOST_HEADER_BYTES = 1 << 20
/** Packed bytes that are unpacked at a time. */
const PACKED_BYTES = 64 << 10
const UNPACKED_BYTES = 256 << 10
/**
 * The unpacker gives nothing of the piece that it finds a fault in, so that is given to it again in smaller ones, down to
 * bytes, by one that has been given everything in front: so much of a member is kept for that.
 */
const KEPT_BYTES = 4 << 20
const SMALLER_BYTES = 1024

/** Unpacks what `head` and then `source` bring; members that follow each other are one stream (RFC 1952 section 2.2). */
export function gunzip(head: Uint8Array, source: ByteSource): ByteSource {
  return new GunzipSource(head, source)
}

class GunzipSource implements ByteSource {
  readonly #source: ByteSource
  #packed: Uint8Array
  #sourceEnded = false
  readonly #piece = new Piece()
  #member: Member | null = null
  #members = 0
  #closed = false

  constructor(head: Uint8Array, source: ByteSource) {
    this.#packed = head
    this.#source = source
  }

  read(into: Uint8Array, at: number, length: number): number | Promise<number> {
    return this.#piece.empty ? this.#wait(into, at, length) : this.#piece.take(into, at, length)
  }

  close(): void {
    this.#closed = true
    this.#member?.close()
    this.#source.close()
  }

  async #wait(into: Uint8Array, at: number, length: number): Promise<number> {
    for (;;) {
      if (this.#member === null) {
        if (!(await this.#begin())) return 0
        this.#member = new Member()
      }
      const piece = await this.#member.next(() => this.#take())
      if (this.#closed) return 0
      if (piece !== null) {
        this.#piece.set(piece)
        return this.#piece.take(into, at, length)
      }
      const member = this.#member
      this.#packed = joined(member.rest, this.#packed)
      this.#member = null
      await this.#trailer(member)
      this.#members++
    }
  }

  /** Goes behind the header of the next member. False at the end, where zeros may fill up a block. @throws Error */
  async #begin(): Promise<boolean> {
    while (this.#members > 0 && (await this.#has(1)) && this.#packed[0] === 0) {
      const filled = this.#packed.findIndex((byte) => byte !== 0)
      this.#packed = filled < 0 ? new Uint8Array(0) : this.#packed.subarray(filled)
    }
    if (!(await this.#has(1))) {
      if (this.#members > 0) return false
      throw ended()
    }
    await this.#need(FIXED_BYTES)
    const flags = this.#packed[3]!
    const known = this.#packed[0] === ID1 && this.#packed[1] === ID2 && this.#packed[2] === DEFLATE
    if (!known) throw damaged('incorrect header check')
    if ((flags & RESERVED) !== 0) throw damaged('unknown header flags set')
    let at = FIXED_BYTES
    if ((flags & FEXTRA) !== 0) {
      await this.#need(at + 2)
      at += 2 + this.#packed[at]! + (this.#packed[at + 1]! << 8)
    }
    if ((flags & FNAME) !== 0) at = await this.#behindZero(at)
    if ((flags & FCOMMENT) !== 0) at = await this.#behindZero(at)
    if ((flags & FHCRC) !== 0) at += 2
    await this.#need(at)
    this.#packed = this.#packed.subarray(at)
    return true
  }

  async #behindZero(from: number): Promise<number> {
    for (let at = from; ; at++) {
      if (at > MOST_HEADER_BYTES) throw damaged('a header without end')
      await this.#need(at + 1)
      if (this.#packed[at] === 0) return at + 1
    }
  }

  async #trailer({ crc, size }: Member): Promise<void> {
    await this.#need(TRAILER_BYTES)
    const [said, bytes] = [little32(this.#packed, 0), little32(this.#packed, 4)]
    if (said !== crc) throw damaged('incorrect data check')
    if (bytes !== size % 2 ** 32) throw damaged('incorrect length check')
    this.#packed = this.#packed.subarray(TRAILER_BYTES)
  }

  /** The next packed bytes; none at the end. */
  async #take(): Promise<Uint8Array> {
    if (!(await this.#has(1))) return this.#packed
    const taken = this.#packed.subarray(0, PACKED_BYTES)
    this.#packed = this.#packed.subarray(taken.length)
    return taken
  }

  async #need(bytes: number): Promise<void> {
    if (!(await this.#has(bytes))) throw ended()
  }

  async #has(bytes: number): Promise<boolean> {
    while (this.#packed.length < bytes && !this.#sourceEnded) {
      const more = new Uint8Array(PACKED_BYTES)
      const count = await this.#source.read(more, 0, more.length)
      if (count === 0) this.#sourceEnded = true
      else this.#packed = joined(this.#packed, more.subarray(0, count))
    }
    return this.#packed.length >= bytes
  }
}

/** The compressed data of one member. */
class Member {
  /** Of what was unpacked: its checksum and length. */
  crc = 0
  size = 0
  /** Packed bytes that were taken and are not of it. */
  rest: Uint8Array = new Uint8Array(0)
  #unpack!: InflateRaw
  /** What the unpacker has been given; null when that is too much to be kept. */
  #given: Uint8Array[] | null = []
  #givenBytes = 0
  /** What it is to be given again, and how much of what it says has been handed out. */
  #again: Uint8Array[] = []
  #skip = 0
  #last: Uint8Array = new Uint8Array(0)
  #writing = false
  #closed = false
  #error: Error | null = null
  #wake: () => void = () => {}

  constructor() {
    this.#start()
  }

  close(): void {
    this.#closed = true
    this.#unpack.destroy()
    this.#wake()
  }

  /** The next bytes, or null at the member's end. @param take brings more packed bytes, none at the end @throws Error */
  async next(take: () => Promise<Uint8Array>): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#closed) return null
      const piece = this.#unpack.read() as Uint8Array | null
      if (piece !== null) {
        const fresh = this.#fresh(piece)
        if (fresh.length > 0) return fresh
      } else if (this.#error !== null) this.#retry(this.#error)
      else if (this.#writing) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      } else if (this.#unpack.bytesWritten < this.#givenBytes) {
        // It takes no more: the rest is of what follows.
        this.rest = this.#last.subarray(this.#last.length - (this.#givenBytes - this.#unpack.bytesWritten))
        for (const unused of this.#again) this.rest = joined(this.rest, unused)
        this.close()
        return null
      } else {
        const packed = this.#again.shift() ?? (await take())
        if (packed.length === 0) throw ended()
        this.#give(packed)
      }
    }
  }

  /** What was not handed out before. */
  #fresh(piece: Uint8Array): Uint8Array {
    const skipped = Math.min(this.#skip, piece.length)
    this.#skip -= skipped
    const fresh = piece.subarray(skipped)
    this.crc = crc32(fresh, this.crc)
    this.size += fresh.length
    return fresh
  }

  #give(packed: Uint8Array): void {
    this.#last = packed
    this.#givenBytes += packed.length
    if (this.#givenBytes > KEPT_BYTES) this.#given = null
    this.#given?.push(packed)
    this.#writing = true
    const unpack = this.#unpack
    unpack.write(packed, (error) => {
      if (unpack !== this.#unpack || error != null) return
      this.#writing = false
      this.#wake()
    })
  }

  /** @throws Error when the fault is known to the byte, or what is in front of it was not kept */
  #retry(error: Error): void {
    const given = this.#given
    const fault = this.#last
    if (given === null || fault.length <= 1) throw error
    given.pop()
    const step = fault.length > SMALLER_BYTES ? SMALLER_BYTES : 1
    const smaller: Uint8Array[] = []
    for (let at = 0; at < fault.length; at += step) smaller.push(fault.subarray(at, at + step))
    this.#again = [...given, ...smaller, ...this.#again]
    this.#given = []
    this.#givenBytes = 0
    this.#skip = this.size
    this.#start()
  }

  #start(): void {
    const unpack = createInflateRaw({ chunkSize: UNPACKED_BYTES })
    this.#unpack = unpack
    this.#error = null
    this.#writing = false
    const wake = (): void => {
      if (unpack === this.#unpack) this.#wake()
    }
    unpack.on('readable', wake).on('error', (error) => {
      if (unpack !== this.#unpack) return
      this.#error = error
      this.#wake()
    })
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b
  if (b.length === 0) return a
  const bytes = new Uint8Array(a.length + b.length)
  bytes.set(a)
  bytes.set(b, a.length)
  return bytes
}

/** Unsigned. */
function little32(bytes: Uint8Array, at: number): number {
  const big = get32(bytes, at)
  return ((big << 24) | ((big & 0xff00) << 8) | ((big >>> 8) & 0xff00) | (big >>> 24)) >>> 0
}

/** As zlib's own. */
function damaged(message: string): Error {
  return Object.assign(new Error(message), { code: 'Z_DATA_ERROR' })
}

function ended(): Error {
  return Object.assign(new Error('unexpected end of file'), { code: 'Z_BUF_ERROR' })
}
