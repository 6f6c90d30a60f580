import type { MessagePort } from 'node:worker_threads'
import * as doors from '../../uapi/backend/worker/door.ts'

const WORDS = [0, 1, 2, 7, 8, 9, 15, 16, 64, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff8]
const TYPES = [
  ...['open', 'register', 'mmap', 'fd', 'census', 'stats', 'watch', 'refusal', 'hand', 'take', 'report'],
  ...['stop', 'map', 'unmap', 'answer', 'ledger', 'ring', 'toString', '__proto__', '', 'close', 'close'],
]
const FIELDS = ['base', 'buffer', 'seq', 'entries', 'params', 'opcode', 'address', 'nrArgs', 'offset', 'huge']
const MORE = ['length', 'zcrxId', 'afterMs', 'on', 'fd', 'token', 'link', 'door']

/** What an application shares with whoever serves its ring. */
export interface Shared {
  /** Words that it may write to as it likes. */
  readonly words: readonly (Int32Array | Uint32Array)[]
  readonly door: Int32Array
  readonly calls: Pick<MessagePort, 'postMessage'>
  /** Addresses of its own that mean something, and memory that has one. */
  readonly addresses: readonly number[]
  readonly buffers: readonly SharedArrayBuffer[]
}

/** Writes and says what it likes. @param random 0 to 1 */
export class Mischief {
  readonly #shared: Shared
  readonly #random: () => number
  /** Questions that end the ring are left out: it is to last. */
  readonly #lasts: boolean

  constructor(shared: Shared, random: () => number, lasts = true) {
    this.#shared = shared
    this.#random = random
    this.#lasts = lasts
  }

  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  pick<Some>(from: readonly Some[]): Some {
    return from[this.below(from.length)]!
  }

  word(): number {
    const kind = this.below(4)
    if (kind === 0) return this.pick(WORDS)
    return kind === 1 ? this.below(2 ** 32) : this.below(40)
  }

  /** One word of the memory, or several in a row. */
  scribble(): void {
    const words = this.pick(this.#shared.words)
    let at = this.below(words.length)
    // Where heads and tails are.
    if (this.below(3) === 0) at %= 16
    words[at] = this.word()
  }

  /** A word of the door, and mostly the bell. */
  knock(): void {
    const { door } = this.#shared
    const at = this.below(door.length)
    // Who is told that his ring has ended is to know it.
    if (this.below(4) === 0 && at !== doors.GONE) Atomics.store(door, at, this.word() | 0)
    else Atomics.store(door, this.pick([doors.TO_SUBMIT, doors.ATTEND, doors.WANT]), this.word() | 0)
    if (this.below(2) === 0) Atomics.store(door, doors.ENTER_FLAGS, this.below(2))
    if (this.below(2) === 0) Atomics.add(door, doors.CALL, 1)
    doors.ring(door)
  }

  /** A message of whatever kind. */
  say(): void {
    this.#shared.calls.postMessage(this.message())
    doors.ring(this.#shared.door)
  }

  message(): unknown {
    if (this.below(20) === 0) return this.#anything()
    let type = this.pick(TYPES)
    if (type === 'close' && this.#lasts) type = 'register'
    const message: Record<string, unknown> = { type, seq: this.word() }
    for (const field of [...FIELDS, ...MORE]) if (this.below(3) === 0) message[field] = this.#anything()
    if (type === 'register' && this.below(4) > 0) {
      message.opcode = this.below(40)
      message.address = this.#address()
      message.nrArgs = this.pick([0, 1, 1, 1, 2, 24, 32, 64])
    }
    if (this.below(2) === 0) message.zcrxId = this.below(2)
    if (type === 'map' && this.below(3) > 0) {
      message.base = this.#address()
      message.buffer = this.pick(this.#shared.buffers)
    }
    if (type === 'unmap' && this.below(3) > 0) message.base = this.#address()
    return message
  }

  #address(): number {
    if (this.below(3) === 0) return this.word()
    return this.pick(this.#shared.addresses) + (this.below(2) === 0 ? 0 : this.below(64) * 64)
  }

  #anything(): unknown {
    switch (this.below(12)) {
      case 0:
        return null
      case 1:
        return this.pick(['map', 'length', 'push', '__proto__', 'constructor', '65536'])
      case 2:
        return this.pick([Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53, 1e300])
      case 3:
        return { length: 2 ** 32 - 1 }
      case 4:
        return new Uint8Array(this.pick([0, 1, 120, 2000]))
      case 5:
        return this.pick(this.#shared.buffers)
      case 6:
        return new SharedArrayBuffer(this.pick([0, 1, 4096]))
      case 7:
        return BigInt(this.word())
      case 8:
        return [this.word(), this.word()]
      default:
        return this.pick([this.word(), this.#address(), true])
    }
  }
}
