import { counting } from '../../counting.ts'
import { type Nic, RX_MORE, type RxBurst } from '../nic.ts'
import { ForwardingNic, SeenLargeSends } from './forward.ts'

/** Sizes of frames up to 64, 128 … 65536 bytes, and larger. */
const SIZE_BUCKETS = 12
const SMALLEST_SIZE_BITS = 6
/** Frames of a burst: 1, 2, up to 4, 8 … 256, and more. */
const BURST_BUCKETS = 10

/** What went in one direction, since the NIC was wrapped. */
export interface DirectionStatistics {
  /** Whole frames. */
  readonly frames: number
  /** Bytes of the frames, headers included. */
  readonly bytes: number
  /** Bursts with at least one frame. */
  readonly bursts: number
  /** Frames by size: entry i counts those of at most `64 << i` bytes, the last one all larger ones. */
  readonly frameSizes: readonly number[]
  /** Bursts by frames: entry i counts those of at most `1 << i` frames, the last one all larger ones. */
  readonly burstSizes: readonly number[]
  /** Over the time since the last `statistics()`. */
  readonly framesPerSecond: number
  /** Over the same time. */
  readonly bitsPerSecond: number
}

class Totals {
  frames = 0
  bytes = 0
  bursts = 0
}
const CountedTotals = counting(Totals)

/** Counts in one direction: typed arrays, nothing per frame that allocates. */
class Meter {
  readonly #sizes = new Float64Array(SIZE_BUCKETS)
  readonly #bursts = new Float64Array(BURST_BUCKETS)
  readonly #totals = new CountedTotals()
  #framesBefore = 0
  #bytesBefore = 0

  frame(bytes: number): void {
    this.#totals.frames++
    this.#totals.bytes += bytes
    const bucket = 32 - Math.clz32(bytes - 1) - SMALLEST_SIZE_BITS
    this.#sizes[bucket < 0 ? 0 : bucket >= SIZE_BUCKETS ? SIZE_BUCKETS - 1 : bucket]!++
  }

  burst(frames: number): void {
    if (frames === 0) return
    this.#totals.bursts++
    this.#bursts[Math.min(BURST_BUCKETS - 1, 32 - Math.clz32(frames - 1))]!++
  }

  /** @param seconds since the last call */
  read(seconds: number): DirectionStatistics {
    const per = (count: number): number => (seconds > 0 ? count / seconds : 0)
    const { frames, bytes, bursts } = this.#totals
    const statistics = {
      frames,
      bytes,
      bursts,
      frameSizes: [...this.#sizes],
      burstSizes: [...this.#bursts],
      framesPerSecond: per(frames - this.#framesBefore),
      bitsPerSecond: per((bytes - this.#bytesBefore) * 8),
    }
    this.#framesBefore = frames
    this.#bytesBefore = bytes
    return statistics
  }
}

/** Measures what comes and goes through another NIC: rates, sizes of frames, sizes of bursts. */
export class StatisticsNic extends ForwardingNic {
  readonly #received = new Meter()
  readonly #sent = new Meter()
  readonly #now: () => number
  #at: number
  #unflushed = 0

  /** @param now microseconds, monotonic; default `performance.now` */
  constructor(inner: Nic, now: () => number = () => performance.now() * 1000) {
    super(inner)
    const { largeSends } = inner.roles
    if (largeSends !== null) {
      const seen = new SeenLargeSends(largeSends, (_offset, length) => this.#count(length))
      this.roles = { ...inner.roles, largeSends: seen }
    }
    this.#now = now
    this.#at = now()
  }

  /** The counts so far, and the rates since the last call. */
  statistics(): { received: DirectionStatistics; sent: DirectionStatistics } {
    const now = this.#now()
    const seconds = (now - this.#at) / 1e6
    this.#at = now
    return { received: this.#received.read(seconds), sent: this.#sent.read(seconds) }
  }

  override receive(burst: RxBurst): number {
    const count = this.inner.receive(burst)
    let bytes = 0
    let frames = 0
    for (let i = 0; i < count; i++) {
      bytes += burst.length[i]!
      if ((burst.flags[i]! & RX_MORE) !== 0) continue
      this.#received.frame(bytes)
      frames++
      bytes = 0
    }
    this.#received.burst(frames)
    return count
  }

  override txCommit(offset: number, length: number): void {
    if (length > 0) this.#count(length)
    this.inner.txCommit(offset, length)
  }

  #count(length: number): void {
    this.#sent.frame(length)
    this.#unflushed++
  }

  override txFlush(): void {
    this.#sent.burst(this.#unflushed)
    this.#unflushed = 0
    this.inner.txFlush()
  }
}
