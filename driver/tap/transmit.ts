import { ArgumentError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import type { NicStats } from '../nic.ts'
import { EBADFD, ERRNO } from '../system.ts'

/** Slots; when all are used, what they hold is sent before there is another. */
const SLOTS = 32
/** Words of a frame for `Native.tapSend`: where it is and its bytes, and how it is cut. */
const FRAME_WORDS = 2
const WORDS = FRAME_WORDS + 4
/** Two tags and an IP packet of the largest size. */
export const LARGE_BYTES = 65_535 + 22
const SLOT_BYTES = 65_568
const SHORTEST_FRAME = 14
const ETHERTYPE_AT = 12
const TAG_BYTES = 4
const ETHERTYPE_VLAN = 0x8100
const ETHERTYPE_QINQ = 0x88a8
const ETHERTYPE_IPV6 = 0x86dd
/** virtio_net.h. */
const GSO_TCPV4 = 1
const GSO_TCPV6 = 4

/** The transmit side of a TAP queue: slots for frames of any size, sent when they are flushed. */
export class TapTransmit {
  readonly memory: Uint8Array = new Uint8Array(SLOTS * SLOT_BYTES)
  readonly #native: Native
  readonly #fd: number
  readonly #frames = new Uint32Array(SLOTS * WORDS)
  /** Bytes of a frame that isn't cut. */
  readonly #slotBytes: number
  /** Frames, bytes, errors. */
  readonly #counters = new Float64Array(3)
  #count = 0
  #reserved = -1

  constructor(native: Native, fd: number, slotBytes: number) {
    this.#native = native
    this.#fd = fd
    this.#slotBytes = slotBytes
  }

  reserve(): number {
    if (this.#reserved < 0) {
      if (this.#count === SLOTS) this.flush()
      this.#reserved = this.#count * SLOT_BYTES
    }
    return this.#reserved
  }

  commit(offset: number, length: number): void {
    if (length === 0) this.#reserved = -1
    else this.#frames.fill(0, this.#put(offset, length, this.#slotBytes) + FRAME_WORDS, this.#count * WORDS)
  }

  commitLarge(
    offset: number,
    length: number,
    tcpAt: number,
    headerBytes: number,
    segmentBytes: number,
  ): void {
    if (
      !(tcpAt >= SHORTEST_FRAME + 20 && headerBytes >= tcpAt + 20 && headerBytes < length && segmentBytes > 0)
    )
      throw new ArgumentError(`a frame of ${length} bytes has no segments of ${segmentBytes}`)
    const type = this.#etherType(offset) === ETHERTYPE_IPV6 ? GSO_TCPV6 : GSO_TCPV4
    const frames = this.#frames
    const at = this.#put(offset, length, LARGE_BYTES) + FRAME_WORDS
    frames[at] = tcpAt
    frames[at + 1] = headerBytes
    frames[at + 2] = segmentBytes
    frames[at + 3] = type
  }

  /** Behind the tags. */
  #etherType(offset: number): number {
    const { memory } = this
    let at = offset + ETHERTYPE_AT
    let type = (memory[at]! << 8) | memory[at + 1]!
    while (type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ) {
      at += TAG_BYTES
      type = (memory[at]! << 8) | memory[at + 1]!
    }
    return type
  }

  /** Returns where the frame's words begin; those of its segments are the caller's to write. */
  #put(offset: number, length: number, longest: number): number {
    if (offset !== this.#reserved || offset < 0)
      throw new ArgumentError(`slot ${offset} is not the reserved one`)
    if (!(length >= SHORTEST_FRAME && length <= longest))
      throw new ArgumentError(`a frame has ${SHORTEST_FRAME} to ${longest} bytes, not ${length}`)
    this.#reserved = -1
    const frames = this.#frames
    const at = this.#count++ * WORDS
    frames[at] = offset
    frames[at + 1] = length
    this.#counters[0]!++
    this.#counters[1]! += length
    return at
  }

  /** Sends everything committed. What the device refuses is counted, and lost as on a wire. Returns the last errno, or 0. */
  flush(): number {
    let status = 0
    for (let from = 0; from < this.#count; ) {
      const sent = this.#native.tapSend(this.#fd, this.memory, this.#frames, from, this.#count)
      if (sent >= 0) {
        from += sent
        continue
      }
      status = -sent
      this.#counters[2]!++
      from++
      // Nothing leaves through an interface that is gone or down.
      if (status === ERRNO.EIO || status === EBADFD) {
        this.#counters[2]! += this.#count - from
        break
      }
    }
    this.#count = 0
    return status
  }

  addCounters(stats: NicStats): void {
    stats.txFrames += this.#counters[0]!
    stats.txBytes += this.#counters[1]!
    stats.txErrors += this.#counters[2]!
  }
}
