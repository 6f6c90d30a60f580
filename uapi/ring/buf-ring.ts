import { BUF_RING_TAIL_OFFSET, BUF_SIZE } from '../abi/buffers.ts'
import type { Addresser } from '../abi/sqe.ts'
import { putU64 } from '../abi/struct.ts'

/** `struct io_uring_buf_ring`, the user's side: buffers for requests with IOSQE_BUFFER_SELECT. */
export class BufRing {
  /** Buffer group. */
  readonly bgid: number
  /** A power of two. */
  readonly entries: number
  readonly #addresser: Addresser
  readonly #view: DataView
  readonly #tailWord: Uint16Array
  #tail: number
  #added = 0

  /** @internal use `Ring.setupBufRing` */
  constructor(addresser: Addresser, memory: Uint8Array, entries: number, bgid: number) {
    this.#addresser = addresser
    this.bgid = bgid
    this.entries = entries
    this.#view = new DataView(memory.buffer, memory.byteOffset, entries * BUF_SIZE)
    this.#tailWord = new Uint16Array(memory.buffer, memory.byteOffset + BUF_RING_TAIL_OFFSET, 1)
    this.#tail = Atomics.load(this.#tailWord, 0)
  }

  /**
   * `io_uring_buf_ring_add(3)`: a buffer more, behind those added before. The kernel does not see it before
   * `bufRingAdvance`. @param bytes must stay alive until a completion gives it back @param bid its id, 0..65535
   */
  bufRingAdd(bytes: Uint8Array, bid: number): void {
    this.bufRingAddAddress(this.#addresser.addressOf(bytes), bytes.length, bid)
  }

  /** The same by the buffer's address, as `Arena.addressOf` has it. */
  bufRingAddAddress(address: number, length: number, bid: number): void {
    const at = ((this.#tail + this.#added++) & (this.entries - 1)) * BUF_SIZE
    const view = this.#view
    putU64(view, at, address)
    view.setUint32(at + 8, length, true)
    // What follows is the ring's tail in the first entry.
    view.setUint16(at + 12, bid, true)
  }

  /** `io_uring_buf_ring_advance(3)`: shows the kernel the first `count` of those added; default all. */
  bufRingAdvance(count: number = this.#added): void {
    this.#added -= count
    this.#tail = (this.#tail + count) & 0xffff
    Atomics.store(this.#tailWord, 0, this.#tail)
  }

  /** `io_uring_buf_ring_available(3)`: buffers that wait to be used. @param head as `Ring.bufRingHead` tells it */
  bufRingAvailable(head: number): number {
    return (this.#tail - head) & 0xffff
  }
}
