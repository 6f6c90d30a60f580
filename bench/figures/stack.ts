import { type StackResult, stackTable } from '../stack.ts'
import type { Figures, Result } from './types.ts'

interface StackRun extends Result {
  readonly rounds: number
  readonly results: readonly StackResult[]
}

export const stack: Figures<StackRun> = {
  runs: {
    full: [['--rounds', '4000', '--json']],
    quick: [['--rounds', '200', '--json']],
  },
  sections: ([run]) => [
    {
      caption: `${run!.rounds} bursts each, one run of the bench; nanoseconds, p10 (median):`,
      table: stackTable(run!.results),
    },
  ],
  plots: ([run]) => [
    {
      name: 'stack',
      title: 'The stack alone: time per packet of 1448 bytes',
      description:
        'Nanoseconds from the receive descriptor to the refill, IPv4, bursts of 256: the tenth percentile as a bar, a line to the median, beside a copy of the payload out of the same buffers.',
      unit: 'ns per packet, less is better',
      digits: 0,
      groups: [1, 64, 4096].map((flows) => {
        const one = run!.results.find(
          (result) =>
            result.ip === '4' &&
            result.flows === flows &&
            result.bulk &&
            !result.javascript &&
            result.checksum === 'vouched' &&
            result.payload === 1448,
        )!
        const bar = ({ p10, median }: StackResult['packet']) => ({ min: p10, median: p10, max: median })
        return {
          title: flows === 1 ? '1 flow' : `${flows} flows`,
          bars: [
            { label: 'zcrx', whose: 'ours', value: bar(one.packet) },
            { label: 'copying it', whose: 'ceiling', value: bar(one.copy) },
          ],
        }
      }),
    },
  ],
}
