/** What befalls frames on their way, decided from a seed: the one set of dice for memory links and for NICs that wrap others. */

/** Repeatable random numbers in [0, 1) from a 32-bit seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A seed nobody chose; print it, so that a run can be repeated. */
export function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!
}

/** What happens to frames. Probabilities from 0 to 1, decided per frame. */
export interface FrameImpairments {
  /** The frame is dropped. */
  loss?: number
  /** The frame comes later than it should: an `ImpairedNic` holds it back until a few others have passed. */
  reorder?: number
  /** The frame comes twice. Each of the two can be damaged or late by itself. */
  duplicate?: number
  /** A bit of the frame is flipped; of one that an `ImpairedNic` sees, behind its Ethernet header. */
  corrupt?: number
  /** Every frame comes this much later, microseconds. */
  delayUs?: number
}

/** What befell the frames of one direction. */
export class ImpairmentCounts {
  /** Frames that were lost. */
  dropped = 0
  /** Frames that were held back behind others. */
  reordered = 0
  /** Frames that came twice. */
  duplicated = 0
  /** Frames with a bit flipped. */
  corrupted = 0
  /** Frames that came later than they would have. */
  delayed = 0
}

/** No such thing befalls the frame. */
export const SPARED = -1

/** Decides what befalls one frame after the other. All that is decided of a frame is drawn before anything is done to it. */
export class Fates {
  /** Of the frame drawn last: it is lost; or it comes twice. */
  lost = false
  twice = false
  /**
   * Of the frame and of its double: where in it a bit is flipped, and how late it is in proportion to the latest, both from 0 to
   * below 1, or `SPARED`.
   */
  readonly flip: Float64Array = new Float64Array(2)
  readonly late: Float64Array = new Float64Array(2)
  readonly #random: () => number

  /** @param random numbers from 0 to below 1, such as `seededRandom` gives */
  constructor(random: () => number) {
    this.#random = random
  }

  /** The next frame's. */
  draw({ loss = 0, reorder = 0, duplicate = 0, corrupt = 0 }: FrameImpairments): void {
    this.twice = false
    this.lost = this.#strikes(loss)
    if (this.lost) return
    this.#drawOne(0, corrupt, reorder)
    this.twice = this.#strikes(duplicate)
    if (this.twice) this.#drawOne(1, corrupt, reorder)
  }

  #drawOne(which: number, corrupt: number, reorder: number): void {
    this.flip[which] = this.#strikes(corrupt) ? this.#random() : SPARED
    this.late[which] = this.#strikes(reorder) ? this.#random() : SPARED
  }

  #strikes(probability: number): boolean {
    return probability > 0 && this.#random() < probability
  }
}

/** Flips a bit of a frame behind its first `from` bytes. @param where from 0 to below 1 */
export function flipBit(frame: Uint8Array, where: number, from = 0): void {
  const bytes = frame.length - from
  if (bytes <= 0) return
  const bit = Math.floor(where * bytes * 8)
  frame[from + (bit >>> 3)]! ^= 1 << (bit & 7)
}
