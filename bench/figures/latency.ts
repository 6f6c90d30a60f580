import { type LatencyRow, latencyTable } from '../latency.ts'
import { scaled } from '../spread.ts'
import type { Figures, Result } from './types.ts'

interface LatencyRun extends Result {
  readonly rounds: number
  readonly echoes: number
  readonly rows: readonly LatencyRow[]
}

export const latency: Figures<LatencyRun> = {
  runs: {
    full: [['--rounds', '3', '--echoes', '20000']],
    quick: [['--rounds', '1', '--echoes', '5000']],
  },
  sections: ([run]) => [
    {
      caption: `Echoes of 64 bytes over loopback, ${run!.echoes} a round; median (min-max) of ${run!.rounds} rounds:`,
      table: latencyTable(run!.rows),
    },
  ],
  plots: ([run]) => [
    {
      name: 'latency',
      title: 'Echoes of 64 bytes over loopback',
      description:
        'Thousands of echoes a second of servers on Linux’s own rings by this package, sleeping and polling, and of node:net; median with a line from the least to the most round.',
      unit: 'thousand echoes a second',
      digits: 1,
      groups: [...new Set(run!.rows.map(({ connections }) => connections))].map((connections) => ({
        title: connections === 1 ? '1 connection' : `${connections} connections`,
        bars: run!.rows
          .filter((row) => row.connections === connections)
          .map((row) => ({
            label: row.server,
            whose: row.server === 'node:net' ? 'others' : 'ours',
            value: scaled(row.echoesPerSecond, 1e-3),
          })),
      })),
    },
  ],
}
