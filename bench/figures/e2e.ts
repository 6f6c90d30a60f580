import { type BenchRow, benchTable, nameOf } from '../e2e.ts'
import type { Whose } from '../plot.ts'
import type { Figures, Result } from './types.ts'

interface E2eRun extends Result {
  readonly runs: number
  readonly seconds: number
  readonly congestionControl: string
  readonly rows: readonly BenchRow[]
}

const MTU = 1500

function whoseOf({ receiver }: BenchRow): Whose {
  if (receiver.startsWith('c-')) return 'ceiling'
  return receiver === 'node:net' ? 'others' : 'ours'
}

const SHORT = ['--seconds', '1', '--warm-up', '1']

export const e2e: Figures<E2eRun> = {
  runs: {
    full: [
      ['--mtu', '1500', '--flows', '1,8,64', '--workers', '0,1,2', '--runs', '3', ...SHORT],
      ['--mtu', '9000', '--mtu', '65535', '--runs', '3', ...SHORT],
    ],
    quick: [['--mtu', '1500', '--flows', '1,8', '--workers', '0,1', '--runs', '1', ...SHORT]],
  },
  sections: (results) => {
    const [{ runs, seconds, congestionControl }] = results as [E2eRun]
    return [
      {
        caption: `Median (min-max) of ${runs} interleaved runs of ${seconds} s, ${congestionControl}:`,
        table: benchTable(results.flatMap(({ rows }) => rows)),
      },
    ]
  },
  plots: (results) => {
    const rows = results.flatMap((run) => run.rows).filter(({ mtu }) => mtu === MTU)
    return [
      {
        name: 'e2e',
        title: `Linux sends over a virtual link, MTU ${MTU}`,
        description:
          'Gbit/s that each receiver takes from a sender on the same machine, median with a line from the least to the most run: zcrx over every way in, node:net, and recv() and io_uring in C.',
        unit: 'Gbit/s',
        digits: 1,
        groups: [...new Set(rows.map(({ flows }) => flows))].map((flows) => ({
          title: flows === 1 ? '1 flow' : `${flows} flows`,
          bars: rows
            .filter((row) => row.flows === flows)
            .map((row) => ({ label: nameOf(row), whose: whoseOf(row), value: row.gbps })),
        })),
      },
    ]
  },
}
