import { type Census, type HeldReport, heldReport, type IfqStats } from '../diagnostics.ts'

/** What whoever counts for himself can say: nothing of the other side's copies but what it tells. */
export type Counted = Pick<IfqStats, 'zeroCopiedBytes' | 'copiedBytes' | 'completions'>

const COMPLETIONS = 0
const BYTES = 1

/**
 * Where buffers are whose other side does not tell: what was delivered and not given back is with the program, the rest with the
 * kernel. A buffer may be delivered in several pieces, each of which is given back.
 */
export class Tally {
  readonly #bufferBytes: number
  /** Pieces of each buffer that are out. */
  readonly #out: Uint32Array
  /** Counts the times that a buffer went out. */
  readonly #times: Uint32Array
  /** Number of the connection that had the latest piece. */
  readonly #owners: Uint32Array
  readonly #counts = new Float64Array(2)
  #held = 0
  #watch: Watch | null = null

  constructor(bufferBytes: number, count: number) {
    this.#bufferBytes = bufferBytes
    this.#out = new Uint32Array(count)
    this.#times = new Uint32Array(count)
    this.#owners = new Uint32Array(count)
  }

  /** @param offset in this queue's own memory */
  delivered(offset: number, bytes: number, connection: number): void {
    const at = Math.floor(offset / this.#bufferBytes)
    if (this.#out[at]!++ === 0) this.#held++
    this.#times[at]!++
    this.#owners[at] = connection
    this.#counts[COMPLETIONS]!++
    this.#counts[BYTES]! += bytes
  }

  /** Returns whether it was out. */
  released(offset: number): boolean {
    const at = Math.floor(offset / this.#bufferBytes)
    const out = this.#out[at] ?? 0
    if (out === 0) return false
    this.#out[at] = out - 1
    if (out === 1) this.#held--
    return true
  }

  /** Buffers that are not with the program. */
  get free(): number {
    return this.#out.length - this.#held
  }

  /** With the kernel are the free ones, those with the NIC and those in queues: it does not tell them apart, so all are in `fill`. */
  census(): Census {
    return { total: this.#out.length, free: 0, fill: this.free, rx: 0, queued: 0, user: this.#held, lost: 0 }
  }

  /** @param copied bytes of them that were copied; NaN where nobody tells */
  stats(copied: number): Counted {
    const bytes = this.#counts[BYTES]!
    return {
      completions: this.#counts[COMPLETIONS]!,
      copiedBytes: Math.min(copied, bytes),
      zeroCopiedBytes: Math.max(0, bytes - copied),
    }
  }

  /** As `Diagnostics.watchHeld`, from the event loop. */
  watchHeld(afterMs: number, report: ((report: HeldReport) => void) | null): void {
    this.#watch?.end()
    this.#watch = null
    if (report === null) return
    const { length } = this.#out
    this.#watch = new Watch(length, afterMs, (since, seen, now) => {
      const holders = new Map<number, { buffers: number; oldestMs: number }>()
      for (let at = 0; at < length; at++) {
        if (this.#out[at] === 0 || seen[at] !== this.#times[at]) {
          seen[at] = this.#times[at]!
          since[at] = now
          continue
        }
        const heldMs = now - since[at]!
        if (heldMs < afterMs) continue
        const owner = this.#owners[at]!
        const holder = holders.get(owner) ?? { buffers: 0, oldestMs: 0 }
        holders.set(owner, { buffers: holder.buffers + 1, oldestMs: Math.max(holder.oldestMs, heldMs) })
      }
      const found = heldReport([...holders].map(([userData, held]) => ({ userData, fd: -1, ...held })))
      if (found !== null) report(found)
    })
  }

  close(): void {
    this.#watch?.end()
  }
}

type Look = (since: Float64Array, seen: Uint32Array, now: number) => void

/** Looks every now and then which buffers are the same as the last time. */
class Watch {
  readonly #timer: NodeJS.Timeout

  constructor(buffers: number, afterMs: number, look: Look) {
    const since = new Float64Array(buffers).fill(performance.now())
    const seen = new Uint32Array(buffers)
    this.#timer = setInterval(() => look(since, seen, performance.now()), afterMs)
    this.#timer.unref()
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
