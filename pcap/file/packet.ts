import { DIRECTION_UNKNOWN, OPTION_COMMENT, OPTION_END, PACKET_FLAGS } from './format.ts'

/**
 * One captured packet. A reader fills the same object again and again: `bytes` is the reader's buffer, valid until its
 * next `fill`. Keep what you need with `copy`.
 */
export class CapturedPacket {
  /** The link-layer frame is `bytes[at, at + length)`. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Where the frame begins in `bytes`. */
  at = 0
  /** Bytes captured. */
  length = 0
  /** Bytes the frame had on the wire, at least `length`. */
  wireLength = 0
  /** Seconds since the epoch. */
  seconds = 0
  /** 0..999999999 */
  nanoseconds = 0
  /** False for packets of pcapng's simple kind, which have no time; theirs is the last one's. */
  timed = true
  /** Index into the reader's `interfaces`. */
  interface = 0
  /** `LINKTYPE_*` */
  linkType = 0
  /** Number in the file, from 1. */
  number = 0
  /** Where its record begins: bytes from the start of the file, of the unpacked one if it is compressed. */
  offset = 0
  /** pcapng's options of this packet, in `bytes`. */
  optionsAt = 0
  /** Where they end. */
  optionsEnd = 0
  /** Byte order of the file's own numbers, those of options too. */
  littleEndian = true

  /** `DIRECTION_INBOUND`, `DIRECTION_OUTBOUND`, or unknown. */
  get direction(): number {
    let direction = DIRECTION_UNKNOWN
    this.#options((code, at, length) => {
      if (code === PACKET_FLAGS && length === 4) {
        direction = this.bytes[this.littleEndian ? at : at + 3]! & 3
      }
    })
    return direction
  }

  /** What people or programs wrote about it. */
  get comments(): string[] {
    const comments: string[] = []
    this.#options((code, at, length) => {
      if (code === OPTION_COMMENT) comments.push(text(this.bytes, at, length))
    })
    return comments
  }

  /** A packet of its own memory. */
  copy(): CapturedPacket {
    const copy = Object.assign(new CapturedPacket(), this)
    const from = Math.min(this.at, this.optionsEnd > 0 ? this.optionsAt : this.at)
    copy.bytes = this.bytes.slice(from, Math.max(this.at + this.length, this.optionsEnd))
    copy.at = this.at - from
    copy.optionsAt = this.optionsAt - from
    copy.optionsEnd = this.optionsEnd - from
    return copy
  }

  #options(visit: (code: number, at: number, length: number) => void): void {
    walkOptions(this.bytes, this.optionsAt, this.optionsEnd, this.littleEndian, visit)
  }
}

/** Visits the options in `bytes[at, end)`. Returns false when they don't fit there; what came before has been visited. */
export function walkOptions(
  bytes: Uint8Array,
  at: number,
  end: number,
  littleEndian: boolean,
  visit: (code: number, at: number, length: number) => void,
): boolean {
  const half = (where: number): number =>
    littleEndian ? bytes[where]! | (bytes[where + 1]! << 8) : (bytes[where]! << 8) | bytes[where + 1]!
  while (at + 4 <= end) {
    const code = half(at)
    const length = half(at + 2)
    if (code === OPTION_END) return true
    if (at + 4 + length > end) return false
    visit(code, at + 4, length)
    at += 4 + ((length + 3) & ~3)
  }
  return at >= end
}

const decoder = new TextDecoder()

/** UTF-8, up to the NUL that some writers end it with. */
export function text(bytes: Uint8Array, at: number, length: number): string {
  const part = bytes.subarray(at, at + length)
  const end = part.indexOf(0)
  return decoder.decode(end < 0 ? part : part.subarray(0, end))
}
