import { ArgumentError } from '../../errors.ts'
import { freshSeed, seededRandom } from '../impairments.ts'
import { type Impairments, LinkDirection } from './direction.ts'
import { MemoryNic, type MemoryNicShape } from './nic.ts'
import type { SplitSettings } from './split.ts'

/** What the wire of a `MemoryLink` is like. */
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
  /** Where payload lands at this end. */
  placement?: 'area' | 'side' | 'split'
  /** How `split` places payload at this end. */
  split?: SplitSettings
  /** Chunks that this end asks for at once; 0 = it is filled. */
  cache?: number
  /** Default: an index of its own. Ends of several links that have the same are queues of one interface. */
  ifIndex?: number
  /** Receive queue number; default 0. */
  queue?: number
  /** Largest chunk that the NIC takes, bytes; default any. */
  maxChunk?: number
}

/** A wire between two NICs of this process, with impairments from a seed. */
export class MemoryLink {
  /** What the impairments were drawn from: the same seed gives the same ones. */
  readonly seed: number
  /** One end. */
  readonly a: MemoryNic
  /** The other end. */
  readonly b: MemoryNic
  /** Frames on their way from `a` to `b`. */
  readonly aToB: LinkDirection
  /** Frames on their way from `b` to `a`. */
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
