import { ArgumentError } from '../errors.ts'
import type { NicStats } from './nic.ts'

/** An Ethernet header; the kernel has no use for less. */
const SHORTEST_FRAME = 14
const SLOTS = 256
/** Slots have this many bytes, or what the longest frame takes. */
const SLOT_BYTES = 4096

/** Transmit slots that are filled one after the other and sent in that order. What can't be sent now waits for the next flush. */
export abstract class OrderedSlots {
  readonly slotBytes: number
  readonly memory: Uint8Array
  /** Bytes from a slot to the next. */
  protected readonly stride: number
  /** Bytes to send of each committed frame: its own and those in front of it. */
  protected readonly lengths = new Uint32Array(SLOTS)
  /** Frames, bytes, reservations without a slot, errors. Not in an object: its fields would change shape when they outgrow 31 bits. */
  protected readonly counters = new Float64Array(4)
  /** Slots committed, and of them those that have left. Both go back to 0 when all have. */
  protected committed = 0
  protected sent = 0
  readonly #headroom: number
  readonly #inFront: number
  #reserved = false

  /**
   * @param longestFrame bytes @param headroom bytes in front of each slot @param inFront bytes of them that are sent with the frame
   */
  constructor(longestFrame: number, headroom = 0, inFront = 0) {
    this.slotBytes = Math.max(SLOT_BYTES, (longestFrame + 15) & ~15)
    this.stride = headroom + this.slotBytes
    this.memory = new Uint8Array(SLOTS * this.stride)
    this.#headroom = headroom
    this.#inFront = inFront
  }

  /** Sends what is committed, in order, as far as that goes; then `settle`. */
  abstract flush(): void

  addCounters(stats: NicStats): void {
    const [frames, bytes, noSlot, errors] = this.counters
    stats.txFrames += frames!
    stats.txBytes += bytes!
    stats.txNoSlot += noSlot!
    stats.txErrors += errors!
  }

  reserve(): number {
    if (this.committed === SLOTS) this.flush()
    if (this.committed === SLOTS) {
      this.counters[2]!++
      return -1
    }
    this.#reserved = true
    return this.committed * this.stride + this.#headroom
  }

  commit(offset: number, length: number): void {
    if (!this.#reserved || offset !== this.committed * this.stride + this.#headroom)
      throw new ArgumentError(`slot ${offset} is not the reserved one`)
    if (length !== 0 && !(length >= SHORTEST_FRAME && length <= this.slotBytes)) {
      throw new ArgumentError(`a frame has ${SHORTEST_FRAME} to ${this.slotBytes} bytes, not ${length}`)
    }
    this.#reserved = false
    if (length > 0) this.lengths[this.committed++] = this.#inFront + length
  }

  /** Begins again with the first slot when all have left; one that is reserved stays where it is. */
  protected settle(): void {
    if (this.sent === this.committed && !this.#reserved) this.sent = this.committed = 0
  }
}
