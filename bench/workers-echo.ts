import { cell } from './harness.ts'
import { type Spread, spread } from './spread.ts'
import { type Table, table } from './table.ts'
import type { EchoCase, EchoFigures } from './workers-echo-child.ts'
import type { EchoOrder } from './workers-echo-peer.ts'
import { Subject } from './workers-process.ts'

const BYTES = 64
const WARM_UP = 3000
const CASES = [0, 1].flatMap((workers) => [false, true].map((polls) => ({ workers, polls })))

/** One case of the echo; microseconds there and back. */
export interface EchoRow {
  /** 0: inline. */
  readonly workers: number
  readonly polls: boolean
  readonly medianUs: Spread
  readonly p99Us: Spread
}

/**
 * How long a message of 64 bytes takes there and back, over a wire in memory; its peer is a thread that blocks. Each case has a process
 * of its own, and only the one whose turn it is exists: those that poll have a core each.
 */
export async function measureEcho(count: number, rounds: number): Promise<EchoRow[]> {
  const figures = CASES.map((): EchoFigures[] => [])
  for (let round = 0; round < rounds; round++)
    for (const [i, { workers, polls }] of CASES.entries()) {
      const given: EchoCase = { workers, polls, bytes: BYTES }
      const subject = new Subject<EchoOrder, EchoFigures>('./workers-echo-child.js', given)
      try {
        await subject.ready
        await subject.run({ count: Math.min(WARM_UP, count) })
        figures[i]!.push(await subject.run({ count }))
      } finally {
        subject.end()
      }
    }
  return CASES.map((one, i) => ({
    ...one,
    medianUs: spread(figures[i]!.map(({ median }) => median)),
    p99Us: spread(figures[i]!.map(({ p99 }) => p99)),
  }))
}

export function echoTable(rows: readonly EchoRow[]): Table {
  return table(
    ['workers', 'waits by', 'median us', '99 % us'],
    rows.map(({ workers, polls, medianUs, p99Us }) => [
      workers === 0 ? 'inline' : String(workers),
      polls ? 'polling' : 'sleeping',
      cell(medianUs, 0),
      cell(p99Us, 0),
    ]),
  )
}
