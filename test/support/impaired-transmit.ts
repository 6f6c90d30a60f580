import type { Nic } from '../../driver/nic.ts'
import { type Fates, type FrameImpairments, flipBit, ImpairmentCounts } from './impairments.ts'

/** Frames of one transmit round that may wait: what is held back leaves when the table is full. */
const MOST_HELD = 64

/** The way from the stack to the wire: drops, doubles, delays and damages frames whose checksums are complete. */
export class ImpairedTransmit {
  readonly counts = new ImpairmentCounts()
  readonly #nic: Nic
  readonly #impairments: FrameImpairments
  readonly #fates: Fates
  /** Frames held back, and how many may still pass each. */
  #held: { frame: Uint8Array; behind: number }[] = []

  readonly #tap: (frame: Uint8Array) => void

  constructor(nic: Nic, impairments: FrameImpairments, fates: Fates, tap?: (frame: Uint8Array) => void) {
    this.#nic = nic
    this.#impairments = impairments
    this.#fates = fates
    this.#tap = tap ?? (() => {})
  }

  get holding(): boolean {
    return this.#held.length > 0
  }

  forget(): void {
    this.#held = []
  }

  commit(offset: number, length: number): void {
    const { loss = 0, reorder = 0, duplicate = 0, corrupt = 0 } = this.#impairments
    const frame = this.#nic.txMemory.subarray(offset, offset + length)
    if (length > 0) this.#tap(frame)
    if (length > 0 && this.#fates.strikes(loss)) {
      this.counts.dropped++
      this.#nic.txCommit(offset, 0)
      return
    }
    if (length > 0 && this.#fates.strikes(corrupt)) {
      this.counts.corrupted++
      flipBit(frame, this.#fates)
    }
    const twice = length > 0 && this.#fates.strikes(duplicate) ? frame.slice() : null
    if (length > 0 && this.#fates.strikes(reorder)) {
      this.counts.reordered++
      this.#held.push({ frame: frame.slice(), behind: 1 + this.#fates.below(8) })
      this.#nic.txCommit(offset, 0)
    } else this.#nic.txCommit(offset, length)
    if (twice !== null) {
      this.counts.duplicated++
      this.#send(twice)
    }
    this.release()
  }

  /** One frame, or one round without any, has passed those held back. No reservation may be open. */
  release(): void {
    if (this.#held.length === 0) return
    this.#held = this.#held.filter((held) => {
      if (held.behind-- > 0 && this.#held.length < MOST_HELD) return true
      this.#send(held.frame)
      return false
    })
  }

  /** Without a free slot the frame is lost, as on any wire. */
  #send(frame: Uint8Array): void {
    const offset = this.#nic.txReserve()
    if (offset < 0) return
    this.#nic.txMemory.set(frame, offset)
    this.#nic.txCommit(offset, frame.length)
  }
}
