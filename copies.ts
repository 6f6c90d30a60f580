/** Copies between memories, faster than JavaScript has them: those of the addon (`driver/native/`). */
export interface Copies {
  copyBytes(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): void
  copySum(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): number
}

/** Bytes from which a native call, which takes about 90 ns, costs less than it saves (docs/performance.md). */
const WORTH_A_CALL = 256

let native: Copies | null = null

/** From now on long copies are made by these; null: all are JavaScript's. */
export function useCopies(copies: Copies | null): void {
  native = copies
}

/**
 * `into[at + i] = from[start + i]` for `length` bytes. Into memory that threads share `TypedArray.set` copies byte by byte, each one
 * atomically: 1448 bytes take four to six times as long as in memory of one thread.
 * @throws RangeError when either range lies outside its memory
 */
export function copyBytes(
  into: Uint8Array,
  at: number,
  from: Uint8Array,
  start: number,
  length: number,
): void {
  if (length >= WORTH_A_CALL && native !== null && isShared(into, from))
    native.copyBytes(into, at, from, start, length)
  else if (start === 0 && length === from.length) into.set(from, at)
  // `subarray` would cut what it has not, and bytes of before would be left in its place.
  else if (start + length > from.length) throw new RangeError('bytes lie outside the memory')
  else into.set(from.subarray(start, start + length), at)
}

function isShared(into: Uint8Array, from: Uint8Array): boolean {
  return into.buffer instanceof SharedArrayBuffer || from.buffer instanceof SharedArrayBuffer
}

/** The copies that also sum, or null where there are none, or they don't pay. */
export function copySums(length: number): Copies | null {
  return length >= WORTH_A_CALL ? native : null
}
