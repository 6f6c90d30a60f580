import { ArgumentError } from '../../errors.ts'
import { Fates, type FrameImpairments, ImpairmentCounts, seededRandom } from '../impairments.ts'
import { type Nic, type NicMemory, RX_MORE, RX_SIDE, RxBurst } from '../nic.ts'
import { DelayingNic } from './delaying.ts'
import { befall, ImpairedTransmit } from './impaired-transmit.ts'

/** What befalls the frames of an `ImpairedNic`, by direction. */
export interface NicImpairments {
  /** Of every decision. */
  seed: number
  /** On the way from the wire to the stack. Corruption needs frames with complete checksums: `ethtool -K tx off` there. */
  receive?: FrameImpairments
  /** On the way from the stack to the wire. */
  transmit?: FrameImpairments
  /** Sees every frame that the stack sends, before anything happens to it. */
  tap?: (frame: Uint8Array) => void
  /** Microseconds, monotonic; default `performance.now`. */
  now?: () => number
}

/** One frame that was kept back. */
interface Held {
  /** Where its pieces lie in the area; of a frame beside it, nothing. */
  readonly offset: readonly number[]
  readonly length: readonly number[]
  readonly flags: readonly number[]
  /** The frame itself, of a NIC whose memory holds it until the next burst only. */
  readonly bytes: Uint8Array | null
  /** Frames that still pass before this one. */
  behind: number
  /** Not before, microseconds. */
  readonly due: number
}

/** Chunks kept back from the fill ring, to copy frames into that are to come twice: at most this, and this part of the area. */
const SPARES = 64
const SPARE_PART = 1 / 8
/** Frames held back to come later than others; more leave at once. */
const MOST_HELD = 64
/** Frames beside the area in one burst, and the largest of them. */
const SIDE_FRAMES = 64
const SIDE_FRAME_BYTES = 65_600
/** What the stack is told became of a frame that was dropped here. */
const CAUSE = 'impaired'

/** Loses, doubles, reorders, damages and delays whole frames, those of many fragments too, between a NIC and the stack. */
export class ImpairedNic extends DelayingNic {
  /** What befell received frames; live. */
  readonly received: ImpairmentCounts = new ImpairmentCounts()
  readonly #fates: Fates
  readonly #impairments: FrameImpairments
  readonly #transmit: ImpairedTransmit
  /** Half a burst of the stack's, so that what was held back and what comes twice fits too. */
  readonly #raw = new RxBurst(128)
  readonly #back = new Uint32Array(512)
  /** Chunks the stack has given that the inner NIC has not. */
  readonly #spare: number[] = []
  /** Memory of frames beside the area; null for a NIC that places them in it. */
  readonly #side: Uint8Array | null
  #sideUsed = 0
  #spares = 0
  #area: Uint8Array = new Uint8Array(0)
  #held: Held[] = []
  #shift = 12

  /** @throws ArgumentError for a NIC that splits frames, whose reception can't be impaired */
  constructor(inner: Nic, impairments: NicImpairments) {
    super(inner, impairments.now)
    this.#impairments = impairments.receive ?? {}
    const { placement } = inner.info
    if (placement === 'split' && impairments.receive !== undefined) {
      throw new ArgumentError(
        `${inner.info.name} puts headers and payload into different memory, which can't be impaired`,
        'impair what its peer sends',
      )
    }
    this.#side = placement === 'side' ? new Uint8Array(SIDE_FRAMES * SIDE_FRAME_BYTES) : null
    this.#fates = new Fates(seededRandom(impairments.seed))
    this.#transmit = new ImpairedTransmit(
      inner,
      impairments.transmit ?? {},
      new Fates(seededRandom(impairments.seed ^ 0x5eed)),
      this.now,
      impairments.tap,
    )
    this.roles = {
      ...inner.roles,
      sideMemory: this.#side ?? inner.roles.sideMemory,
      // Bursts of the stack's are not the inner NIC's: that hears of each frame as soon as its fate is known.
      observer: placement === 'split' ? inner.roles.observer : null,
      // What befalls frames befalls each for itself.
      largeSends: null,
    }
  }

  /** What befell frames on their way out. */
  get sent(): ImpairmentCounts {
    return this.#transmit.counts
  }

  override attach(memory: NicMemory): void {
    this.#forget()
    this.#shift = 31 - Math.clz32(memory.chunkSize)
    this.#area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#spares = Math.min(SPARES, Math.floor((memory.areaLength / memory.chunkSize) * SPARE_PART))
    this.inner.attach(memory)
  }

  override detach(): void {
    this.#forget()
    this.inner.detach()
  }

  override receive(burst: RxBurst): number {
    this.#transmit.release()
    if (this.inner.info.placement === 'split') return this.inner.receive(burst)
    burst.count = 0
    this.#sideUsed = 0
    this.#release(burst)
    // Whatever the inner burst holds, twice, has to fit behind what was released.
    if (burst.capacity - burst.count < this.#raw.capacity + SPARES) return burst.count
    if (this.#side !== null && this.#sideUsed > 0) return burst.count
    const count = this.inner.receive(this.#raw)
    let first = 0
    while (first < count) {
      let last = first
      while ((this.#raw.flags[last]! & RX_MORE) !== 0) last++
      last++
      const { dropped } = this.received
      this.#pass(burst, first, last)
      this.inner.roles.observer?.settled(first, last, this.received.dropped > dropped ? CAUSE : null)
      first = last
    }
    return burst.count
  }

  /** One frame, the entries `[first, last)` of the inner burst. */
  #pass(burst: RxBurst, first: number, last: number): void {
    const { delayUs = 0 } = this.#impairments
    const fates = this.#fates
    fates.draw(this.#impairments)
    const side = fates.lost || this.#side === null ? null : this.#gather(first, last)
    if (fates.lost || (side !== null && side.length > SIDE_FRAME_BYTES)) {
      this.#drop(first, last)
      return
    }
    if (delayUs > 0) this.received.delayed++
    // In front of what befalls the frame: the double has a fate of its own.
    const double = fates.twice ? this.#double(first, last, side) : null
    const frame = this.#take(first, last, side)
    frame.behind = befall(this.#firstPiece(frame), fates, 0, this.received)
    if (frame.behind > 0 || delayUs > 0 || !this.#show(burst, frame)) this.#held.push(frame)
    if (frame.behind === 0) for (const held of this.#held) held.behind--
    if (double === null) return
    this.received.duplicated++
    double.behind = befall(this.#firstPiece(double), fates, 1, this.received)
    if (double.behind > 0 || delayUs > 0 || !this.#show(burst, double)) this.#held.push(double)
  }

  /** Where a frame is damaged: in its first piece, as long as a header lies whole in it. */
  #firstPiece({ offset, length, bytes }: Held): Uint8Array {
    return bytes ?? this.#area.subarray(offset[0]!, offset[0]! + length[0]!)
  }

  /** A copy of a frame that lies beside the area. */
  #gather(first: number, last: number): Uint8Array {
    const memory = this.inner.roles.sideMemory!
    const { offset, length } = this.#raw
    let bytes = 0
    for (let i = first; i < last; i++) bytes += length[i]!
    const frame = new Uint8Array(bytes)
    for (let i = first, at = 0; i < last; at += length[i++]!) {
      frame.set(memory.subarray(offset[i]!, offset[i]! + length[i]!), at)
    }
    return frame
  }

  #take(first: number, last: number, side: Uint8Array | null): Held {
    const { offset, length, flags } = this.#raw
    const { delayUs = 0 } = this.#impairments
    const end = side === null ? last : first
    return {
      offset: [...offset.subarray(first, end)],
      length: [...length.subarray(first, end)],
      flags: side === null ? [...flags.subarray(first, end)] : [flags[first]! & ~RX_MORE],
      bytes: side,
      behind: 0,
      due: delayUs > 0 ? this.now() + delayUs : Number.NEGATIVE_INFINITY,
    }
  }

  #drop(first: number, last: number): void {
    this.received.dropped++
    if (this.#side !== null) return
    for (let i = first; i < last; i++) this.#back[i - first] = this.#raw.offset[i]! >>> this.#shift
    this.inner.fill(this.#back, 0, last - first)
  }

  /** The frame once more, in chunks of its own; null when there are too few of them. */
  #double(first: number, last: number, side: Uint8Array | null): Held | null {
    const frame = this.#take(first, last, side?.slice() ?? null)
    if (side !== null) return frame
    if (this.#spare.length < last - first) return null
    const within = (1 << this.#shift) - 1
    const offset = frame.offset.map((from, i) => {
      const to = this.#spare.pop()! * (within + 1) + (from & within)
      this.#area.copyWithin(to, from, from + frame.length[i]!)
      return to
    })
    return { ...frame, offset }
  }

  #release(burst: RxBurst): void {
    if (this.#held.length === 0) return
    const now = this.now()
    // Of those that are delayed there may be many.
    const crowded = this.#held.length >= MOST_HELD && (this.#impairments.delayUs ?? 0) === 0
    // What there is no room for keeps what comes later back too: a delay must not reorder.
    let full = false
    this.#held = this.#held.filter((held) => {
      if (full || held.due > now) return true
      if (held.behind > 0 && !crowded) {
        held.behind--
        return true
      }
      const pieces = Math.max(1, held.offset.length)
      full = burst.count + pieces > burst.capacity - this.#raw.capacity - SPARES || !this.#show(burst, held)
      return full
    })
  }

  /** Puts a frame into the stack's burst; false when there is no room beside the area. */
  #show(burst: RxBurst, { offset, length, flags, bytes }: Held): boolean {
    if (bytes === null) {
      for (let i = 0; i < offset.length; i++) burst.put(offset[i]!, length[i]!, flags[i]!)
      return true
    }
    if (this.#sideUsed === SIDE_FRAMES) return false
    const at = this.#sideUsed++ * SIDE_FRAME_BYTES
    this.#side!.set(bytes, at)
    burst.put(at, bytes.length, flags[0]! | RX_SIDE)
    return true
  }

  /** The memory is another's: what was kept back of it is lost. What is to be sent was copied. */
  #forget(): void {
    this.received.dropped += this.#held.length
    this.#held = []
    this.#spare.length = 0
  }

  protected override nextDue(): number {
    let due = this.#transmit.nextDue()
    for (const held of this.#held) due = Math.min(due, held.due)
    return due
  }

  override fill(chunks: Uint32Array, from: number, count: number): number {
    let kept = 0
    if (this.#side === null && (this.#impairments.duplicate ?? 0) > 0) {
      while (kept < count && this.#spare.length < this.#spares) this.#spare.push(chunks[from + kept++]!)
    }
    return kept + this.inner.fill(chunks, from + kept, count - kept)
  }

  override chunksHeld(): number {
    const held = this.#held.reduce((sum, { offset }) => sum + offset.length, 0)
    return this.inner.chunksHeld() + this.#spare.length + held
  }

  override sumFragments(burst: RxBurst): void {
    if (this.#side === null) {
      this.inner.sumFragments(burst)
      return
    }
    for (let i = 0; i < burst.count; i++) burst.sum[i] = sum(this.#side, burst.offset[i]!, burst.length[i]!)
  }

  override txCommit(offset: number, length: number): void {
    this.#transmit.commit(offset, length)
  }

  /** What is on its way out leaves at once: a FIN that is held back would be missed for good. */
  override close(): void {
    this.#transmit.releaseAll()
    this.inner.txFlush()
    super.close()
  }

  override txFlush(): void {
    this.#transmit.release()
    this.inner.txFlush()
  }
}

/** The folded one's complement sum of bytes as big-endian words. */
function sum(bytes: Uint8Array, from: number, length: number): number {
  let total = 0
  const end = from + (length & ~1)
  for (let at = from; at < end; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!
  if ((length & 1) !== 0) total += bytes[end]! << 8
  total = (total & 0xffff) + Math.floor(total / 65_536)
  return (total & 0xffff) + (total >>> 16)
}
