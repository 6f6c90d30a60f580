/** Copies of frames that were sent while a received one was being looked at; few, so that they can be written behind it. */
export class SentFrames {
  bytes = new Uint8Array(4096)
  count = 0
  readonly #ends: number[] = []

  keep(memory: Uint8Array, at: number, length: number): void {
    const start = this.start(this.count)
    if (start + length > this.bytes.length) {
      const larger = new Uint8Array(2 * (start + length))
      larger.set(this.bytes.subarray(0, start))
      this.bytes = larger
    }
    this.bytes.set(memory.subarray(at, at + length), start)
    this.#ends[this.count++] = start + length
  }

  start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!
  }

  length(index: number): number {
    return this.#ends[index]! - this.start(index)
  }

  clear(): void {
    this.count = 0
  }
}
