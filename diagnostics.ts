import { type Counted, counting, place } from './counting.ts'

/** Where the niovs of an area are: every one in exactly one place, so that the places add up to `total`. */
export interface Census {
  /** Niovs of the area. */
  total: number
  /** On the free stack. */
  free: number
  /** With the NIC, waiting for data. */
  fill: number
  /** Received, being processed; 0 between two polls. */
  rx: number
  /** In a receive queue or a reassembly queue. */
  queued: number
  /** With the user: named by completions that were not returned yet. */
  user: number
  /** `total` less all of the above: anything but 0 is a bug. */
  lost: number
}

/** Place by place, over several areas; of none all zeros. */
export function sumOfCensus(parts: readonly Census[]): Census {
  const sum: Census = { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }
  for (const part of parts) for (const key of Object.keys(sum) as (keyof Census)[]) sum[key] += part[key]
  return sum
}

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
  /** Descriptor of the request that delivered them. */
  readonly fd: number
  /** How many it delivered that are still out. */
  readonly buffers: number
  /** Milliseconds since the oldest of them was handed out. */
  readonly oldestMs: number
}

/** What the application has held for too long, those who hold most first. */
export interface HeldReport {
  /** Of all holders together. */
  readonly buffers: number
  /** Milliseconds since the oldest of them was handed out. */
  readonly oldestMs: number
  /** By request, most buffers first. */
  readonly holders: readonly Holder[]
}

/** The report of those who hold buffers for too long; null of nobody. */
export function heldReport(holders: readonly Holder[]): HeldReport | null {
  if (holders.length === 0) return null
  return {
    buffers: holders.reduce((sum, holder) => sum + holder.buffers, 0),
    oldestMs: Math.max(...holders.map(({ oldestMs }) => oldestMs)),
    holders: [...holders].sort((a, b) => b.buffers - a.buffers),
  }
}

/**
 * What the other side of a ring can tell beyond what io_uring says: found by asking a back end for it, absent where nobody knows.
 * Ids are those of the ring.
 */
export interface Diagnostics {
  /** Where the buffers of an instance are. @throws ArgumentError for an id that is none of the ring's */
  census(zcrxId: number): Census
  /** What an instance has done, cumulative. The object is live. @throws ArgumentError */
  ifqStats(zcrxId: number): Readonly<IfqStats>
  /** Tells what is kept for longer than `afterMs` milliseconds, from within the ring's entry; null ends it. @throws ArgumentError */
  watchHeld(zcrxId: number, afterMs: number, report: ((report: HeldReport) => void) | null): void
}
