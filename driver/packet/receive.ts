import { type NicStats, RX_CSUM_GOOD, RX_CSUM_PARTIAL, RX_SIDE, type RxBurst } from '../nic.ts'

// struct tpacket_block_desc and struct tpacket3_hdr of linux/if_packet.h: byte offsets.
const BLOCK_STATUS = 8
const BLOCK_PACKETS = 12
const BLOCK_FIRST = 16
const BLOCK_BYTES = 20
const BLOCK_HEADER_BYTES = 48
const NEXT = 0
const CAPTURED = 12
const LENGTH = 16
const STATUS = 20
const MAC = 24
const VLAN_TCI = 32
const VLAN_TPID = 36
/** `sll_pkttype` of the `struct sockaddr_ll` behind the header. */
const PACKET_TYPE = 48 + 10
const HEADER_BYTES = 48 + 20

const TP_STATUS_USER = 1
const TP_STATUS_VLAN_VALID = 1 << 4
const TP_STATUS_VLAN_TPID_VALID = 1 << 6
const TP_STATUS_CSUM_VALID = 1 << 7
const PACKET_OUTGOING = 4

// struct virtio_net_hdr, which lies in front of the frame.
const VNET_HEADER_BYTES = 10
const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1
const VIRTIO_NET_HDR_F_DATA_VALID = 2

const ETHERTYPE_VLAN = 0x8100
const ETHERNET_HEADER_BYTES = 14
const ADDRESSES_BYTES = 12
const TAG_BYTES = 4

/**
 * The receive side: blocks of the mapped ring that the kernel has closed, each with many frames. Frames are shown where they
 * lie; a block goes back to the kernel at the next `receive` once its last frame was shown.
 */
export class ReceivePath {
  readonly memory: Uint8Array
  readonly #words: Uint32Array
  readonly #halves: Uint16Array
  /** The same words: `Atomics` give the acquire and release that the block's status asks for. */
  readonly #status: Int32Array
  readonly #blockBytes: number
  readonly #blocks: number
  /** Frames, bytes, invalid, cut off. Not in an object: its fields would change shape when they outgrow 31 bits. */
  readonly #counters = new Float64Array(4)
  /** Block that is read next, or in part. */
  #block = 0
  /** Frames left in it; 0 when it is not open. */
  #left = 0
  /** Byte offset of the next of them from the start of the ring. */
  #at = 0
  /** Bytes from the start of the ring to the end of what the block holds. */
  #end = 0
  /** Blocks in front of `#block` that were read and are not the kernel's yet. */
  #done = 0

  constructor(ring: ArrayBuffer, blockBytes: number) {
    this.memory = new Uint8Array(ring)
    this.#words = new Uint32Array(ring)
    this.#halves = new Uint16Array(ring)
    this.#status = new Int32Array(ring)
    this.#blockBytes = blockBytes
    this.#blocks = ring.byteLength / blockBytes
  }

  addCounters(stats: NicStats): void {
    const [frames, bytes, invalid, cut] = this.#counters
    stats.rxFrames += frames!
    stats.rxFragments += frames!
    stats.rxBytes += bytes!
    stats.rxInvalid += invalid!
    stats.rxDropped += cut!
  }

  /** Whether frames wait. */
  pending(): boolean {
    return this.#left > 0 || this.#ready()
  }

  /** Whether a block that was read waits to go back to the kernel: its descriptor stays readable until then. */
  get holding(): boolean {
    return this.#done > 0
  }

  /** Whether the kernel has no block left until some go back. */
  get full(): boolean {
    return this.#done === this.#blocks
  }

  receive(burst: RxBurst): number {
    this.release()
    const { capacity } = burst
    let count = 0
    while (count < capacity) {
      if (this.#left === 0) {
        if (!this.#ready()) break
        this.#open()
        continue
      }
      if (this.#frame(burst, count)) count++
      if (--this.#left === 0) this.#finish()
    }
    burst.count = count
    return count
  }

  /** Gives the blocks that were read back to the kernel. */
  release(): void {
    for (; this.#done > 0; this.#done--) {
      const block = (this.#block - this.#done + this.#blocks) % this.#blocks
      Atomics.store(this.#status, (block * this.#blockBytes + BLOCK_STATUS) >>> 2, 0)
    }
  }

  /** Throws away what waits. */
  flush(): void {
    if (this.#left > 0) this.#finish()
    while (this.#ready()) this.#finish()
    this.release()
  }

  #ready(): boolean {
    const at = (this.#block * this.#blockBytes + BLOCK_STATUS) >>> 2
    // When the whole ring is ours, the next block is one that was read already.
    return this.#done < this.#blocks && (Atomics.load(this.#status, at) & TP_STATUS_USER) !== 0
  }

  #open(): void {
    const base = this.#block * this.#blockBytes
    const word = base >>> 2
    const packets = this.#words[word + (BLOCK_PACKETS >>> 2)]!
    const first = this.#words[word + (BLOCK_FIRST >>> 2)]!
    const bytes = this.#words[word + (BLOCK_BYTES >>> 2)]!
    const valid =
      first >= BLOCK_HEADER_BYTES && first <= bytes && bytes <= this.#blockBytes && (first & 3) === 0
    if (packets === 0 || !valid) {
      if (packets > 0) this.#counters[2]!++
      this.#finish()
      return
    }
    this.#left = packets
    this.#at = base + first
    this.#end = base + bytes
  }

  #finish(): void {
    this.#left = 0
    this.#done++
    this.#block = (this.#block + 1) % this.#blocks
  }

  /** Puts the next frame of the block into the burst; false when it is none for the stack. */
  #frame(burst: RxBurst, slot: number): boolean {
    const header = this.#at
    const words = this.#words
    const word = header >>> 2
    if (header + HEADER_BYTES > this.#end) return this.#lost()
    const next = words[word + (NEXT >>> 2)]!
    const captured = words[word + (CAPTURED >>> 2)]!
    const status = words[word + (STATUS >>> 2)]!
    const mac = this.#halves[(header + MAC) >>> 1]!
    // The last frame of a block has no next.
    if (this.#left > 1 && (next < HEADER_BYTES || (next & 3) !== 0)) return this.#lost()
    this.#at = header + next
    let at = header + mac
    if (
      mac < HEADER_BYTES + VNET_HEADER_BYTES ||
      captured < ETHERNET_HEADER_BYTES ||
      captured > this.#end - at
    ) {
      this.#counters[2]!++
      return false
    }
    if (captured < words[word + (LENGTH >>> 2)]!) {
      this.#counters[3]!++
      return false
    }
    if (this.memory[header + PACKET_TYPE] === PACKET_OUTGOING) return false
    const offload = this.memory[at - VNET_HEADER_BYTES]!
    let flags = RX_SIDE
    if ((offload & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0) flags |= RX_CSUM_PARTIAL
    else if ((offload & VIRTIO_NET_HDR_F_DATA_VALID) !== 0 || (status & TP_STATUS_CSUM_VALID) !== 0)
      flags |= RX_CSUM_GOOD
    let length = captured
    if ((status & TP_STATUS_VLAN_VALID) !== 0) {
      at = this.#tag(header, at, status)
      length += TAG_BYTES
    }
    burst.offset[slot] = at
    burst.length[slot] = length
    burst.flags[slot] = flags
    this.#counters[0]!++
    this.#counters[1]! += length
    return true
  }

  /** The headers lead nowhere: the rest of the block can't be found. */
  #lost(): boolean {
    this.#counters[2]! += this.#left
    this.#left = 1
    return false
  }

  /** Puts the tag that the kernel has taken out back, over the virtio header, which was read. Returns where the frame begins. */
  #tag(header: number, at: number, status: number): number {
    const { memory: bytes } = this
    const control = this.#words[(header + VLAN_TCI) >>> 2]!
    const tpid =
      (status & TP_STATUS_VLAN_TPID_VALID) === 0 ? ETHERTYPE_VLAN : this.#halves[(header + VLAN_TPID) >>> 1]!
    const from = at - TAG_BYTES
    bytes.copyWithin(from, at, at + ADDRESSES_BYTES)
    const tag = from + ADDRESSES_BYTES
    bytes[tag] = tpid >>> 8
    bytes[tag + 1] = tpid & 0xff
    bytes[tag + 2] = (control >>> 8) & 0xff
    bytes[tag + 3] = control & 0xff
    return from
  }
}
