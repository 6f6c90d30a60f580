/**
 * TCP sequence numbers (RFC 9293 section 3.4), kept as signed 32-bit integers so that V8 stores them unboxed.
 * Comparison is modulo 2^32: the sign of the difference.
 */

/** `a - b`: how far `a` lies ahead of `b`; negative when it lies behind. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0
}

/** The later one. */
export function seqMax(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b
}

/** The earlier one. */
export function seqMin(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? a : b
}

export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0
}

export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0
}

export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

export function seqGe(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0
}
