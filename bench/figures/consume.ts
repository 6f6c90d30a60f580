import { type ConsumeRow, consumeTable } from '../consume.ts'
import { CONSUMERS } from '../consumers.ts'
import type { Figures, Result } from './types.ts'

interface ConsumeRun extends Result {
  readonly mtu: number
  readonly runs: number
  readonly seconds: number
  readonly rows: readonly ConsumeRow[]
}

export const consume: Figures<ConsumeRun> = {
  runs: {
    full: [['--runs', '3', '--seconds', '1']],
    quick: [['--runs', '1', '--seconds', '1']],
  },
  sections: ([run]) => [
    {
      caption: `Median (min-max) of ${run!.runs} interleaved runs of ${run!.seconds} s, one flow, MTU ${run!.mtu}:`,
      table: consumeTable(run!.rows),
    },
  ],
  plots: ([run]) => [
    {
      name: 'consume',
      title: `A stream that is consumed, MTU ${run!.mtu}`,
      description:
        'Gbit/s that each receiver takes from a sender on the same machine and throws away, hashes (SHA-1), counts the lines of (in WebAssembly), or writes to a file; median with a line from the least to the most run.',
      unit: 'Gbit/s',
      digits: 1,
      groups: CONSUMERS.filter((what) => run!.rows.some((row) => row.what === what)).map((what) => ({
        title: what,
        bars: run!.rows
          .filter((row) => row.what === what)
          .map(({ receiver, gbps }) => ({
            label: receiver,
            whose: receiver === 'node:net' ? 'others' : 'ours',
            value: gbps,
          })),
      })),
    },
  ],
}
