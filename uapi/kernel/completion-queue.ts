import { postLoop } from '../../bulk-loops.ts'
import * as abi from '../abi/io-uring.ts'
import type { Waiter } from './files.ts'
import type { RingKeeper } from './keeper.ts'
import { Rings } from './rings.ts'

/** Pieces from which on a native call costs less than it saves. */
const WORTH_A_CALL = 24

/** A completion on its way to the queue. */
export interface Completion {
  readonly userDataLow: number
  readonly userDataHigh: number
  readonly res: number
  readonly flags: number
  /** The four words more of one of 32 bytes; null for one of 16. */
  readonly extra: readonly number[] | null
}

/** The kernel's end of a completion queue. */
export class CompletionQueue {
  readonly #memory: Rings
  readonly #keeper: RingKeeper
  readonly #mixed: boolean
  /** What a data completion takes and carries: 1 and MORE, or 2 and F_32 as well where sizes are mixed. */
  readonly #dataSlots: number
  readonly #dataFlags: number
  #tail = 0
  readonly #overflow: Completion[] = []
  /** Who waits for completions to be there: POLL_ADD on the ring's descriptor. */
  readonly pollers: Waiter[] = []

  constructor(memory: Rings, flags: number, keeper: RingKeeper) {
    this.#memory = memory
    this.#keeper = keeper
    this.#mixed = (flags & abi.IORING_SETUP_CQE_MIXED) !== 0
    this.#dataSlots = this.#mixed ? 2 : 1
    this.#dataFlags = abi.IORING_CQE_F_MORE | (this.#mixed ? abi.IORING_CQE_F_32 : 0)
  }

  /** Slots that were written so far, modulo 2^32. */
  get tail(): number {
    return this.#tail
  }

  /** Slots that the user has not given back. */
  get used(): number {
    const used = (this.#tail - Atomics.load(this.#memory.control, Rings.CQ_HEAD)) >>> 0
    // More than there are: the user has moved the head to where it can't be.
    return Math.min(used, this.#memory.cqEntries)
  }

  get overflown(): boolean {
    return this.#overflow.length > 0
  }

  /** Completions of 32 bytes, or of the one size there is, that fit now. Where sizes are mixed it may post the filler. */
  dataSpace(): number {
    // What overflowed comes first: order is kept.
    if (this.#overflow.length > 0) return 0
    return this.#mixed ? this.#wideSpace() : this.#memory.cqEntries - this.used
  }

  #wideSpace(): number {
    let free = this.#memory.cqEntries - this.used
    const toEnd = this.#memory.cqEntries - (this.#tail & (this.#memory.cqEntries - 1))
    if (toEnd === 1 && free > 0) {
      this.#fill()
      free--
    } else if ((toEnd & 1) !== 0 && free > toEnd) free--
    return free >> 1
  }

  /**
   * Writes a zero-copy data completion. The caller has checked `dataSpace`: data completions never go to the overflow list.
   * No object is made. Follow a batch with `publish`. @param offLow,offHigh halves of `off`
   */
  postData(userDataLow: number, userDataHigh: number, res: number, offLow: number, offHigh: number): void {
    const { cqes, cqEntries, cqeWords } = this.#memory
    let slot = this.#tail & (cqEntries - 1)
    // Never so where all have one size.
    if (slot + this.#dataSlots > cqEntries) {
      this.#fill()
      slot = 0
    }
    const at = slot * cqeWords
    cqes[at] = userDataLow
    cqes[at + 1] = userDataHigh
    cqes[at + 2] = res
    cqes[at + 3] = this.#dataFlags
    cqes[at + 4] = offLow
    cqes[at + 5] = offHigh
    cqes[at + 6] = 0
    cqes[at + 7] = 0
    this.#tail = (this.#tail + this.#dataSlots) | 0
  }

  /** Completions have one size, so that `postRun` may be used. */
  get uniform(): boolean {
    return !this.#mixed && this.#memory.cqeWords === 8
  }

  readonly #ran = new Int32Array(2)
  /** What the last `postRun` wrote. */
  ranPieces = 0
  ranBytes = 0

  /**
   * `postData` for pieces of a burst, of area 0, as far as there is room; each becomes a reference of the user's. Publishes. Returns the
   * first entry that found no room. @param rowOf less than 0: no piece @param tags by row: the halves of the `user_data` it gets
   */
  postRun(
    offset: Uint32Array,
    length: Uint32Array,
    rowOf: Int32Array,
    tags: Int32Array,
    from: number,
    to: number,
    userRefs: Uint32Array,
    shift: number,
  ): number {
    let space = this.dataSpace()
    const { cqes, cqEntries } = this.#memory
    const loop = to - from < WORTH_A_CALL ? null : postLoop()
    if (loop !== null) {
      const mask = cqEntries - 1
      const ran = this.#ran
      const flags = this.#dataFlags
      const end = loop(
        cqes,
        mask,
        offset,
        length,
        rowOf,
        tags,
        userRefs,
        shift,
        from,
        to,
        this.#tail,
        flags,
        space,
        ran,
      )
      return this.#posted(end, ran[0]!, ran[1]!)
    }
    const mask = cqEntries - 1
    const flags = this.#dataFlags
    const first = this.#tail
    let tail = first
    let bytes = 0
    let i = from
    for (; i < to; i++) {
      const row = rowOf[i]!
      if (row < 0) continue
      if (space-- <= 0) break
      const at = (tail & mask) << 3
      const off = offset[i]!
      const res = length[i]!
      cqes[at] = tags[2 * row]!
      cqes[at + 1] = tags[2 * row + 1]!
      cqes[at + 2] = res
      cqes[at + 3] = flags
      cqes[at + 4] = off
      cqes[at + 5] = 0
      cqes[at + 6] = 0
      cqes[at + 7] = 0
      userRefs[off >>> shift]!++
      bytes += res
      tail = (tail + 1) | 0
    }
    return this.#posted(i, (tail - first) | 0, bytes)
  }

  #posted(end: number, pieces: number, bytes: number): number {
    this.#tail = (this.#tail + pieces) | 0
    this.ranPieces = pieces
    this.ranBytes = bytes
    if (pieces > 0) this.publish()
    return end
  }

  /** Shows the user what was written (store-release of the tail): once per batch, as it costs a bus lock. */
  publish(): void {
    Atomics.store(this.#memory.control, Rings.CQ_TAIL, this.#tail)
    if (this.pollers.length > 0) this.wakePollers()
  }

  /** Writes a completion unless there is no room for it. */
  tryPost(completion: Completion): boolean {
    if (this.#overflow.length > 0 || !this.#fits(completion)) return false
    this.#write(completion)
    this.publish()
    return true
  }

  /** There was nowhere to keep a completion: it is lost, and counted (`cq_overflow`). */
  drop(): void {
    Atomics.add(this.#memory.control, Rings.CQ_OVERFLOW, 1)
  }

  /** Writes a completion; to the overflow list when there is no room, so that none is lost. */
  post(completion: Completion): void {
    if (this.tryPost(completion)) return
    if (this.#keeper.full) {
      this.drop()
      return
    }
    this.#overflow.push(completion)
    this.#keeper.add(1)
    Atomics.or(this.#memory.control, Rings.SQ_FLAGS, abi.IORING_SQ_CQ_OVERFLOW)
    this.publish()
  }

  /** Moves what overflowed to the room there is now. */
  flushOverflow(): void {
    if (this.#overflow.length === 0) return
    let moved = 0
    while (moved < this.#overflow.length && this.#fits(this.#overflow[moved]!)) {
      this.#write(this.#overflow[moved++]!)
    }
    this.#overflow.splice(0, moved)
    this.#keeper.remove(moved)
    this.publish()
    if (this.#overflow.length === 0) {
      Atomics.and(this.#memory.control, Rings.SQ_FLAGS, ~abi.IORING_SQ_CQ_OVERFLOW)
    }
  }

  wakePollers(): void {
    for (const poller of this.pollers) poller.wake()
  }

  #fits(completion: Completion): boolean {
    if (this.#mixed && completion.extra !== null) return this.#wideSpace() > 0
    return this.used < this.#memory.cqEntries
  }

  #write(completion: Completion): void {
    const { cqes, cqEntries, cqeWords } = this.#memory
    const { extra } = completion
    const wide = this.#mixed && extra !== null
    // `#fits` has posted the filler where one was due.
    const at = (this.#tail & (cqEntries - 1)) * cqeWords
    cqes[at] = completion.userDataLow
    cqes[at + 1] = completion.userDataHigh
    cqes[at + 2] = completion.res
    cqes[at + 3] = completion.flags | (wide ? abi.IORING_CQE_F_32 : 0)
    if (wide || cqeWords === 8) for (let i = 0; i < 4; i++) cqes[at + 4 + i] = extra === null ? 0 : extra[i]!
    this.#tail = (this.#tail + (wide ? 2 : 1)) | 0
  }

  /** The last slot before the wrap can't hold half of a wide completion. */
  #fill(): void {
    const { cqes, cqEntries } = this.#memory
    const at = (this.#tail & (cqEntries - 1)) * 4
    cqes.fill(0, at, at + 3)
    cqes[at + 3] = abi.IORING_CQE_F_SKIP
    this.#tail = (this.#tail + 1) | 0
  }
}
