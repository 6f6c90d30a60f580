/**
 * Pieces of a stream that have arrived and that nobody has asked for yet, oldest first, and those that somebody has in hand. Every buffer
 * is in one of the two until it is given back.
 */
export class Received {
  readonly #release: (offset: number) => void
  /** Offset and length in turn, from `#first` on. */
  #waiting: number[] = []
  #first = 0
  /** Bytes that wait. */
  bytes = 0
  /** Ends of batches since nothing waited: from the second on whoever reads does not keep up. */
  batches = 0
  /** Offsets of what is in hand. */
  #held: number[] = []

  /** @param release gives one buffer back */
  constructor(release: (offset: number) => void) {
    this.#release = release
  }

  /** Pieces that wait. */
  get count(): number {
    return (this.#waiting.length - this.#first) / 2
  }

  push(offset: number, length: number): void {
    this.#waiting.push(offset, length)
    this.bytes += length
  }

  /** Takes the oldest into hand. Returns its offset, and its length in `taken`. Ask only while there is one. */
  take(): number {
    const offset = this.#waiting[this.#first]!
    this.taken = this.#waiting[this.#first + 1]!
    this.#first += 2
    this.bytes -= this.taken
    if (this.#first === this.#waiting.length) {
      this.#waiting = []
      this.#first = 0
      this.batches = 0
    } else if (this.#first === 2048) {
      this.#waiting.splice(0, this.#first)
      this.#first = 0
    }
    this.#held.push(offset)
    return offset
  }

  /** The same, but no more of it than so many bytes: the rest is the oldest then, in the same buffer. */
  takeUpTo(most: number): number {
    const length = this.#waiting[this.#first + 1]!
    if (length <= most) return this.take()
    const offset = this.#waiting[this.#first]!
    this.#waiting[this.#first] = offset + most
    this.#waiting[this.#first + 1] = length - most
    this.bytes -= most
    this.taken = most
    return offset
  }

  /** Length of what `take` has taken, bytes. */
  taken = 0

  /** What is in hand goes back. */
  giveBack(): void {
    const held = this.#held
    if (held.length === 0) return
    for (let i = 0; i < held.length; i++) this.#release(held[i]!)
    held.length = 0
  }

  /** What is in hand is somebody else's to give back, one by one: the offsets. */
  handOver(): number[] {
    const held = this.#held
    this.#held = []
    return held
  }

  /** Gives back what waits. Returns whether there was any. */
  discard(): boolean {
    if (this.count === 0) return false
    for (let i = this.#first; i < this.#waiting.length; i += 2) this.#release(this.#waiting[i]!)
    this.#waiting = []
    this.#first = 0
    this.bytes = 0
    this.batches = 0
    return true
  }
}
