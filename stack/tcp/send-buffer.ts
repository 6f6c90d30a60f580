import { copyBytes, copySums } from '../../copies.ts'
import { addSums, sumBytes, swapSum } from '../wire/checksum.ts'

/** A ring of the smallest size. */
const SMALL_RING = 4096
/** Buffers with one that nobody uses: as many as may wait for an answer at a time, 4 MiB. */
const MOST_IDLE = 1024
/** Pieces lent at a time: each segment looks for its own among them. */
const MOST_PIECES = 64

const idle: SendBuffer[] = []

/** Who lends bytes: they stay unchanged where they are until they have been given back. */
export interface Lender {
  /** A piece of so many of them is kept from now on. */
  lent(bytes: number): void
  /** A piece of them is not needed any more. */
  returned(): void
}

/** What was lent at once, and how many bytes are copied in front of it and behind the piece before. */
interface Piece {
  before: number
  readonly bytes: Uint8Array
  at: number
  length: number
  readonly lender: Lender
}

/** Bytes that were given to be sent and are not acknowledged yet: copies of them in a ring, and between those what was lent. */
export class SendBuffer {
  #ring = new Uint8Array(SMALL_RING)
  #start = 0
  /** Bytes in the ring, and of those behind the last piece. */
  #copied = 0
  #behind = 0
  readonly #pieces: Piece[] = []

  /** One that is empty. */
  static take(): SendBuffer {
    return idle.pop() ?? new SendBuffer()
  }

  /** Gives it back; nobody may use it any more. What is in it is forgotten. */
  end(): void {
    const pieces = this.#pieces.splice(0)
    this.#start = 0
    this.#copied = 0
    this.#behind = 0
    if (this.#ring.length === SMALL_RING && idle.length < MOST_IDLE) idle.push(this)
    for (const { lender } of pieces) lender.returned()
  }

  /** Copies `bytes[from..from + count)`. */
  push(bytes: Uint8Array, from: number, count: number): void {
    this.#reserve(this.#copied + count)
    const mask = this.#ring.length - 1
    const at = (this.#start + this.#copied) & mask
    const first = Math.min(count, this.#ring.length - at)
    copyBytes(this.#ring, at, bytes, from, first)
    if (first < count) copyBytes(this.#ring, 0, bytes, from + first, count - first)
    this.#copied += count
    this.#behind += count
  }

  /** Keeps `bytes[from..from + count)` where they are. False when too much is lent already. */
  lend(bytes: Uint8Array, from: number, count: number, lender: Lender): boolean {
    if (this.#pieces.length >= MOST_PIECES) return false
    this.#pieces.push({ before: this.#behind, bytes, at: from, length: count, lender })
    this.#behind = 0
    lender.lent(count)
    return true
  }

  /** What was lent is still there: memory that was detached is not, and nothing can be sent in its place. */
  get intact(): boolean {
    for (let i = 0; i < this.#pieces.length; i++) {
      const { bytes, at, length } = this.#pieces[i]!
      if (bytes.length < at + length) return false
    }
    return true
  }

  /** Copies `count` bytes, `skip` bytes behind the first, to `target[at..]`. */
  peek(skip: number, count: number, target: Uint8Array, at: number): void {
    if (this.#pieces.length === 0) this.#copy(skip, count, target, at)
    else this.#gather(skip, count, target, at, false)
  }

  /** `peek`; returns the folded sum of the bytes (RFC 1071), made in passing where the addon is there. */
  peekSum(skip: number, count: number, target: Uint8Array, at: number): number {
    if (this.#pieces.length === 0) return this.#copySum(skip, count, target, at)
    return this.#gather(skip, count, target, at, true)
  }

  /** Forgets the first `count` bytes. */
  discard(count: number): void {
    let left = count
    while (this.#pieces.length > 0) {
      const piece = this.#pieces[0]!
      const copied = Math.min(left, piece.before)
      this.#drop(copied)
      piece.before -= copied
      left -= copied
      const lent = Math.min(left, piece.length)
      piece.at += lent
      piece.length -= lent
      left -= lent
      if (piece.length > 0) return
      this.#pieces.shift()
      piece.lender.returned()
    }
    this.#drop(left)
    this.#behind -= left
  }

  #drop(count: number): void {
    this.#start = (this.#start + count) & (this.#ring.length - 1)
    this.#copied -= count
  }

  /** `peek` and `peekSum` across pieces. */
  #gather(skip: number, count: number, target: Uint8Array, at: number, sums: boolean): number {
    let sum = 0
    let done = 0
    // Where the copies of the part that is looked at begin in the ring, and how far it is to what is asked for.
    let ring = 0
    let left = skip
    for (let i = 0; done < count; i++) {
      const piece = i < this.#pieces.length ? this.#pieces[i]! : null
      const before = piece === null ? this.#copied - ring : piece.before
      if (left < before) {
        const bytes = Math.min(before - left, count - done)
        const part = this.#part(null, ring + left, bytes, target, at + done, sums)
        sum = addSums(sum, (done & 1) === 0 ? part : swapSum(part))
        done += bytes
        left = 0
      } else left -= before
      if (piece === null) break
      ring += before
      if (done < count && left < piece.length) {
        const bytes = Math.min(piece.length - left, count - done)
        const part = this.#part(piece.bytes, piece.at + left, bytes, target, at + done, sums)
        sum = addSums(sum, (done & 1) === 0 ? part : swapSum(part))
        done += bytes
        left = 0
      } else if (done === 0) left -= piece.length
    }
    return sum
  }

  /** @param from null: the ring, `skip` behind its beginning */
  #part(
    from: Uint8Array | null,
    skip: number,
    count: number,
    target: Uint8Array,
    at: number,
    sums: boolean,
  ): number {
    if (from !== null) return moved(from, skip, count, target, at, sums)
    if (sums) return this.#copySum(skip, count, target, at)
    this.#copy(skip, count, target, at)
    return 0
  }

  #copy(skip: number, count: number, target: Uint8Array, at: number): void {
    const from = (this.#start + skip) & (this.#ring.length - 1)
    const first = Math.min(count, this.#ring.length - from)
    copyBytes(target, at, this.#ring, from, first)
    if (first < count) copyBytes(target, at + first, this.#ring, 0, count - first)
  }

  #copySum(skip: number, count: number, target: Uint8Array, at: number): number {
    const from = (this.#start + skip) & (this.#ring.length - 1)
    const first = Math.min(count, this.#ring.length - from)
    const sum = moved(this.#ring, from, first, target, at, true)
    if (first === count) return sum
    const rest = moved(this.#ring, 0, count - first, target, at + first, true)
    return addSums(sum, (first & 1) === 0 ? rest : swapSum(rest))
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#ring.length) return
    let size = this.#ring.length
    while (size < bytes) size *= 2
    const ring = new Uint8Array(size)
    if (this.#copied > 0) this.#copy(0, this.#copied, ring, 0)
    this.#ring = ring
    this.#start = 0
  }
}

/** Copies bytes; returns their folded sum where that `sums`. */
function moved(
  from: Uint8Array,
  start: number,
  count: number,
  target: Uint8Array,
  at: number,
  sums: boolean,
): number {
  const copies = sums ? copySums(count) : null
  if (copies !== null) return copies.copySum(target, at, from, start, count)
  copyBytes(target, at, from, start, count)
  return sums ? sumBytes(target, at, count) : 0
}
