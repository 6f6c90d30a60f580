import { ArgumentError } from '../errors.ts'
import type { Native } from '../native/index.ts'
import type { NicStats } from '../nic.ts'
import { ERRNO } from '../system.ts'

/** An Ethernet header; the kernel has no use for less. */
const SHORTEST_FRAME = 14
/** struct virtio_net_hdr, all zero: nothing is left to be done to the frame. */
const VNET_HEADER_BYTES = 10
/** Room for it in front of each slot that keeps slots aligned. */
const HEADROOM = 16
/** As many as one system call takes. */
const SLOTS = 256
/** Frames are the shorter of these, or the interface's MTU with its header. */
const SLOT_BYTES = 4096
const LINK_HEADER_BYTES = 22

/**
 * The transmit side: slots that are filled one after the other and handed to the kernel, which copies, all at once. What it
 * does not take now waits for the next flush.
 */
export class TransmitPath {
  readonly slotBytes: number
  readonly memory: Uint8Array
  readonly #native: Native
  readonly #fd: number
  readonly #stride: number
  readonly #gone: () => void
  readonly #offsets = new Uint32Array(SLOTS)
  readonly #lengths = new Uint32Array(SLOTS)
  /** Frames, bytes, reservations without a slot, errors. Not in an object: see the receive path. */
  readonly #counters = new Float64Array(4)
  /** Slots committed, and of them those that the kernel has. Both go back to 0 when it has all. */
  #committed = 0
  #sent = 0
  #reserved = false

  /** @param gone called when the interface turns out not to be there any more */
  constructor(native: Native, fd: number, mtu: number, gone: () => void) {
    this.#native = native
    this.#fd = fd
    this.#gone = gone
    this.slotBytes = Math.max(SLOT_BYTES, (mtu + LINK_HEADER_BYTES + 15) & ~15)
    this.#stride = HEADROOM + this.slotBytes
    this.memory = new Uint8Array(SLOTS * this.#stride)
    for (let i = 0; i < SLOTS; i++) this.#offsets[i] = i * this.#stride + HEADROOM - VNET_HEADER_BYTES
  }

  addCounters(stats: NicStats): void {
    const [frames, bytes, noSlot, errors] = this.#counters
    stats.txFrames += frames!
    stats.txBytes += bytes!
    stats.txNoSlot += noSlot!
    stats.txErrors += errors!
  }

  reserve(): number {
    if (this.#committed === SLOTS) this.flush()
    if (this.#committed === SLOTS) {
      this.#counters[2]!++
      return -1
    }
    this.#reserved = true
    return this.#committed * this.#stride + HEADROOM
  }

  commit(offset: number, length: number): void {
    if (!this.#reserved || offset !== this.#committed * this.#stride + HEADROOM)
      throw new ArgumentError(`slot ${offset} is not the reserved one`)
    if (length !== 0 && !(length >= SHORTEST_FRAME && length <= this.slotBytes)) {
      throw new ArgumentError(`a frame has ${SHORTEST_FRAME} to ${this.slotBytes} bytes, not ${length}`)
    }
    this.#reserved = false
    if (length === 0) return
    this.#lengths[this.#committed++] = VNET_HEADER_BYTES + length
  }

  /** One system call as a rule; the kernel stops at a frame that it refuses, and is told of the rest again. */
  flush(): void {
    while (this.#sent < this.#committed) {
      const count = this.#committed - this.#sent
      const taken = this.#native.packetSend(
        this.#fd,
        this.memory,
        this.#offsets,
        this.#lengths,
        this.#sent,
        count,
      )
      if (taken > 0) this.#took(taken)
      else if (taken === 0 || !this.#refused(-taken)) break
    }
    // A slot that is reserved stays where it is.
    if (this.#sent === this.#committed && !this.#reserved) this.#sent = this.#committed = 0
  }

  #took(frames: number): void {
    const counters = this.#counters
    counters[0]! += frames
    for (let i = 0; i < frames; i++) counters[1]! += this.#lengths[this.#sent++]! - VNET_HEADER_BYTES
  }

  /** Whether to go on with the frames behind the one that was refused. */
  #refused(errno: number): boolean {
    // The socket's buffer or the device's queue is full: the frame waits.
    if (errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS || errno === ERRNO.EINTR) return false
    const counters = this.#counters
    if (errno === ERRNO.ENXIO || errno === ERRNO.ENODEV || errno === ERRNO.ENETDOWN) {
      if (errno !== ERRNO.ENETDOWN) this.#gone()
      counters[3]! += this.#committed - this.#sent
      this.#sent = this.#committed
    } else {
      counters[3]!++
      this.#sent++
    }
    return true
  }
}
