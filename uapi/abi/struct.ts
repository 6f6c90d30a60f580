/**
 * Structures that cross the ring boundary, as views of bytes with the kernel's layout (little-endian). A 64-bit field is a
 * number where its values fit 2^53; larger ones read as Infinity, which no check accepts.
 */

const HIGH = 4_294_967_296

/** A little-endian u64; what a number can't hold exactly is Infinity. */
export function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  return high > 0x1f_ffff ? Number.POSITIVE_INFINITY : high * HIGH + view.getUint32(at, true)
}

/** Writes a little-endian u64. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HIGH, true)
  view.setUint32(at + 4, Math.floor(value / HIGH), true)
}

export function allZero(view: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; at += 4) if (view.getUint32(at, true) !== 0) return false
  return true
}

export abstract class Struct {
  readonly view: DataView
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  protected u32(at: number): number {
    return this.view.getUint32(at, true)
  }
  protected setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true)
  }
}
