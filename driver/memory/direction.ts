import { Fates, type FrameImpairments, flipBit, SPARED } from '../impairments.ts'

/** What a link does to frames. */
export interface Impairments extends FrameImpairments {
  /** How late a frame is at the most that comes later than it should (`reorder`), microseconds; default 500. */
  reorderUs?: number
  /** Bits per second; 0 = no limit. */
  rate?: number
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
  /** What happened to the frames so far; live. */
  readonly counts: LinkCounts = {
    sent: 0,
    delivered: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
  }
  /** What happens to frames that are sent from now on; may be replaced. */
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
