import type { Packing } from '../nic.ts'
import type { AreaTable } from './areas.ts'
import type { ChunkStore } from './chunks.ts'

/** Payloads that share a chunk begin at multiples of this. */
const ALIGNMENT = 64
const ETHERNET_BYTES = 14
const TAG_BYTES = 4
const IPV4 = 0x0800
const IPV6 = 0x86dd
const TAGS = new Set([0x8100, 0x88a8])
const TCP = 6

/** How a split NIC places payload; can be changed while it runs. */
export interface SplitSettings {
  /** Several packets may share a chunk, each beginning at a multiple of 64 bytes. Default false: a chunk each. */
  pack?: boolean
  /** Bytes in front of the first payload of a chunk; default 0. */
  offset?: number
  /** Whole frames are put beside the area, as by a device that found no buffer for a payload. Default false. */
  whole?: boolean
}

/** Places payloads apart from their headers, as a NIC with header/data split does. */
export class SplitPlacement implements Packing {
  /** Frames whose payload was put into chunks. */
  frames = 0
  /** The pieces of the payload placed last: areas, byte offsets from the start of each, and bytes. */
  readonly areas: number[] = []
  readonly offsets: number[] = []
  readonly lengths: number[] = []
  readonly #table: AreaTable
  readonly #chunks: ChunkStore
  #chunkSize = 4096
  #pack: boolean
  #offset: number
  #whole: boolean
  /** The chunk that further payloads go to, -1 for none, and its first unused byte. */
  #open = -1
  #at = 0

  constructor(table: AreaTable, chunks: ChunkStore, settings: SplitSettings) {
    this.#table = table
    this.#chunks = chunks
    this.#pack = settings.pack ?? false
    this.#offset = settings.offset ?? 0
    this.#whole = settings.whole ?? false
  }

  openChunk(): number {
    return this.#open
  }

  reset(chunkSize: number): void {
    this.#chunkSize = chunkSize
    this.#open = -1
  }

  /** Puts nothing more into a chunk from `first` to before `end`. */
  leave(first: number, end: number): void {
    if (this.#open >= first && this.#open < end) this.#open = -1
  }

  change(settings: SplitSettings): void {
    this.#pack = settings.pack ?? this.#pack
    this.#offset = settings.offset ?? this.#offset
    this.#whole = settings.whole ?? this.#whole
    if (!this.#pack || this.#whole) this.#open = -1
  }

  /** Bytes of a frame that go beside the area: all, or those up to the end of its TCP header. */
  sideBytes(frame: Uint8Array, length: number): number {
    return this.#whole ? length : headerBytesOf(frame, length)
  }

  /** Finds places for a payload, in `areas`, `offsets` and `lengths`. False when there are not enough chunks; none is used then. */
  place(bytes: number): boolean {
    this.areas.length = 0
    this.offsets.length = 0
    this.lengths.length = 0
    if (this.#open >= 0) {
      const at = (this.#at + ALIGNMENT - 1) & -ALIGNMENT
      if (at + bytes <= this.#chunkSize) {
        this.#put(this.#open, at, bytes)
        return true
      }
      this.#open = -1
    }
    const room = this.#chunkSize - this.#offset
    const taken: number[] = []
    for (let left = bytes; left > 0; left -= room) {
      const chunk = this.#chunks.take()
      if (chunk < 0) {
        for (const back of taken.reverse()) this.#chunks.giveBack(back)
        return false
      }
      taken.push(chunk)
    }
    for (const [i, chunk] of taken.entries()) this.#put(chunk, this.#offset, Math.min(room, bytes - i * room))
    if (this.#pack && taken.length === 1) this.#open = taken[0]!
    return true
  }

  #put(chunk: number, at: number, bytes: number): void {
    const area = this.#table.areaOf(chunk)
    this.areas.push(area)
    this.offsets.push((chunk - this.#table.first[area]!) * this.#chunkSize + at)
    this.lengths.push(bytes)
    this.#at = at + bytes
  }
}

/** Bytes up to the end of the TCP header of a frame with payload; the frame's length for any other. */
export function headerBytesOf(frame: Uint8Array, length: number): number {
  const u16 = (at: number): number => (frame[at]! << 8) | frame[at + 1]!
  let at = ETHERNET_BYTES
  while (at + TAG_BYTES <= length && at <= ETHERNET_BYTES + TAG_BYTES && TAGS.has(u16(at - 2)))
    at += TAG_BYTES
  const type = u16(at - 2)
  let tcp: number
  let end: number
  if (type === IPV4 && at + 20 <= length) {
    const fragment = u16(at + 6) & 0x3fff
    if (frame[at + 9] !== TCP || fragment !== 0) return length
    tcp = at + (frame[at]! & 0xf) * 4
    end = at + u16(at + 2)
  } else if (type === IPV6 && at + 40 <= length && frame[at + 6] === TCP) {
    tcp = at + 40
    end = tcp + u16(at + 4)
  } else return length
  if (tcp + 20 > length) return length
  const headers = tcp + (frame[tcp + 12]! >>> 4) * 4
  return headers >= Math.min(end, length) ? length : headers
}
