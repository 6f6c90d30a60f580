/** What one end has got of the other's sequence space, relative to the initial sequence number. Immutable. */
export class Received {
  /** The next number expected: what an ACK says. */
  readonly next: number
  /** Disjoint ranges beyond `next`, the most recently extended first, as RFC 2018 section 4 wants SACK blocks. */
  readonly #beyond: readonly (readonly [number, number])[]

  constructor(next = 0, beyond: readonly (readonly [number, number])[] = []) {
    this.next = next
    this.#beyond = beyond
  }

  /** With `[from, to)` too. */
  with(from: number, to: number): Received {
    if (to <= from) return this
    let [left, right] = [from, to]
    const apart = this.#beyond.filter(([start, end]) => {
      if (end < left || start > right) return true
      left = Math.min(left, start)
      right = Math.max(right, end)
      return false
    })
    if (left > this.next) return new Received(this.next, [[left, right], ...apart])
    // What touches the range has been joined to it, so nothing beyond it begins at its end.
    const next = Math.max(this.next, right)
    return new Received(
      next,
      apart.filter(([, end]) => end > next),
    )
  }

  /** At most `most` ranges beyond `next`. */
  blocks(most: number): readonly (readonly [number, number])[] {
    return this.#beyond.slice(0, most)
  }
}
