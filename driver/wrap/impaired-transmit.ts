import { type Fates, type FrameImpairments, flipBit, ImpairmentCounts, SPARED } from '../impairments.ts'
import type { Nic } from '../nic.ts'

/** Frames held back to come later than others; more leave at once. */
const MOST_HELD = 64
/** A damaged Ethernet header would not have got past a real NIC. */
const ETHERNET_HEADER = 14
/** Frames that pass one which comes later, at the most. */
const MOST_BEHIND = 8
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
    const { delayUs = 0 } = this.#impairments
    const fates = this.#fates
    const frame = this.#nic.txMemory.subarray(offset, offset + length)
    this.#tap(frame)
    fates.draw(this.#impairments)
    if (fates.lost) {
      this.counts.dropped++
      this.#nic.txCommit(offset, 0)
      return
    }
    const double = fates.twice ? frame.slice() : null
    if (delayUs > 0) this.counts.delayed++
    const behind = befall(frame, fates, 0, this.counts)
    if (behind > 0 || delayUs > 0) {
      this.#hold(frame.slice(), behind, delayUs)
      this.#nic.txCommit(offset, 0)
    } else this.#nic.txCommit(offset, length)
    if (double !== null) {
      this.counts.duplicated++
      const behind = befall(double, fates, 1, this.counts)
      if (behind > 0 || delayUs > 0) this.#hold(double, behind, delayUs)
      else this.#send(double)
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

/**
 * Damages a frame if that is its fate, and counts. Returns how many frames pass before it.
 * @param which 0 = the frame, 1 = its double
 */
export function befall(frame: Uint8Array, fates: Fates, which: 0 | 1, counts: ImpairmentCounts): number {
  const flip = fates.flip[which]!
  const late = fates.late[which]!
  if (flip !== SPARED) {
    counts.corrupted++
    flipBit(frame, flip, ETHERNET_HEADER)
  }
  if (late === SPARED) return 0
  counts.reordered++
  return 1 + Math.floor(late * MOST_BEHIND)
}
