import { IORING_CQE_BUFFER_SHIFT } from '../uapi/abi/io-uring.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import type { BufRing } from '../uapi/ring/buf-ring.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import type { Ring } from '../uapi/ring/ring.ts'

/** How received data comes into the area, and how its buffers go back. */
export interface Source {
  /** A receive request that goes on until the stream ends or there is no room. */
  prepare(sqe: Sqe, fd: number): Sqe
  /** One completion's buffer goes back, at the next `giveBack` at the latest. */
  release(offset: number): void
  /** Shows the other side what went back. False while some could not go yet, and somebody has to come again. */
  giveBack(): boolean
}

/** Zero-copy receive: a registered instance with its refill queue. */
export class IfqSource implements Source {
  readonly #ring: Ring
  readonly #ifq: Ifq
  /** Where in the area this queue's own memory begins. */
  readonly #base: number
  /** Buffers to give back that the refill queue had no room for. */
  readonly #stash: number[] = []
  /** The other side takes refills without being asked, and is woken for them at the most. */
  readonly #unasked: boolean

  constructor(ring: Ring, ifq: Ifq, base: number, unasked: boolean) {
    this.#ring = ring
    this.#ifq = ifq
    this.#base = base
    this.#unasked = unasked
  }

  prepare(sqe: Sqe, fd: number): Sqe {
    return sqe.prepRecvZc(fd, this.#ifq.zcrxId)
  }

  release(offset: number): void {
    const own = offset - this.#base
    // What others push to as well is locked for all at once, at the end of the turn.
    if (this.#ifq.rq.shared || !this.#ifq.rq.push(this.#ifq.areaId, own, 0)) this.#stash.push(own)
  }

  /** A refill queue's worth after the other, until all are back. */
  giveBack(): boolean {
    const { rq, areaId, zcrxId } = this.#ifq
    const stash = this.#stash
    let flushed = 0
    do {
      rq.pushAll(areaId, stash)
      if (!this.#unasked || stash.length > 0) flushed = this.#ring.flushRq(zcrxId)
    } while (stash.length > 0 && rq.space() > 0)
    if (this.#unasked) this.#ring.wakeUp()
    // Whoever can't be asked to take refills takes them when data comes, and to come again for that brings nothing.
    return stash.length === 0 || flushed < 0
  }
}

/** Receiving by copying: a ring of buffers that the area is cut into. */
export class BufferSource implements Source {
  readonly bufferBytes: number
  /** How many buffers there are: less than the area has room for where that is more than a ring of them takes. */
  readonly count: number
  readonly #bufRing: BufRing
  readonly #address: number
  /** `bufferBytes` is two to the power of it. */
  readonly #shift: number

  /** @param address of the area */
  constructor(bufRing: BufRing, address: number, bufferBytes: number, count: number) {
    this.bufferBytes = bufferBytes
    this.count = count
    this.#bufRing = bufRing
    this.#address = address
    this.#shift = Math.log2(bufferBytes)
    for (let id = 0; id < count; id++) this.release(id * bufferBytes)
    this.giveBack()
  }

  prepare(sqe: Sqe, fd: number): Sqe {
    return sqe.prepRecvMultishot(fd, this.#bufRing.bgid)
  }

  /** Where the data of a completion lies. */
  offsetOf(flags: number): number {
    return (flags >>> IORING_CQE_BUFFER_SHIFT) * this.bufferBytes
  }

  release(offset: number): void {
    const id = offset >>> this.#shift
    this.#bufRing.bufRingAddAddress(this.#address + id * this.bufferBytes, this.bufferBytes, id)
  }

  giveBack(): boolean {
    this.#bufRing.bufRingAdvance()
    return true
  }
}
