import type { Nic } from '../nic.ts'
import { type Fates, type FrameImpairments, flipBit, ImpairmentCounts } from './impairments.ts'

/** Frames held back to come later than others; more leave at once. */
const MOST_HELD = 64
/** Bytes of frames on their way when they are delayed; more are dropped, as a full queue drops them. */
const MOST_DELAYED_BYTES = 16 << 20

interface Held {
  readonly frame: Uint8Array
  /** Frames that still pass before this one. */
  behind: number
  /** Not before, microseconds. */
  readonly due: number
}

/** The way from the stack to the wire: drops, doubles, delays and damages frames whose checksums are complete. */
export class ImpairedTransmit {
  readonly counts = new ImpairmentCounts()
  readonly #nic: Nic
  readonly #impairments: FrameImpairments
  readonly #fates: Fates
  readonly #now: () => number
  readonly #tap: (frame: Uint8Array) => void
  #held: Held[] = []
  #heldBytes = 0

  constructor(
    nic: Nic,
    impairments: FrameImpairments,
    fates: Fates,
    now: () => number,
    tap: (frame: Uint8Array) => void = () => {},
  ) {
    this.#nic = nic
    this.#impairments = impairments
    this.#fates = fates
    this.#now = now
    this.#tap = tap
  }

  /** When something held back may leave; Infinity for nothing. */
  nextDue(): number {
    let due = Number.POSITIVE_INFINITY
    for (const held of this.#held) due = Math.min(due, held.due)
    return due
  }

  /** Everything that is held back leaves: the NIC goes away. */
  releaseAll(): void {
    for (const { frame } of this.#held) this.#send(frame)
    this.#held = []
    this.#heldBytes = 0
  }

  commit(offset: number, length: number): void {
    if (length === 0) {
      this.#nic.txCommit(offset, 0)
      return
    }
    const { loss = 0, reorder = 0, duplicate = 0, corrupt = 0, delayUs = 0 } = this.#impairments
    const frame = this.#nic.txMemory.subarray(offset, offset + length)
    this.#tap(frame)
    if (this.#fates.strikes(loss)) {
      this.counts.dropped++
      this.#nic.txCommit(offset, 0)
      return
    }
    if (this.#fates.strikes(corrupt)) {
      this.counts.corrupted++
      flipBit(frame, this.#fates)
    }
    const twice = this.#fates.strikes(duplicate) ? frame.slice() : null
    const later = this.#fates.strikes(reorder)
    if (later) this.counts.reordered++
    if (later || delayUs > 0) {
      if (delayUs > 0) this.counts.delayed++
      this.#hold(frame.slice(), later ? 1 + this.#fates.below(8) : 0, delayUs)
      this.#nic.txCommit(offset, 0)
    } else this.#nic.txCommit(offset, length)
    if (twice !== null) {
      this.counts.duplicated++
      if (delayUs > 0) this.#hold(twice, 0, delayUs)
      else this.#send(twice)
    }
    this.release()
  }

  /** One frame, or one round without any, has passed those held back. No reservation may be open. */
  release(): void {
    if (this.#held.length === 0) return
    const now = this.#now()
    const crowded = this.#held.length >= MOST_HELD
    this.#held = this.#held.filter((held) => {
      if (held.due > now) return true
      if (held.behind > 0 && !crowded) {
        held.behind--
        return true
      }
      this.#heldBytes -= held.frame.length
      this.#send(held.frame)
      return false
    })
  }

  #hold(frame: Uint8Array, behind: number, delayUs: number): void {
    if (this.#heldBytes + frame.length > MOST_DELAYED_BYTES) {
      this.counts.dropped++
      return
    }
    this.#heldBytes += frame.length
    this.#held.push({ frame, behind, due: delayUs > 0 ? this.#now() + delayUs : Number.NEGATIVE_INFINITY })
  }

  /** Without a free slot the frame is lost, as on any wire. */
  #send(frame: Uint8Array): void {
    const offset = this.#nic.txReserve()
    if (offset < 0) return
    this.#nic.txMemory.set(frame, offset)
    this.#nic.txCommit(offset, frame.length)
  }
}
