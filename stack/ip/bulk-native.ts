import { type BulkLoops, newBulkLoops } from '../../bulk-loops.ts'
import type { BulkBurst } from './bulk-burst.ts'

/** Times that a burst is looked at, again behind each frame that was refused, as long as there is something for it. */
const MOST_TIMES = 4

// The words of `state`, as `driver/native/bulk.cc` has them.
const MAC_LOW = 0
const MAC_HIGH = 1
const PARTIAL = 2
const SMALL_BYTES = 3
const TURN = 4
const KEY0 = 5
const KEY1 = 6
const FRAMES = 7
const PARTIALS = 8
const VERIFIED = 9
const LISTED = 10
const STATE_WORDS = 11

/**
 * The loops over bulk data in machine code, for frames of one fragment in front of whose payload the headers lie: first the rows of all of
 * them are found, then those that are not of this turn are filled in here, then the frames are taken. What is left is for the loops in
 * JavaScript, which are the same but for the order of that.
 */
export class BulkNative {
  readonly #bulk: BulkBurst
  readonly #loops: BulkLoops
  /** Entries that are worth two calls. */
  readonly #least: number
  readonly #listed: Int32Array
  readonly #state = new Int32Array(STATE_WORDS)
  #rows: Int32Array | null = null
  #index: Int32Array | null = null
  #keys6: Int32Array | null = null
  /** Times left in this burst. */
  #left = 0

  private constructor(bulk: BulkBurst, loops: BulkLoops, least: number) {
    this.#bulk = bulk
    this.#least = least
    this.#loops = loops
    this.#listed = new Int32Array(bulk.burst.capacity)
  }

  /** Null where there are none, or what comes is not for them. @param least `IpConfig.bulkLoopsFrom` */
  static for(bulk: BulkBurst, least: number): BulkNative | null {
    const loops = bulk.split || least > bulk.burst.capacity ? null : newBulkLoops()
    return loops === null ? null : new BulkNative(bulk, loops, least)
  }

  /** Another burst has come. */
  begin(): void {
    this.#left = MOST_TIMES
  }

  /** Takes entries from `from` on; returns the first that was not taken. */
  scan(from: number, count: number): number {
    if (count - from < this.#least || this.#left-- <= 0) return from
    const bulk = this.#bulk
    const { tcp, memory, words } = bulk
    const table = tcp.rows
    if (table.rows !== this.#rows || table.index !== this.#index || table.keys6 !== this.#keys6) this.#bind()
    const state = this.#state
    state[MAC_LOW] = bulk.macLow
    state[MAC_HIGH] = bulk.macHigh
    state[PARTIAL] = bulk.partial ? 1 : 0
    state[SMALL_BYTES] = memory.smallBytes
    state[TURN] = table.turn
    state[KEY0] = table.key0
    state[KEY1] = table.key1
    const found = this.#loops.find(words, from, count)
    const listed = this.#listed
    for (let i = 0, rows = state[LISTED]!; i < rows; i++) tcp.open(listed[i]!)
    const end = found === from ? from : this.#loops.scan(words, from, found)
    if (end === from) {
      this.#left = 0
      return from
    }
    for (let i = 0, rows = state[LISTED]!; i < rows; i++) tcp.touch(listed[i]!)
    bulk.frames += state[FRAMES]!
    bulk.partials += state[PARTIALS]!
    bulk.verified += state[VERIFIED]!
    return end
  }

  #bind(): void {
    const { tcp, burst, rowOf } = this.#bulk
    const { rows, index, keys6, room } = tcp.rows
    const { offset, length, flags } = burst
    this.#loops.bind(offset, length, flags, rowOf, this.#listed, this.#state, rows, index, room, keys6)
    this.#rows = rows
    this.#index = index
    this.#keys6 = keys6
  }
}
