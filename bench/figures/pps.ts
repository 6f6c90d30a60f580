import { type PpsRow, ppsTable } from '../pps.ts'
import { scaled } from '../spread.ts'
import type { Figures, Result } from './types.ts'

interface PpsResult extends Result {
  readonly rounds: number
  readonly seconds: number
  readonly payload: number
  readonly rows: readonly PpsRow[]
}

export const pps: Figures<PpsResult> = {
  runs: {
    full: [['--rounds', '5', '--seconds', '1']],
    quick: [['--rounds', '1', '--seconds', '1']],
  },
  sections: ([run]) => [
    {
      caption: `Median (min-max) of ${run!.rounds} interleaved rounds of ${run!.seconds} s, segments of ${run!.payload} bytes:`,
      table: ppsTable(run!.rows),
    },
  ],
  plots: ([run]) => [
    {
      name: 'pps',
      title: `Segments of ${run!.payload} bytes over AF_XDP on a veth`,
      description:
        'Millions of packets a second, median with a line from the least to the most round: a TCP connection of zcrx beside a loop in C that throws every frame away.',
      unit: 'million packets a second',
      digits: 2,
      groups: [...new Set(run!.rows.map(({ mode }) => mode))].map((mode) => ({
        title: `${mode} mode`,
        bars: run!.rows
          .filter((row) => row.mode === mode)
          .map((row) => ({
            label: row.receiver === 'zcrx' ? 'zcrx' : 'drop loop in C',
            whose: row.receiver === 'zcrx' ? 'ours' : 'ceiling',
            value: scaled(row.packetsPerSecond, 1e-6),
          })),
      })),
    },
  ],
}
