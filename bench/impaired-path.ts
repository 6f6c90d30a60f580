import { asNicMemory } from '../driver/area.ts'
import { Fates, type FrameImpairments, seededRandom } from '../driver/impairments.ts'
import { type Nic, RX_MORE, RxBurst } from '../driver/nic.ts'

/** What a path does to frames, in both directions. */
export interface PathConditions extends Readonly<Required<Pick<FrameImpairments, 'delayUs' | 'loss'>>> {
  /** Of the random decisions. */
  readonly seed: number
}

export interface PathCounts {
  forwarded: number
  /** Dropped on purpose. */
  lost: number
  /** Dropped because the queue was full, or because a frame was larger than a slot. */
  overflow: number
}

/** Bytes of a queued frame at the most: MTU 1500 and the link's header. */
const SLOT = 2048
/** Frames on their way at the most. */
const SLOTS = 16_384

/** Frames on their way in one direction. The delay is the same for all, so order of arrival is order of departure. */
class Direction {
  readonly counts: PathCounts = { forwarded: 0, lost: 0, overflow: 0 }
  readonly #from: Nic
  readonly #to: Nic
  readonly #area: Uint8Array
  readonly #frames = new Uint8Array(SLOT * SLOTS)
  readonly #lengths = new Uint16Array(SLOTS)
  readonly #due = new Float64Array(SLOTS)
  readonly #burst = new RxBurst(256)
  readonly #back = new Uint32Array(256)
  #head = 0
  #count = 0
  #conditions: PathConditions = { delayUs: 0, loss: 0, seed: 0 }
  #fates = new Fates(seededRandom(0))

  constructor(from: Nic, to: Nic, area: Uint8Array, chunkSize: number) {
    this.#from = from
    this.#to = to
    this.#area = area
    this.#shift = 31 - Math.clz32(chunkSize)
  }
  readonly #shift: number

  configure(conditions: PathConditions): void {
    this.#conditions = conditions
    this.#fates = new Fates(seededRandom(conditions.seed))
    this.#count = 0
    Object.assign(this.counts, { forwarded: 0, lost: 0, overflow: 0 })
  }

  /** When the next frame leaves, microseconds; Infinity when none waits. */
  get next(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.#due[this.#head]!
  }

  take(nowUs: number): number {
    const burst = this.#burst
    const count = this.#from.receive(burst)
    for (let i = 0; i < count; i++) {
      this.#back[i] = burst.offset[i]! >>> this.#shift
      this.#queue(burst.offset[i]!, burst.length[i]!, burst.flags[i]!, nowUs)
    }
    this.#from.fill(this.#back, 0, count)
    return count
  }

  #queue(offset: number, length: number, flags: number, nowUs: number): void {
    if (this.#count === SLOTS || length > SLOT || (flags & RX_MORE) !== 0) {
      this.counts.overflow++
      return
    }
    this.#fates.draw(this.#conditions)
    if (this.#fates.lost) {
      this.counts.lost++
      return
    }
    const at = (this.#head + this.#count++) & (SLOTS - 1)
    this.#frames.set(this.#area.subarray(offset, offset + length), at * SLOT)
    this.#lengths[at] = length
    this.#due[at] = nowUs + this.#conditions.delayUs
  }

  /** Sends what is due. False when the NIC could not take all of it. */
  send(nowUs: number): boolean {
    const nic = this.#to
    let all = true
    while (this.#count > 0 && this.#due[this.#head]! <= nowUs) {
      let slot = nic.txReserve()
      if (slot < 0) {
        nic.txFlush()
        slot = nic.txReserve()
      }
      if (slot < 0) {
        all = false
        break
      }
      const at = this.#head * SLOT
      const length = this.#lengths[this.#head]!
      nic.txMemory.set(this.#frames.subarray(at, at + length), slot)
      nic.txCommit(slot, length)
      this.#head = (this.#head + 1) & (SLOTS - 1)
      this.#count--
      this.counts.forwarded++
    }
    nic.txFlush()
    return all
  }
}

/** A wire between two NICs that delays and loses frames. Each NIC must get what the other's side is meant to. */
export class ImpairedPath {
  readonly #nics: readonly [Nic, Nic]
  readonly #directions: readonly [Direction, Direction]
  #timer: NodeJS.Timeout | null = null
  #scheduled = false
  #closed = false

  /** @param areas what the NICs receive into, with room behind them for the frames they send */
  constructor(nics: readonly [Nic, Nic], areas: readonly [Uint8Array, Uint8Array]) {
    this.#nics = nics
    const sizes = nics.map((nic, i) => {
      const memory = asNicMemory(areas[i]!)
      nic.attach(memory)
      const chunks = memory.areaLength / memory.chunkSize
      nic.fill(
        Uint32Array.from({ length: chunks }, (_, chunk) => chunk),
        0,
        Math.min(chunks, nic.fillSpace()),
      )
      return memory.chunkSize
    })
    this.#directions = [
      new Direction(nics[0], nics[1], areas[0], sizes[0]!),
      new Direction(nics[1], nics[0], areas[1], sizes[1]!),
    ]
    this.#turn()
  }

  /** From now on; what is on its way is gone. The directions draw from seeds of their own. */
  configure(conditions: PathConditions): void {
    this.#directions[0].configure(conditions)
    this.#directions[1].configure({ ...conditions, seed: conditions.seed + 1 })
  }

  /** Of the direction from the first NIC to the second, and of the other. */
  get counts(): readonly [PathCounts, PathCounts] {
    return [{ ...this.#directions[0].counts }, { ...this.#directions[1].counts }]
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const nic of this.#nics) nic.close()
  }

  readonly #soon = (): void => {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#closed) return
    const now = performance.now() * 1000
    let busy = false
    for (const direction of this.#directions) if (direction.take(now) > 0) busy = true
    for (const direction of this.#directions) if (!direction.send(now)) busy = true
    if (busy) {
      this.#soon()
      return
    }
    for (const nic of this.#nics) nic.arm(this.#soon)
    const next = Math.min(this.#directions[0].next, this.#directions[1].next)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = next === Number.POSITIVE_INFINITY ? null : setTimeout(this.#soon, (next - now) / 1000)
  }
}
