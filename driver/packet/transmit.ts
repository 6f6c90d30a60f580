import type { Native } from '../native/index.ts'
import { OrderedSlots } from '../ordered-slots.ts'
import { ERRNO } from '../system.ts'

/** struct virtio_net_hdr, all zero: nothing is left to be done to the frame. */
const VNET_HEADER_BYTES = 10
/** Room for it in front of each slot that keeps slots aligned. */
const HEADROOM = 16
const LINK_HEADER_BYTES = 22

/** The transmit side: frames are handed to the kernel, which copies them, all at once. */
export class TransmitPath extends OrderedSlots {
  readonly #native: Native
  readonly #fd: number
  readonly #gone: () => void
  readonly #offsets: Uint32Array

  /** @param gone called when the interface turns out not to be there any more */
  constructor(native: Native, fd: number, mtu: number, gone: () => void) {
    super(mtu + LINK_HEADER_BYTES, HEADROOM, VNET_HEADER_BYTES)
    this.#native = native
    this.#fd = fd
    this.#gone = gone
    this.#offsets = this.lengths.map((_, i) => i * this.stride + HEADROOM - VNET_HEADER_BYTES)
  }

  /** One system call as a rule; the kernel stops at a frame that it refuses, and is told of the rest again. */
  override flush(): void {
    while (this.sent < this.committed) {
      const count = this.committed - this.sent
      const taken = this.#native.packetSend(
        this.#fd,
        this.memory,
        this.#offsets,
        this.lengths,
        this.sent,
        count,
      )
      if (taken > 0) this.#took(taken)
      else if (taken === 0 || !this.#refused(-taken)) break
    }
    this.settle()
  }

  #took(frames: number): void {
    const counters = this.counters
    counters[0]! += frames
    for (let i = 0; i < frames; i++) counters[1]! += this.lengths[this.sent++]! - VNET_HEADER_BYTES
  }

  /** Whether to go on with the frames behind the one that was refused. */
  #refused(errno: number): boolean {
    // The socket's buffer or the device's queue is full: the frame waits.
    if (errno === ERRNO.EAGAIN || errno === ERRNO.ENOBUFS || errno === ERRNO.EINTR) return false
    const counters = this.counters
    if (errno === ERRNO.ENXIO || errno === ERRNO.ENODEV || errno === ERRNO.ENETDOWN) {
      if (errno !== ERRNO.ENETDOWN) this.#gone()
      counters[3]! += this.committed - this.sent
      this.sent = this.committed
    } else {
      counters[3]!++
      this.sent++
    }
    return true
  }
}
