/**
 * One AF_XDP ring in memory shared with the kernel (Documentation/networking/af_xdp.rst): two free-running 32-bit
 * indexes, a flags word, and a power of two of descriptors. `Atomics` give the acquire and release the protocol asks
 * for, and are used once a burst; descriptors are plain loads and stores between them.
 */

/** Byte offsets in the mapping, as `XDP_MMAP_OFFSETS` gives them. */
export interface RingLayout {
  readonly producer: number
  readonly consumer: number
  readonly flags: number
  readonly descriptors: number
}

/** `flags`: the kernel sleeps and wants a kick (`XDP_RING_NEED_WAKEUP`). */
const RING_NEED_WAKEUP = 1

/** 32-bit words of `struct xdp_desc` (rx, tx): address low, address high, length, options. */
export const DESCRIPTOR_WORDS = 4
/** 32-bit words of a fill or completion entry: address low, address high. */
export const ADDRESS_WORDS = 2
/** Descriptor option: the frame goes on in the next descriptor (`XDP_PKT_CONTD`). */
export const PACKET_CONTINUES = 1

export class DescriptorRing {
  /** The whole mapping as 32-bit words. Descriptor `i` begins at word `first + (i & mask) * words`. */
  readonly words: Uint32Array
  readonly first: number
  readonly mask: number
  readonly entries: number
  readonly #control: Int32Array
  readonly #producer: number
  readonly #consumer: number
  readonly #flags: number

  constructor(buffer: ArrayBufferLike, layout: RingLayout, entries: number) {
    this.words = new Uint32Array(buffer)
    this.first = layout.descriptors >>> 2
    this.entries = entries
    this.mask = entries - 1
    this.#control = new Int32Array(buffer)
    this.#producer = layout.producer >>> 2
    this.#consumer = layout.consumer >>> 2
    this.#flags = layout.flags >>> 2
  }

  /** Bytes a ring takes: up to the end of its last descriptor. */
  static bytes(layout: RingLayout, entries: number, words: number): number {
    return layout.descriptors + entries * words * 4
  }

  /** Indexes wrap at 32 bits: take differences with `(a - b) | 0`. */
  loadProducer(): number {
    return Atomics.load(this.#control, this.#producer)
  }

  loadConsumer(): number {
    return Atomics.load(this.#control, this.#consumer)
  }

  /** Publishes what was written before. */
  storeProducer(index: number): void {
    Atomics.store(this.#control, this.#producer, index)
  }

  /** Gives back what was read before. */
  storeConsumer(index: number): void {
    Atomics.store(this.#control, this.#consumer, index)
  }

  needsWakeup(): boolean {
    return (Atomics.load(this.#control, this.#flags) & RING_NEED_WAKEUP) !== 0
  }
}
