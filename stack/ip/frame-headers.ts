import { type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'

/** Longest headers we parse: Ethernet with tags, IPv6 with extension headers, TCP with options. */
export const HEADER_BYTES = 512
/** Copied for every frame: Ethernet, plain IPv6, TCP with timestamps and a little more. The rest only when announced. */
const FIRST_COPY = 96

/**
 * The headers of the frame being processed, copied out of memory the user can write to before they are looked at, so that
 * nothing is parsed or trusted twice.
 */
export class FrameHeaders {
  /** Private to the stack. */
  readonly bytes: Uint8Array
  readonly halves: Uint16Array
  /** Big-endian reads of one instruction each. */
  readonly view: DataView
  /** Burst entries `[first, last)` hold the frame; both 0 for a reassembled packet. */
  first = 0
  last = 0
  /** Bytes of the frame. */
  frameBytes = 0
  readonly #words: Uint32Array
  readonly #side: Uint8Array | null
  readonly #burst: RxBurst
  readonly #memory: QueueMemory
  readonly #sideWords: Uint32Array
  /** Bytes that headers may take: those of the first entry. */
  #available = 0
  #copied = 0

  constructor(nic: Nic, burst: RxBurst, memory: QueueMemory) {
    const buffer = new ArrayBuffer(HEADER_BYTES)
    this.bytes = new Uint8Array(buffer)
    this.halves = new Uint16Array(buffer)
    this.view = new DataView(buffer)
    this.#words = new Uint32Array(buffer)
    this.#side = nic.roles.sideMemory
    this.#burst = burst
    this.#memory = memory
    this.#sideWords = sideWordsOf(nic)
  }

  /** Begins with the frame in burst entries `[first, last)`. */
  begin(first: number, last: number): void {
    const { length } = this.#burst
    this.first = first
    this.last = last
    this.#available = Math.min(length[first]!, HEADER_BYTES)
    this.#copied = Math.min(this.#available, FIRST_COPY)
    this.#copy(0, this.#copied)
    let bytes = 0
    for (let i = first; i < last; i++) bytes += length[i]!
    this.frameBytes = bytes
  }

  /** Begins with a packet put together: the first `available` bytes of `bytes` are its headers. */
  beginAssembled(available: number, frameBytes: number): void {
    this.first = 0
    this.last = 0
    this.#available = available
    this.#copied = available
    this.frameBytes = frameBytes
  }

  /** Makes the frame's first `end` bytes readable in `bytes`; false when they are not there or are more than headers may take. */
  need(end: number): boolean {
    if (end <= this.#copied) return true
    if (end > this.#available) return false
    this.#copy(this.#copied & ~3, this.#available)
    this.#copied = this.#available
    return true
  }

  /** Copies bytes `[from, to)` of the frame's first entry; `from` is a multiple of four. */
  #copy(from: number, to: number): void {
    const side = (this.#burst.flags[this.first]! & RX_SIDE) !== 0
    const offset = this.#burst.offset[this.first]!
    if ((offset & 3) === 0) {
      // Whole words: up to three bytes more than announced, still inside the same chunk, which holds a multiple of four.
      const words = side ? this.#sideWords : this.#memory.pool.words
      const base = offset >>> 2
      const end = (to + 3) >>> 2
      for (let i = from >>> 2; i < end; i++) this.#words[i] = words[base + i]!
      return
    }
    const bytes = side ? this.#side! : this.#memory.pool.bytes
    for (let i = from; i < to; i++) this.bytes[i] = bytes[offset + i]!
  }
}

/** The memory beside the area (`NicRoles.sideMemory`) by words of four bytes; empty where the NIC has none. */
export function sideWordsOf({ roles: { sideMemory } }: Nic): Uint32Array {
  if (sideMemory === null) return new Uint32Array(0)
  return new Uint32Array(sideMemory.buffer, sideMemory.byteOffset, sideMemory.byteLength >>> 2)
}
