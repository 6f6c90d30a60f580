import { ArgumentError } from '../../errors.ts'

const PORTS = 65_536
const MOST_OWNERS = 255
/** A mark: nobody waits; the answer that was waited for came to another queue. */
const NOTHING = 0
const ELSEWHERE = 1
const MARKS_AT = PORTS
const NEWS_AT = MARKS_AT + 4 * PORTS
const BYTES = NEWS_AT + 4 * (MOST_OWNERS + 1)

/**
 * Who of the stacks of one interface, each in a thread of its own, connects from which TCP port. In shared memory, and changed
 * atomically: for each port a byte that says whose it is (index + 1; 0 = nobody's), and a word with the mark of the answer that
 * its owner waits for; for each stack a counter of news.
 *
 * Marks are made of the peer's address, its port and the acknowledgment number that it has to send (`answerMark`): who does not
 * see our SYN can't make anybody believe that the answer has come.
 */
export class SharedPorts {
  readonly index: number
  readonly #owners: Uint8Array
  readonly #marks: Int32Array
  readonly #news: Int32Array
  /** How often each port of ours was taken. */
  readonly #taken = new Map<number, number>()
  #seen: number

  /** @param buffer of `SharedPorts.memory` @param index of this stack among the interface's, 0 to 254 @throws ArgumentError */
  constructor(buffer: SharedArrayBuffer, index: number) {
    if (!Number.isInteger(index) || index < 0 || index >= MOST_OWNERS) {
      throw new ArgumentError(`index ${index} is not an integer from 0 to ${MOST_OWNERS - 1}`)
    }
    if (buffer.byteLength < BYTES) {
      throw new ArgumentError(`${buffer.byteLength} bytes are too few, ports take ${BYTES}`)
    }
    this.index = index
    this.#owners = new Uint8Array(buffer, 0, PORTS)
    this.#marks = new Int32Array(buffer, MARKS_AT, PORTS)
    this.#news = new Int32Array(buffer, NEWS_AT, MOST_OWNERS + 1)
    this.#seen = Atomics.load(this.#news, index)
  }

  /** Memory for one interface, with no port taken; to be handed to every thread. */
  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(BYTES)
  }

  /** Ports that are taken here. */
  get count(): number {
    return this.#taken.size
  }

  /** Takes a port that is nobody's, or ours already. False when it is a sibling's. Each is to be given back. */
  take(port: number): boolean {
    const times = this.#taken.get(port) ?? 0
    if (times === 0 && Atomics.compareExchange(this.#owners, port, 0, this.index + 1) !== 0) return false
    this.#taken.set(port, times + 1)
    return true
  }

  /** Gives back what `take` took; with the last one the port is nobody's. */
  release(port: number): void {
    const times = this.#taken.get(port) ?? 0
    if (times > 1) this.#taken.set(port, times - 1)
    if (times !== 1) return
    this.#taken.delete(port)
    Atomics.store(this.#marks, port, NOTHING)
    Atomics.compareExchange(this.#owners, port, this.index + 1, 0)
  }

  /** The index of the sibling whose port it is, -1 when it is ours or nobody's. */
  sibling(port: number): number {
    const owner = Atomics.load(this.#owners, port) - 1
    return owner === this.index ? -1 : owner
  }

  /** Gives back all that a stack has, whose thread has ended without. */
  abandon(index: number): void {
    for (let port = 0; port < PORTS; port++) {
      if (Atomics.load(this.#owners, port) !== index + 1) continue
      Atomics.store(this.#marks, port, NOTHING)
      Atomics.compareExchange(this.#owners, port, index + 1, 0)
    }
  }

  // ---- for the owner --------------------------------------------------------------------------------------------

  /** Whether an answer is waited for at a port of ours: one at a time. */
  awaits(port: number): boolean {
    return Atomics.load(this.#marks, port) !== NOTHING
  }

  /** An answer to a port of ours is waited for. @param mark see `answerMark` */
  expect(port: number, mark: number): void {
    Atomics.store(this.#marks, port, mark)
  }

  /** The wait is over. */
  forget(port: number): void {
    Atomics.store(this.#marks, port, NOTHING)
  }

  /** Whether the answer came to a sibling. */
  cameElsewhere(port: number): boolean {
    return Atomics.load(this.#marks, port) === ELSEWHERE
  }

  /** Whether a sibling has noted anything since this was last asked. */
  news(): boolean {
    const news = Atomics.load(this.#news, this.index)
    if (news === this.#seen) return false
    this.#seen = news
    return true
  }

  // ---- for its siblings -----------------------------------------------------------------------------------------

  /** A segment with this mark came here. Returns whether it is what the sibling waits for: it is to be woken. */
  note(port: number, sibling: number, mark: number): boolean {
    if (Atomics.compareExchange(this.#marks, port, mark, ELSEWHERE) !== mark) return false
    Atomics.add(this.#news, sibling, 1)
    return true
  }
}

/**
 * The mark of a segment from a peer.
 * @param w0,w1,w2,w3 its address @param port its port @param ack the acknowledgment number
 */
export function answerMark(
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  port: number,
  ack: number,
): number {
  let h = Math.imul(w0 ^ 0x9e3779b1, 0x85ebca6b)
  h = Math.imul((h ^ (h >>> 15)) + w1, 0xc2b2ae35)
  h = Math.imul((h ^ (h >>> 13)) + w2, 0x9e3779b1)
  h = Math.imul((h ^ (h >>> 15)) + w3, 0x85ebca6b)
  h = Math.imul((h ^ (h >>> 13)) + port, 0xc2b2ae35)
  // Added last and spread by nothing but odd factors and shifts: no two numbers of one peer have the same mark.
  h = Math.imul((h ^ (h >>> 15)) + ack, 0x9e3779b1)
  h = h ^ (h >>> 16)
  return h === NOTHING || h === ELSEWHERE ? 2 : h
}
