/** Numbers for people. */
import { getSystemErrorName } from 'node:util'

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < BINARY.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${BINARY[unit]}`
}

/** `1 234 567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** `12.3k`, `4.56M`; for progress lines, where the width matters. */
export function formatShort(count: number): string {
  for (const [limit, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (count >= limit)
      return `${(count / limit).toFixed(count >= 100 * limit ? 0 : count >= 10 * limit ? 1 : 2)}${unit}`
  }
  return String(Math.round(count))
}

/** Bits per second of `bytes` in `seconds`, in 10^9; 0 when no time has passed. */
export function gigabits(bytes: number, seconds: number): number {
  return seconds > 0 ? (bytes * 8) / seconds / 1e9 : 0
}

/** Decimal places that make sense when read by a program, without the noise of a double. */
export function round(value: number, digits: number): number {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : 0
}

/** `ECONNRESET` for 104. */
export function errnoName(errno: number): string {
  return errno > 0 ? getSystemErrorName(-errno) : 'none'
}
