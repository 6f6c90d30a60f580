import { type Counted, counting, place } from './counting.ts'

class Stats {
  /** Data completions. */
  completions = 0
  /** Bytes that lie where the NIC put them. */
  zeroCopiedBytes = 0
  /** Bytes copied into the area because they were received into other memory. */
  copiedBytes = 0
  /** Contiguous pieces of received data that were copied, each maybe by several completions. */
  copyCount = 0
  /** Refill entries that named no buffer: unknown area, offset beyond it, or padding not zero. */
  refillInvalid = 0
  /** Refill entries for a buffer that the user did not hold. */
  refillNotHeld = 0
  /** Refill entries that gave a buffer back. */
  refilled = 0
}

/** What an interface queue has done, cumulative. */
export type IfqStats = Stats & Counted
export const IfqStats: new () => IfqStats = counting(Stats)

// What every completion and refill counts.
export const COMPLETIONS: number = place(IfqStats, 'completions')
export const ZERO_COPIED_BYTES: number = place(IfqStats, 'zeroCopiedBytes')
export const REFILLED: number = place(IfqStats, 'refilled')

/** Buffers that one request delivered and that have been out for too long. */
export interface Holder {
  /** `user_data` and descriptor of the request that delivered them. */
  readonly userData: number
  readonly fd: number
  readonly buffers: number
  /** Milliseconds since the oldest of them was handed out. */
  readonly oldestMs: number
}

/** What the application has held for too long, those who hold most first. */
export interface HeldReport {
  readonly buffers: number
  readonly oldestMs: number
  readonly holders: readonly Holder[]
}
