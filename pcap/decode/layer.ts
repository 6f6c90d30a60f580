/** Where in a frame the next header begins, and where what it lies in ends: every length of every header narrows that. */
export class Layer {
  bytes: Uint8Array = new Uint8Array(0)
  /** The next header. */
  at = 0
  /** Where what was captured ends, and what was on the wire. */
  end = 0
  wireEnd = 0
  /** What was met that may carry more and is not looked into; empty = nothing. */
  opaque = ''

  begin(bytes: Uint8Array, at: number, end: number, wireEnd: number): void {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.wireEnd = wireEnd
    this.opaque = ''
  }

  /** Whether so many bytes of the next header were captured. */
  has(bytes: number): boolean {
    return this.at + bytes <= this.end
  }

  /** A header says that so many bytes follow from `at` on: padding behind them is not of the packet. */
  limit(bytes: number): void {
    const to = this.at + bytes
    if (to < this.wireEnd) this.wireEnd = to
    if (to < this.end) this.end = to
  }

  /** Not looked into. Returns false. */
  stop(name: string): false {
    this.opaque = name
    return false
  }
}
