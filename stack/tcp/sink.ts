/** Takes payload out of a burst at once, in the place of receive queues. */
export interface SinkTarget {
  /** Its number in what the stack takes at the moment, and when that was; the stack's. */
  slot: number
  turn: number
  /**
   * Takes the pieces in burst entries `[from, to)` for as long as it has room, each a reference to a niov of the queue's only area.
   * Returns the first entry not taken.
   * @param rowOf of each entry its connection's row; below 0: the entry is none of payload
   * @param tags by row: the low and the high half of its `PayloadSink`'s `userData`
   */
  post(
    offset: Uint32Array,
    length: Uint32Array,
    rowOf: Int32Array,
    tags: Int32Array,
    from: number,
    to: number,
  ): number
}

/** Who reads a connection, and could take its payload as it comes. */
export interface PayloadSink {
  /** What its target tells with each piece. */
  readonly userDataLow: number
  readonly userDataHigh: number
  /**
   * What takes it, when everything that comes in order now may be handed over at once; null: it is queued.
   * @param rare what is seldom so of its connection; null: nothing is
   */
  ready(rare: object | null): SinkTarget | null
}
