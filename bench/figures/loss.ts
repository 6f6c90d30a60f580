import { type LossRow, lossTable } from '../loss.ts'
import type { Figures, Result } from './types.ts'

interface LossResult extends Result {
  readonly runs: number
  readonly seconds: number
  readonly rows: readonly LossRow[]
}

export const loss: Figures<LossResult> = {
  runs: {
    full: [['--loss', '0,1,5', '--delay', '0,10,50', '--runs', '3', '--seconds', '2']],
    quick: [['--loss', '0,1', '--delay', '10', '--runs', '1', '--seconds', '1']],
  },
  sections: ([run]) => [
    {
      caption: `Median (min-max) of ${run!.runs} interleaved runs of ${run!.seconds} s:`,
      table: lossTable(run!.rows),
    },
  ],
  plots: ([run]) => [
    {
      name: 'loss',
      title: 'zcrx over node:net, on a path that loses and delays frames',
      description:
        'Bytes received by zcrx over those that node:net received in the neighbouring run, median with a line from the least to the most; 1 is equal.',
      unit: 'times node:net',
      digits: 2,
      mark: 1,
      groups: [...new Set(run!.rows.map((row) => row.loss))].map((share) => ({
        title: `${share} % lost`,
        bars: run!.rows
          .filter((row) => row.loss === share)
          .map((row) => ({ label: `round trip ${row.delay} ms`, whose: 'ours', value: row.ratio })),
      })),
    },
  ],
}
