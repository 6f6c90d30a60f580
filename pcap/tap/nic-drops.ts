import type { Nic, NicStats } from '../../driver/nic.ts'

/** Microseconds between two looks: for AF_XDP the counters are a system call. */
const LOOK_EVERY_US = 100_000

function dropsOf(stats: NicStats): number {
  return stats.rxRingFull + stats.rxFillEmpty + stats.rxDropped
}

/** What a NIC dropped in front of its queue since the capture began. */
export class NicDrops {
  readonly #nic: Nic
  readonly #framesBefore: number
  readonly #dropsBefore: number
  #frames = 0
  #drops = 0
  /** Of these, how many were told with a frame. */
  #told = 0
  #lookAt = Number.NEGATIVE_INFINITY

  constructor(nic: Nic) {
    this.#nic = nic
    const stats = nic.stats()
    this.#framesBefore = stats.rxFrames
    this.#dropsBefore = dropsOf(stats)
  }

  /** Reads the counters, unless that was done a moment ago. */
  look(us: number): void {
    if (us < this.#lookAt) return
    this.#lookAt = us + LOOK_EVERY_US
    this.count()
  }

  /** Frames dropped that no frame was told with yet; they are told with this one. */
  take(): number {
    const count = this.#drops - this.#told
    this.#told = this.#drops
    return count
  }

  /** Frames received and dropped. */
  count(): { frames: number; drops: number } {
    const stats = this.#nic.stats()
    this.#frames = stats.rxFrames - this.#framesBefore
    this.#drops = dropsOf(stats) - this.#dropsBefore
    return { frames: this.#frames, drops: this.#drops }
  }
}
