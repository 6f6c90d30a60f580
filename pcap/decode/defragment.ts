import { put16 } from '../../bytes.ts'
import { sumBytes } from '../../stack/wire/checksum.ts'
import { IPPROTO_FRAGMENT } from '../../stack/wire/ipv6.ts'
import { MALFORMED, type SegmentDecoder } from './segment.ts'

/** Datagrams that may be incomplete at a time, and bytes that all of them may take; older ones make room. */
const MAX_DATAGRAMS = 1024
const MAX_HELD_BYTES = 32 << 20
/** For a piece's own objects. */
const PIECE_OVERHEAD = 256
/** RFC 8200 section 4.5. */
const LIFETIME_SECONDS = 60
const MAX_DATAGRAM_BYTES = 65_535
const MAX_PIECES = 1024

/** A piece of a datagram. */
export interface DatagramPiece {
  /** Bytes from the start of the datagram's payload. */
  readonly offset: number
  readonly length: number
  /** The fragment from its IP header to its end, of its own memory. */
  readonly packet: Uint8Array
  /** Where the data begins in `packet`. */
  readonly dataAt: number
  readonly more: boolean
}

class Datagram {
  readonly key: string
  readonly begunAt: number
  readonly pieces: DatagramPiece[] = []
  /** Memory it takes. */
  held = 0
  /** Payload bytes; -1 before the last fragment is here. */
  total = -1
  received = 0

  constructor(key: string, begunAt: number) {
    this.key = key
    this.begunAt = begunAt
  }
}

/** Puts IP datagrams together from captured fragments. Where fragments overlap, the first one counts. */
export class Defragmenter {
  readonly #datagrams = new Map<string, Datagram>()
  #held = 0
  /** The assembled packet of the last `add`, from its IP header on, and its pieces in order of arrival. */
  bytes: Uint8Array = new Uint8Array(0)
  pieces: readonly DatagramPiece[] = []
  /** Fragments that were given up: their datagrams never became whole, or contradict themselves. */
  dropped = 0

  get pending(): number {
    return this.#datagrams.size
  }

  /** A fragment that the decoder has found. True when it completes its datagram: see `bytes` and `pieces`. @param now seconds */
  add(segment: SegmentDecoder, now: number): boolean {
    const data = segment.dataAt
    const length = segment.ipEnd - data
    const { fragmentOffset: offset, fragmentMore: more } = segment
    // Of a fragment cut off by the capture the rest is unknown; all but the last are multiples of eight bytes (RFC 791).
    // One that promises more than its frame has is dropped by any host.
    const whole = segment.capturedEnd === segment.ipEnd && segment.beyond === 0
    if (!whole || length <= 0 || (more && (length & 7) !== 0) || offset + length > MAX_DATAGRAM_BYTES) {
      this.dropped++
      return false
    }
    const datagram = this.#find(segment, now)
    const cost = segment.ipEnd - segment.ipAt + PIECE_OVERHEAD
    datagram.held += cost
    this.#held += cost
    if (!more) datagram.total = offset + length
    datagram.pieces.push({
      offset,
      length,
      packet: segment.bytes.slice(segment.ipAt, segment.ipEnd),
      dataAt: data - segment.ipAt,
      more,
    })
    datagram.received += length
    if (datagram.pieces.length > MAX_PIECES || datagram.received > 2 * MAX_DATAGRAM_BYTES) {
      this.#giveUp(datagram)
      return false
    }
    if (datagram.total < 0 || datagram.received < datagram.total || !this.#complete(datagram)) return false
    this.#forget(datagram)
    return this.#assemble(datagram)
  }

  /** Decodes the assembled packet. */
  decode(segment: SegmentDecoder): number {
    const end = this.bytes.length
    return end === 0 ? MALFORMED : segment.decodeIp(this.bytes, 0, end, end)
  }

  #find(s: SegmentDecoder, now: number): Datagram {
    for (const old of this.#datagrams.values()) {
      const room = this.#datagrams.size < MAX_DATAGRAMS && this.#held < MAX_HELD_BYTES
      if (now - old.begunAt <= LIFETIME_SECONDS && room) break
      this.#giveUp(old)
    }
    const source = `${s.source0},${s.source1},${s.source2},${s.source3}`
    const destination = `${s.destination0},${s.destination1},${s.destination2},${s.destination3}`
    const key = `${source},${destination},${s.fragmentId},${s.version === 4 ? s.protocol : 0}`
    let datagram = this.#datagrams.get(key)
    if (datagram === undefined) {
      datagram = new Datagram(key, now)
      this.#datagrams.set(key, datagram)
    }
    return datagram
  }

  #giveUp(datagram: Datagram): void {
    this.dropped += datagram.pieces.length
    this.#forget(datagram)
  }

  #forget(datagram: Datagram): void {
    this.#held -= datagram.held
    this.#datagrams.delete(datagram.key)
  }

  #complete(datagram: Datagram): boolean {
    const sorted = [...datagram.pieces].sort((a, b) => a.offset - b.offset)
    let reached = 0
    for (const piece of sorted) {
      if (piece.offset > reached) return false
      reached = Math.max(reached, piece.offset + piece.length)
    }
    return reached >= datagram.total
  }

  #assemble(datagram: Datagram): boolean {
    const first = datagram.pieces.find((piece) => piece.offset === 0)!
    const headerBytes = first.dataAt
    const { total } = datagram
    if (first.packet[0]! >>> 4 === 4 && headerBytes + total > MAX_DATAGRAM_BYTES) {
      this.dropped += datagram.pieces.length
      return false
    }
    const bytes = new Uint8Array(headerBytes + total)
    // The first one counts: written last.
    for (const piece of [...datagram.pieces].reverse()) {
      const part = Math.min(piece.length, total - piece.offset)
      if (part > 0) {
        bytes.set(piece.packet.subarray(piece.dataAt, piece.dataAt + part), headerBytes + piece.offset)
      }
    }
    bytes.set(first.packet.subarray(0, headerBytes), 0)
    if (bytes[0]! >>> 4 === 4) {
      put16(bytes, 2, headerBytes + total)
      put16(bytes, 6, 0)
      put16(bytes, 10, 0)
      put16(bytes, 10, ~sumBytes(bytes, 0, headerBytes) & 0xffff)
    } else {
      put16(bytes, 4, headerBytes - 40 + total)
      clearFragmentHeader(bytes, headerBytes)
    }
    this.bytes = bytes
    this.pieces = datagram.pieces
    return true
  }
}

/** The fragment header, the last of those in front of the data, becomes one of a packet that is whole (RFC 6946). */
function clearFragmentHeader(bytes: Uint8Array, headerBytes: number): void {
  let next = bytes[6]!
  for (let at = 40; at + 8 <= headerBytes; ) {
    if (next === IPPROTO_FRAGMENT) {
      put16(bytes, at + 2, 0)
      return
    }
    next = bytes[at]!
    at += (bytes[at + 1]! + 1) * 8
  }
}
