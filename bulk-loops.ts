/** The loops over bulk data as machine code: those of the addon (`driver/native/bulk.cc`). */
export interface BulkLoops {
  /**
   * What the calls below work on, until the next one of these: a burst's entries and what is told of them, connections' rows and their
   * index. All of it is held by reference.
   * @param state words in the order of `driver/native/bulk.cc` @param keys6 null where no connection is over IPv6
   */
  bind(
    offset: Uint32Array,
    length: Uint32Array,
    flags: Uint8Array,
    rowOf: Int32Array,
    listed: Int32Array,
    state: Int32Array,
    rows: Int32Array,
    index: Int32Array,
    room: Int32Array,
    keys6: Int32Array | null,
  ): void
  /** Finds the row of each entry, and lists those of another turn, which are of this one then. Returns the first entry that has none. */
  find(words: Int32Array, from: number, count: number): number
  /**
   * Takes entries that `find` has found, and lists the rows that take their first. Returns the first entry that is not the next segment of
   * its connection, or for other loops.
   */
  scan(words: Int32Array, from: number, count: number): number
}

/**
 * Writes completions of 32 bytes for the pieces in a burst's entries `[from, to)`, from slot `tail` of a ring of `mask + 1` on and `space`
 * of them at the most, each with the two words of its row in `tags`, and counts a reference to its niov. Returns the first entry without
 * one. @param ran becomes how many pieces that was, and bytes
 */
export type PostLoop = (
  cqes: Int32Array,
  mask: number,
  offset: Uint32Array,
  length: Uint32Array,
  rowOf: Int32Array,
  tags: Int32Array,
  userRefs: Uint32Array,
  shift: number,
  from: number,
  to: number,
  tail: number,
  flags: number,
  space: number,
  ran: Int32Array,
) => number

let make: (() => BulkLoops) | null = null
let post: PostLoop | null = null

/** From now on whoever begins to take bursts has them taken by these, and completions written by this; null: by JavaScript's. */
export function useBulkLoops(loops: (() => BulkLoops) | null, postLoop: PostLoop | null): void {
  make = loops
  post = postLoop
}

export function postLoop(): PostLoop | null {
  return post
}

export function newBulkLoops(): BulkLoops | null {
  return make === null ? null : make()
}
