import { ChunkStore } from '../../driver/memory/chunks.ts'
import { nativeOrNull } from '../../driver/native/index.ts'
import {
  type Nic,
  type NicInfo,
  type NicMemory,
  type NicRoles,
  NicStats,
  NO_ROLES,
  RX_MORE,
  type RxBurst,
} from '../../driver/nic.ts'
import { NicError } from '../../errors.ts'
import { sumWords } from '../../stack/wire/checksum.ts'

/** Bytes left free in front of a frame in its first chunk, as AF_XDP leaves them. */
const HEADROOM = 256
/** Pieces of frames that wait to be received. */
const PENDING = 256
/** Chunks held at a time: few enough that they stay in the processor's cache. */
const FILL_ENTRIES = PENDING + 64
/** What is committed is taken at once. */
const TX_SLOTS = 2
const TX_SLOT_BYTES = 65_600
/** Frames of any size may come, as from a device that puts segments together. */
const MTU = 65_535

/** Hardware address of every such queue. */
export const OUR_MAC: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0, 2)

let nextIfIndex = 0x1000_0000

/**
 * A queue into which frames are put by a program, not by a wire: `play` writes a frame into the area at once, as a device's
 * DMA would, and the next `receive` announces it. What the stack sends goes to `onTransmit`.
 */
export class FrameNic implements Nic {
  readonly info: NicInfo
  readonly gone: boolean = false
  /** Those of whoever plays: given before a stack asks. */
  roles: NicRoles = NO_ROLES
  readonly txMemory: Uint8Array = new Uint8Array(TX_SLOTS * TX_SLOT_BYTES)
  readonly txSlotBytes = TX_SLOT_BYTES
  /** A frame of the stack's: `memory[at, at + length)`, valid during the call only. */
  onTransmit: (memory: Uint8Array, at: number, length: number) => void = () => {}
  readonly #native = nativeOrNull()
  readonly #stats = new NicStats()
  readonly #chunks = new ChunkStore(0)
  readonly #offset = new Uint32Array(PENDING)
  readonly #length = new Uint32Array(PENDING)
  readonly #flags = new Uint8Array(PENDING)
  #pending = 0
  #slot = 0
  #area: Uint8Array = new Uint8Array(0)
  #words: Uint32Array = new Uint32Array(0)
  #chunkSize = 4096

  /**
   * @param driver as `NicInfo.driver` and `mode` have it @param name of the interface that it is
   * @param routed see `NicInfo.routed`
   */
  constructor(driver: string, name: string, routed = false) {
    this.info = {
      driver,
      mode: driver,
      name,
      ifIndex: nextIfIndex++,
      queue: 0,
      mac: OUR_MAC,
      mtu: MTU,
      chunkPayload: 4096 - HEADROOM,
      tailBytes: 0,
      fillEntries: FILL_ENTRIES,
      ringPackets: 0,
      // Captures of a sender's own interface are full of them.
      partialChecksums: true,
      placement: 'area',
      routed,
    }
  }

  /** Pieces of frames that were put in and not yet received. */
  get pending(): number {
    return this.#pending
  }

  /** The bytes of entries `[first, last)` of the latest burst, as long as nothing was put in since. */
  received(first: number, last: number): Uint8Array {
    let length = 0
    for (let i = first; i < last; i++) length += this.#length[i]!
    const frame = new Uint8Array(length)
    for (let i = first, at = 0; i < last; at += this.#length[i]!, i++) {
      frame.set(this.#area.subarray(this.#offset[i]!, this.#offset[i]! + this.#length[i]!), at)
    }
    return frame
  }

  /** Bytes of a frame that one chunk takes, and chunks of the attached memory. */
  get chunkRoom(): number {
    return this.#chunkSize - HEADROOM
  }
  get chunkCount(): number {
    return this.#area.length / this.#chunkSize
  }

  /** Whether a frame of so many bytes can be put in before the next `receive`. */
  hasRoom(bytes: number): boolean {
    const pieces = this.#pieces(bytes)
    return this.#pending + pieces <= PENDING && pieces <= this.#chunks.held
  }

  /**
   * Puts a frame into the area: `header[0, headerBytes)`, then `payload[at, at + length)`. False, and counted, when no chunk
   * is free for it.
   */
  play(header: Uint8Array, headerBytes: number, payload: Uint8Array, at: number, length: number): boolean {
    const total = headerBytes + length
    const pieces = this.#pieces(total)
    if (pieces > PENDING - this.#pending) {
      this.#stats.rxRingFull++
      return false
    }
    if (pieces > this.#chunks.held) {
      this.#stats.rxFillEmpty++
      return false
    }
    const room = this.#chunkSize - HEADROOM
    let from = 0
    while (from < total) {
      const part = Math.min(room, total - from)
      const offset = this.#chunks.take() * this.#chunkSize + HEADROOM
      let filled = 0
      if (from < headerBytes) {
        filled = Math.min(part, headerBytes - from)
        this.#area.set(header.subarray(from, from + filled), offset)
      }
      if (filled < part) {
        const begin = at + from + filled - headerBytes
        this.#area.set(payload.subarray(begin, begin + part - filled), offset + filled)
      }
      from += part
      const entry = this.#pending++
      this.#offset[entry] = offset
      this.#length[entry] = part
      this.#flags[entry] = from < total ? RX_MORE : 0
    }
    this.#stats.rxFrames++
    this.#stats.rxBytes += total
    return true
  }

  /** Where the bytes of a frame that `reserve` found room for go. */
  get area(): Uint8Array {
    return this.#area
  }

  /**
   * Room in the area for a frame that fits into one chunk: its offset, to write the frame to before `commit`; -1 when there is
   * none, or the frame is longer.
   */
  reserve(bytes: number): number {
    if (bytes > this.#chunkSize - HEADROOM || this.#pending === PENDING || this.#chunks.held === 0) return -1
    return this.#chunks.take() * this.#chunkSize + HEADROOM
  }

  /** The frame lies at `offset`, which `reserve` gave out. */
  commit(offset: number, bytes: number): void {
    const entry = this.#pending++
    this.#offset[entry] = offset
    this.#length[entry] = bytes
    this.#flags[entry] = 0
    this.#stats.rxFrames++
    this.#stats.rxBytes += bytes
  }

  #pieces(bytes: number): number {
    return Math.ceil(bytes / (this.#chunkSize - HEADROOM))
  }

  attach(memory: NicMemory): void {
    if (memory.chunkSize <= HEADROOM) {
      throw new NicError('ZCRX_NIC_MEMORY', `chunks of ${memory.chunkSize} bytes are too small`)
    }
    this.#area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#words = new Uint32Array(memory.buffer, memory.areaOffset, memory.areaLength >>> 2)
    this.#chunkSize = memory.chunkSize
    this.#chunks.reset(memory.areaLength / memory.chunkSize)
    this.#pending = 0
  }

  detach(): void {
    this.#chunks.reset(0)
    this.#pending = 0
  }

  /** A burst takes everything that waits: it is never larger. */
  receive(burst: RxBurst): number {
    const count = this.#pending
    for (let i = 0; i < count; i++) {
      burst.offset[i] = this.#offset[i]!
      burst.length[i] = this.#length[i]!
      burst.flags[i] = this.#flags[i]!
    }
    this.#stats.rxFragments += count
    this.#pending = 0
    burst.count = count
    return count
  }

  fillSpace(): number {
    return Math.min(this.#chunks.space(), Math.max(0, FILL_ENTRIES - this.#chunks.held))
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    return this.#chunks.fill(chunks, from, Math.min(count, this.fillSpace()))
  }

  chunksHeld(): number {
    return this.#chunks.held
  }

  sumFragments(burst: RxBurst): void {
    if (this.#native !== null) {
      this.#native.sumFragments(this.#area, burst.offset, burst.length, burst.sum, burst.count, 0)
      return
    }
    for (let i = 0; i < burst.count; i++) {
      burst.sum[i] = sumWords(this.#area, this.#words, burst.offset[i]!, burst.length[i]!)
    }
  }

  txReserve(): number {
    return this.#slot * TX_SLOT_BYTES
  }

  txCommit(offset: number, length: number): void {
    if (length === 0) return
    this.#slot = (this.#slot + 1) % TX_SLOTS
    this.#stats.txFrames++
    this.#stats.txBytes += length
    this.onTransmit(this.txMemory, offset, length)
  }

  txFlush(): void {}

  wait(_timeoutMs = 0): boolean {
    return this.#pending > 0
  }

  /** Nobody sleeps on it: whoever plays, drives. */
  arm(_callback: (() => void) | null = null): void {}

  stats(): NicStats {
    return this.#stats
  }

  close(): void {
    this.detach()
  }
}
