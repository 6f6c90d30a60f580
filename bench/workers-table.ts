import type { Spread } from './spread.ts'

/** Median and range, as a cell of a table. @param scale what figures are multiplied by */
export function cell({ median, min, max }: Spread, digits: number, scale = 1): string {
  const text = (value: number): string => (value * scale).toFixed(digits)
  return `${text(median)} (${text(min)}-${text(max)})`
}
