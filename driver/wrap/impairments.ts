import { seededRandom } from '../memory/random.ts'

/** What happens to frames. Probabilities from 0 to 1, decided per frame. */
export interface FrameImpairments {
  /** The frame is dropped. */
  loss?: number
  /** The frame is held back and comes after the next few. */
  reorder?: number
  /** The frame comes twice. */
  duplicate?: number
  /** A bit of the frame behind its Ethernet header is flipped. */
  corrupt?: number
  /** Every frame comes this much later, microseconds. */
  delayUs?: number
}

/** What befell the frames of one direction. */
export class ImpairmentCounts {
  dropped = 0
  reordered = 0
  duplicated = 0
  corrupted = 0
  delayed = 0
}

/** What happens to frames, from a seed. */
export class Fates {
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  strikes(probability: number): boolean {
    return probability > 0 && this.#random() < probability
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }
}

const ETHERNET_HEADER = 14

/** Flips a bit of the packet in a frame. A damaged Ethernet header would not have got past a real NIC. */
export function flipBit(frame: Uint8Array, fates: Fates): void {
  const bytes = frame.length - ETHERNET_HEADER
  if (bytes > 0) frame[ETHERNET_HEADER + fates.below(bytes)]! ^= 1 << fates.below(8)
}
