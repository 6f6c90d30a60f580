import { growthTable, timersTable } from '../scale.ts'
import { type AcceptRow, acceptTable } from '../scale-accept.ts'
import type { GrowthResult } from '../scale-growth.ts'
import type { MemoryResult } from '../scale-memory.ts'
import type { TimerResult } from '../scale-timers.ts'
import { scaled } from '../spread.ts'
import { table } from '../table.ts'
import type { Figures, Result } from './types.ts'

interface ScaleRun extends Result {
  readonly connections: number
  readonly accepts: number
  readonly rounds: number
  readonly memory: MemoryResult
  readonly growth: GrowthResult
  /** Absent without root. */
  readonly accept?: readonly AcceptRow[]
  readonly timers: readonly TimerResult[]
}

export const scale: Figures<ScaleRun> = {
  runs: {
    full: [['--runs', '3']],
    quick: [['--runs', '1', '--connections', '20000', '--accepts', '3000']],
  },
  sections: ([run]) => {
    const { connections, accepts, rounds, memory, growth, accept = [], timers } = run!
    return [
      {
        caption: `${accepts} connections from a client in C over a link, kept and idle; median (min-max) of ${rounds} rounds:`,
        table: acceptTable(accept),
      },
      {
        caption: `Passes of the stack over single segments while ${connections} connections are opened:`,
        table: growthTable(growth),
      },
      {
        caption: `Bytes of each of ${connections} idle connections of a stack, without sockets of a ring and objects of an application:`,
        table: table(
          ['after', 'bytes'],
          [
            ['the handshake', String(memory.bytesAfterHandshake)],
            ['a request and a response', String(memory.bytesPerConnection)],
          ],
        ),
      },
      { caption: 'Timers, median (min-max):', table: timersTable(timers) },
    ]
  },
  plots: ([run]) => {
    const { accept = [] } = run!
    if (accept.length === 0) return []
    const bars = (figure: (row: AcceptRow) => AcceptRow['cpuUs']) =>
      accept.map((row) => ({
        label: row.server,
        whose: row.server === 'node:net' ? ('others' as const) : ('ours' as const),
        value: figure(row),
      }))
    return [
      {
        name: 'scale',
        title: 'Connections accepted over a virtual link',
        description:
          'Thousands of connections a second that each server accepts from the same client in C, median with a line from the least to the most round.',
        unit: 'thousand connections a second',
        digits: 1,
        groups: [{ title: '', bars: bars((row) => scaled(row.acceptsPerSecond, 1e-3)) }],
      },
    ]
  },
}
