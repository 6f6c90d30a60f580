import { type NicMemory, RX_MORE, RxBurst } from '../../../driver/nic.ts'
import type { XdpNic } from '../../../driver/xdp/index.ts'
import { CHUNK } from './setup.ts'

const FIN = 1
const SYN = 2
const ACK = 16
const WINDOW_SHIFT = 8

/**
 * The least that keeps a Linux sender going: one connection, data in order, one acknowledgement a burst, no timers, no
 * checksums verified. A ceiling for the driver, not a stack.
 */
export class Sink {
  received = 0
  largestFrame = 0
  outOfOrder = 0
  finished = false
  /** Called with each piece of payload in order and its place in the stream. */
  onData: (bytes: Uint8Array, at: number) => void = () => {}
  readonly #nic: XdpNic
  readonly #area: Uint8Array
  readonly #view: DataView
  readonly #burst = new RxBurst(1024)
  readonly #chunks = new Uint32Array(1024)
  /** Ethernet, IPv4 and TCP headers of the answer, with room for the options of a SYN. */
  readonly #reply = new Uint8Array(14 + 20 + 28)
  readonly #window: number
  #next = 0
  #open = false

  constructor(nic: XdpNic, memory: NicMemory, window: number) {
    this.#nic = nic
    this.#area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#view = new DataView(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#window = Math.min(65535, window >> WINDOW_SHIFT)
  }

  /** Handles one burst; false when nothing came for a second. */
  step(): boolean {
    const nic = this.#nic
    const burst = this.#burst
    const count = nic.receive(burst)
    if (count === 0) return nic.wait(1000)
    let answer = 0
    for (let i = 0; i < count; ) {
      let end = i
      while ((burst.flags[end]! & RX_MORE) !== 0) end++
      answer |= this.#frame(i, end)
      i = end + 1
    }
    for (let i = 0; i < count; i++) this.#chunks[i] = Math.floor(burst.offset[i]! / CHUNK)
    nic.fill(this.#chunks, 0, count)
    if (answer !== 0) this.#answer(answer)
    return true
  }

  #frame(first: number, last: number): number {
    const { offset, length } = this.#burst
    const at = offset[first]!
    const view = this.#view
    const head = 34 + (view.getUint8(at + 46) >> 4) * 4
    const flags = view.getUint8(at + 47)
    const sequence = view.getUint32(at + 38)
    if ((flags & SYN) !== 0) {
      this.#next = (sequence + 1) >>> 0
      this.#reply.set(this.#area.subarray(at, at + 54))
      this.#open = true
      return SYN | ACK
    }
    if (!this.#open) return 0
    // The IP length, not the frame's: short frames are padded. A super-frame over 64 KiB says 0 there.
    const total = view.getUint16(at + 16)
    let left = total - (head - 14)
    if (left <= 0 && (flags & FIN) === 0) return 0
    if (sequence !== this.#next) {
      this.outOfOrder++
      return ACK
    }
    this.largestFrame = Math.max(this.largestFrame, total)
    for (let i = first; i <= last; i++) {
      const skip = i === first ? head : 0
      const bytes = Math.min(left, length[i]! - skip)
      if (bytes > 0)
        this.onData(this.#area.subarray(offset[i]! + skip, offset[i]! + skip + bytes), this.received)
      this.received += Math.max(0, bytes)
      left -= bytes
    }
    this.#next = (this.#next + total - (head - 14) + (flags & FIN)) >>> 0
    if ((flags & FIN) !== 0) this.finished = true
    return ACK
  }

  /** Turns the SYN's headers round and sends them with these flags. */
  #answer(flags: number): void {
    const slot = this.#nic.txReserve()
    if (slot < 0) return
    const frame = this.#nic.txMemory.subarray(slot, slot + 62)
    const { buffer, byteOffset } = frame
    const view = new DataView(buffer, byteOffset, 62)
    const from = this.#reply
    const bytes = (flags & SYN) !== 0 ? 62 : 54
    frame.set(from.subarray(6, 12), 0)
    frame.set(from.subarray(0, 6), 6)
    frame.set([8, 0, 0x45, 0, 0, bytes - 14, 0, 0, 0x40, 0, 64, 6, 0, 0], 12)
    frame.set(from.subarray(30, 34), 26)
    frame.set(from.subarray(26, 30), 30)
    frame.set(from.subarray(36, 38), 34)
    frame.set(from.subarray(34, 36), 36)
    view.setUint32(38, (flags & SYN) !== 0 ? 1000 : 1001)
    view.setUint32(42, this.#next)
    frame[46] = (bytes - 34) << 2
    frame[47] = flags
    view.setUint16(48, this.#window)
    view.setUint32(50, 0)
    // MSS of the MTU, window scale.
    const mss = this.#nic.info.mtu - 40
    if (bytes === 62) frame.set([2, 4, mss >> 8, mss & 255, 3, 3, WINDOW_SHIFT, 1], 54)
    view.setUint16(24, checksum(view, 14, 20, 0))
    view.setUint16(50, checksum(view, 26, bytes - 26, 6 + bytes - 34))
    this.#nic.txCommit(slot, bytes)
    this.#nic.txFlush()
  }
}

function checksum(view: DataView, from: number, length: number, start: number): number {
  let sum = start
  for (let i = from; i < from + length; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
