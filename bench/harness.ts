import { availableParallelism, cpus, release } from 'node:os'
import { parseInteger } from '../daemon/cli/parse.ts'
import { describeFailure } from '../daemon/cli/report.ts'
import type { Spread } from './spread.ts'

/** Runs a bench: a failure is told as the daemon tells its own, and a signal ends it by `exit`, where what was made is removed. */
export async function guarded(bench: (args: string[]) => Promise<void>, args: string[]): Promise<void> {
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const)
    process.once(name, () => process.exit(128 + number))
  try {
    await bench(args)
  } catch (error) {
    const failure = describeFailure(error)
    process.stderr.write(`${failure.text}\n`)
    // Programs that others of the bench wait for would keep it from ending.
    process.exit(failure.status)
  }
}

/** What figures were measured on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly kernel: string
  readonly node: string
}

export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
  }
}

/** Median and range, as a cell of a table; empty where there is none. @param scale what figures are multiplied by */
export function cell(figures: Spread | undefined, digits: number, scale = 1): string {
  if (figures === undefined) return ''
  const text = (value: number): string => (value * scale).toFixed(digits)
  return `${text(figures.median)} (${text(figures.min)}-${text(figures.max)})`
}

/** Whole numbers of an option that is given several times or with commas; `fallback` where it is not given. @throws UsageError */
export function parseList(
  given: readonly string[] | undefined,
  fallback: readonly number[],
  what: string,
  min: number,
  max: number,
): readonly number[] {
  return (
    given?.flatMap((text) => text.split(',')).map((text) => parseInteger(text, what, min, max)) ?? fallback
  )
}
