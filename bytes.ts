/** Byte arrays: big-endian ("network order") access, whose callers have checked the bounds, and what is left of several. */

/** How this machine reads words of typed arrays. */
export const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

/** A signed 32-bit integer: the representation of addresses and sequence numbers throughout the stack. */
export function get32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** The bytes of a 16-bit half exchanged. */
export function swap16(half: number): number {
  return ((half & 0xff) << 8) | (half >>> 8)
}

/** A big-endian 32-bit integer that straddles two little-endian words: the upper half of one, the lower of the next. */
export function straddle(word: number, next: number): number {
  return (swap16(word >>> 16) << 16) | swap16(next & 0xffff)
}

/** What is left of `views` behind their first `count` bytes: of a writev(2) that took no more. */
export function behind(views: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0
  let left = count
  while (index < views.length && left >= views[index]!.length) left -= views[index++]!.length
  const rest = views.slice(index)
  if (left > 0 && rest.length > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}
