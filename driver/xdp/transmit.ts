import { ArgumentError } from '../../errors.ts'
import type { NicStats } from '../nic.ts'
import { ERRNO } from '../system.ts'
import { ADDRESS_WORDS, DESCRIPTOR_WORDS, type DescriptorRing } from './descriptor-ring.ts'

/** An Ethernet header; the kernel has no use for less. */
const SHORTEST_FRAME = 14

/** What the transmit side of a queue works with. */
export interface TransmitParts {
  readonly tx: DescriptorRing
  readonly completion: DescriptorRing
  /** Ring address of the first slot, a number of slots, and bytes of each. */
  readonly base: number
  readonly slots: number
  readonly slotBytes: number
  /** The driver sends by itself, and asks for a kick only when it sleeps. */
  readonly zeroCopy: boolean
  /** Tells the kernel; 0 or a negative errno. */
  readonly kick: () => number
}

/**
 * The transmit side: slots behind the area, a free list, the tx ring, and the completion ring that gives slots back.
 * The rings hold at least as many entries as there are slots, so neither can overflow.
 */
export class TransmitPath {
  readonly slotBytes: number
  readonly #tx: DescriptorRing
  readonly #completion: DescriptorRing
  /** Frames, bytes, reservations without a slot, errors. Not in an object: see the receive path. */
  readonly #counters = new Float64Array(4)
  readonly #base: number
  readonly #shift: number
  readonly #slots: number
  readonly #zeroCopy: boolean
  readonly #kick: () => number
  readonly #free: Uint32Array
  #freeCount: number
  #producer: number
  #reaped: number
  #reserved = -1
  /** Frames committed since the last flush. */
  #unflushed = 0

  constructor({ tx, completion, base, slots, slotBytes, zeroCopy, kick }: TransmitParts) {
    this.#tx = tx
    this.#completion = completion
    this.#base = base
    this.#slots = slots
    this.slotBytes = slotBytes
    this.#shift = Math.log2(slotBytes)
    this.#zeroCopy = zeroCopy
    this.#kick = kick
    this.#producer = tx.loadProducer()
    this.#reaped = completion.loadConsumer()
    this.#freeCount = slots
    this.#free = Uint32Array.from({ length: slots }, (_, i) => slots - 1 - i)
  }

  addCounters(stats: NicStats): void {
    const [frames, bytes, noSlot, errors] = this.#counters
    stats.txFrames += frames!
    stats.txBytes += bytes!
    stats.txNoSlot += noSlot!
    stats.txErrors += errors!
  }

  reserve(): number {
    if (this.#reserved >= 0) return this.#reserved
    if (this.#freeCount === 0) this.#reap()
    // What is committed leaves now: a frame without a slot would leave when a timer sends it again. In copy mode the kick gives all slots back.
    if (this.#freeCount === 0 && this.#unflushed > 0) this.flush()
    if (this.#freeCount === 0) {
      this.#counters[2]!++
      return -1
    }
    this.#reserved = this.#free[--this.#freeCount]! << this.#shift
    return this.#reserved
  }

  commit(offset: number, length: number): void {
    if (offset !== this.#reserved || offset < 0)
      throw new ArgumentError(`slot ${offset} is not the reserved one`)
    if (length !== 0 && !(length >= SHORTEST_FRAME && length <= this.slotBytes)) {
      throw new ArgumentError(`a frame has ${SHORTEST_FRAME} to ${this.slotBytes} bytes, not ${length}`)
    }
    this.#reserved = -1
    if (length === 0) {
      this.#free[this.#freeCount++] = offset >>> this.#shift
      return
    }
    const { words, first, mask } = this.#tx
    const at = first + (this.#producer & mask) * DESCRIPTOR_WORDS
    words[at] = this.#base + offset
    words[at + 1] = 0
    words[at + 2] = length
    words[at + 3] = 0
    this.#producer = (this.#producer + 1) | 0
    this.#unflushed++
    this.#counters[0]!++
    this.#counters[1]! += length
  }

  /**
   * One kick as a rule. The kernel stops early when it has sent its budget (before Linux 6.17: 32 frames) or when the
   * device has dropped a frame: then it is told again for as long as that moves anything. What still waits is sent at
   * the next flush.
   */
  flush(): void {
    const fresh = this.#unflushed
    if (fresh > 0) {
      this.#unflushed = 0
      this.#tx.storeProducer(this.#producer)
    }
    let waiting = (this.#producer - this.#tx.loadConsumer()) | 0
    while (waiting > 0 && (!this.#zeroCopy || this.#tx.needsWakeup())) {
      const status = this.#kick()
      if (status === -ERRNO.EBUSY) this.#counters[3]!++
      else if (status !== 0 && status !== -ERRNO.EAGAIN && status !== -ERRNO.ENOBUFS)
        this.#counters[3]! += fresh
      const left = (this.#producer - this.#tx.loadConsumer()) | 0
      if (status === 0 || left === waiting) break
      waiting = left
    }
    this.#reap()
  }

  #reap(): void {
    const { words, first, mask } = this.#completion
    const done = (this.#completion.loadProducer() - this.#reaped) | 0
    if (done === 0) return
    for (let i = 0; i < done; i++) {
      const at = first + ((this.#reaped + i) & mask) * ADDRESS_WORDS
      const slot = (words[at]! - this.#base) >>> this.#shift
      if (slot < this.#slots && this.#freeCount < this.#slots) this.#free[this.#freeCount++] = slot
    }
    this.#reaped = (this.#reaped + done) | 0
    this.#completion.storeConsumer(this.#reaped)
  }
}
