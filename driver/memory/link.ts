import { ArgumentError } from '../../errors.ts'
import { Fates, type FrameImpairments, flipBit, freshSeed, SPARED, seededRandom } from '../impairments.ts'
import { MemoryNic, type MemoryNicShape } from './nic.ts'
import type { SplitSettings } from './split.ts'

/** What a link does to frames. */
export interface Impairments extends FrameImpairments {
  /** How late a frame is at the most that comes later than it should (`reorder`), microseconds; default 500. */
  reorderUs?: number
  /** Bits per second; 0 = no limit. */
  rate?: number
}

export interface MemoryLinkOptions {
  /** Of every random decision; chosen and kept in `link.seed` when not given. */
  seed?: number
  /** Bytes of layer 3; default 1500. */
  mtu?: number
  /** Frames a direction holds before it drops (`rxRingFull` of the receiving end); default 4096. */
  queueFrames?: number
  /** Applied in both directions, or per direction. */
  impairments?: Impairments | { aToB?: Impairments; bToA?: Impairments }
  /** Microseconds, monotonic; the clock of whoever drives the link. Default `performance.now`. */
  now?: () => number
  /** Largest frame the wire carries, bytes; default what the MTU makes. More lets a test inject what offload would. */
  frameBytes?: number
  /** Bytes left free at the start of each chunk, as AF_XDP does; default 256. */
  headroom?: number
  /** The NICs say that unfinished transport checksums are to be expected, as a veth's does; default false. */
  partialChecksums?: boolean
  /**
   * Where payload lands: in the attached area; beside it, so that the stack must copy; or in the area with its headers
   * beside it. Default `area`.
   */
  placement?: 'area' | 'side' | 'split'
  /** How `split` places payload; `MemoryNic.place` changes it. */
  split?: SplitSettings
  /** Chunks that a NIC asks for at once when it has none left, as Linux's page pool does with 64; 0 = it is filled. Default 0. */
  cache?: number
  /** What one end has of its own: placement, and which queue of which interface it is. */
  ends?: { a?: EndOptions; b?: EndOptions }
}

/** Options of one end of a link; what is missing is as the link's. */
export interface EndOptions {
  placement?: 'area' | 'side' | 'split'
  split?: SplitSettings
  cache?: number
  /** Default: an index of its own. Ends of several links that have the same are queues of one interface. */
  ifIndex?: number
  /** Receive queue number; default 0. */
  queue?: number
  /** Largest chunk that the NIC takes, bytes; default any. */
  maxChunk?: number
}

/** What happened to the frames of one direction. */
export interface LinkCounts {
  sent: number
  delivered: number
  lost: number
  duplicated: number
  reordered: number
  corrupted: number
}

/** One direction: frames on their way, in order of arrival. */
export class LinkDirection {
  readonly counts: LinkCounts = {
    sent: 0,
    delivered: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
  }
  impairments: Impairments
  readonly #fates: Fates
  readonly #now: () => number
  readonly #limit: number
  readonly #slotBytes: number
  #frames: Uint8Array[] = []
  #lengths: number[] = []
  #due: number[] = []
  #head = 0
  readonly #spare: Uint8Array[] = []
  #lineFreeAt = 0
  /** Frames that found the queue full. */
  overflow = 0
  /** Called when a frame was put on the link. */
  onFrame: (due: number) => void = () => {}

  constructor(
    impairments: Impairments,
    random: () => number,
    now: () => number,
    limit: number,
    slotBytes: number,
  ) {
    this.impairments = impairments
    this.#fates = new Fates(random)
    this.#now = now
    this.#limit = limit
    this.#slotBytes = slotBytes
  }

  /** Copies a frame onto the link. */
  send(memory: Uint8Array, offset: number, length: number): void {
    const fates = this.#fates
    fates.draw(this.impairments)
    this.counts.sent++
    if (fates.lost) {
      this.counts.lost++
      return
    }
    const frame = memory.subarray(offset, offset + length)
    // Whoever is told of the first may send something himself.
    const { twice } = fates
    const [flip, late] = [fates.flip[1]!, fates.late[1]!]
    this.#put(frame, fates.flip[0]!, fates.late[0]!)
    if (!twice) return
    this.counts.duplicated++
    this.#put(frame, flip, late)
  }

  /** Time of the next arrival, Infinity when nothing is on its way. */
  nextArrival(): number {
    return this.#head < this.#due.length ? this.#due[this.#head]! : Number.POSITIVE_INFINITY
  }

  /** Length of the frame that has arrived by now, -1 when none has. */
  peek(): number {
    if (this.#head >= this.#due.length || this.#due[this.#head]! > this.#now()) return -1
    return this.#lengths[this.#head]!
  }

  /** The frame that `peek` announced; valid until `drop`. */
  frame(): Uint8Array {
    return this.#frames[this.#head]!
  }

  /** Takes the frame off the link. */
  drop(): void {
    this.#spare.push(this.#frames[this.#head]!)
    this.#head++
    this.counts.delivered++
    if (this.#head === this.#due.length || this.#head >= 1024) {
      this.#frames.splice(0, this.#head)
      this.#lengths.splice(0, this.#head)
      this.#due.splice(0, this.#head)
      this.#head = 0
    }
  }

  #put(sent: Uint8Array, flip: number, late: number): void {
    if (this.#due.length - this.#head >= this.#limit) {
      this.overflow++
      return
    }
    const frame = this.#spare.pop() ?? new Uint8Array(this.#slotBytes)
    const { length } = sent
    frame.set(sent)
    if (flip !== SPARED) {
      flipBit(frame.subarray(0, length), flip)
      this.counts.corrupted++
    }
    const now = this.#now()
    const rate = this.impairments.rate ?? 0
    if (rate > 0) this.#lineFreeAt = Math.max(now, this.#lineFreeAt) + (length * 8 * 1e6) / rate
    let due = Math.max(now, rate > 0 ? this.#lineFreeAt : 0) + (this.impairments.delayUs ?? 0)
    if (late !== SPARED) {
      due += late * (this.impairments.reorderUs ?? 500)
      this.counts.reordered++
    }
    let at = this.#due.length
    while (at > this.#head && this.#due[at - 1]! > due) at--
    if (at === this.#due.length) {
      this.#frames.push(frame)
      this.#lengths.push(length)
      this.#due.push(due)
    } else {
      this.#frames.splice(at, 0, frame)
      this.#lengths.splice(at, 0, length)
      this.#due.splice(at, 0, due)
    }
    this.onFrame(due)
  }
}

/** A wire between two NICs of this process, with impairments from a seed. */
export class MemoryLink {
  readonly seed: number
  readonly a: MemoryNic
  readonly b: MemoryNic
  readonly aToB: LinkDirection
  readonly bToA: LinkDirection

  constructor(options: MemoryLinkOptions = {}) {
    const mtu = options.mtu ?? 1500
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65_535) {
      throw new ArgumentError(`mtu ${mtu} is not an integer from 68 to 65535`)
    }
    this.seed = options.seed ?? freshSeed()
    const random = seededRandom(this.seed)
    const now = options.now ?? (() => performance.now() * 1000)
    const given = options.impairments ?? {}
    const perDirection = 'aToB' in given || 'bToA' in given
    const aToB = perDirection ? ((given as { aToB?: Impairments }).aToB ?? {}) : (given as Impairments)
    const bToA = perDirection ? ((given as { bToA?: Impairments }).bToA ?? {}) : (given as Impairments)
    const limit = options.queueFrames ?? 4096
    const slotBytes = (Math.max(mtu + 14, options.frameBytes ?? 0) + 63) & ~63
    this.aToB = new LinkDirection(aToB, random, now, limit, slotBytes)
    this.bToA = new LinkDirection(bToA, random, now, limit, slotBytes)
    const shape = (end: EndOptions = {}): MemoryNicShape => ({
      mtu,
      slotBytes,
      headroom: options.headroom ?? 256,
      placement: end.placement ?? options.placement ?? 'area',
      split: end.split ?? options.split ?? {},
      cache: end.cache ?? options.cache ?? 0,
      ifIndex: end.ifIndex ?? 0,
      queue: end.queue ?? 0,
      maxChunk: end.maxChunk ?? Number.POSITIVE_INFINITY,
      partialChecksums: options.partialChecksums ?? false,
      now,
    })
    this.a = new MemoryNic('memory-a', 1, this.bToA, this.aToB, shape(options.ends?.a))
    this.b = new MemoryNic('memory-b', 2, this.aToB, this.bToA, shape(options.ends?.b))
  }

  /** Time (microseconds) at which the next frame arrives at either end, Infinity when the link is empty. */
  nextArrival(): number {
    return Math.min(this.aToB.nextArrival(), this.bToA.nextArrival())
  }
}
