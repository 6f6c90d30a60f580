import { type LatencyRow, latencyTable } from '../latency.ts'
import { scaled } from '../spread.ts'
import type { Figures, Result } from './types.ts'

interface LatencyRun extends Result {
  readonly rounds: number
  readonly echoes: number
  readonly rows: readonly LatencyRow[]
}

function groupOf({ link, connections }: LatencyRow): string {
  return `${link}, ${connections === 1 ? '1 connection' : `${connections} connections`}`
}

export const latency: Figures<LatencyRun> = {
  runs: {
    full: [['--link', 'loopback', '--link', 'veth', '--rounds', '3', '--echoes', '20000']],
    quick: [['--link', 'loopback', '--link', 'veth', '--rounds', '1', '--echoes', '5000']],
  },
  sections: ([run]) => [
    {
      caption: `Echoes of 64 bytes, ${run!.echoes} a round; median (min-max) of ${run!.rounds} rounds:`,
      table: latencyTable(run!.rows),
    },
  ],
  plots: ([run]) => [
    {
      name: 'latency',
      title: 'Echoes of 64 bytes',
      description:
        'Thousands of echoes a second: over loopback of servers on Linux’s own rings by this package, over a veth pair of a server on AF_XDP, each sleeping, polling for 50 us and polling, beside node:net; median with a line from the least to the most round.',
      unit: 'thousand echoes a second',
      digits: 1,
      groups: [...new Set(run!.rows.map(groupOf))].map((group) => ({
        title: group,
        bars: run!.rows
          .filter((row) => groupOf(row) === group)
          .map((row) => ({
            label: row.server,
            whose: row.server === 'node:net' ? 'others' : 'ours',
            value: scaled(row.echoesPerSecond, 1e-3),
          })),
      })),
    },
  ],
}
