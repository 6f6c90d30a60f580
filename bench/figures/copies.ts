import { type CopiesResult, copiesTable, type SendResult, sendsTable } from '../copies.ts'
import type { Figures, Result } from './types.ts'

interface CopiesRun extends Result {
  readonly rounds: number
  readonly results: readonly CopiesResult[]
  readonly sends: readonly SendResult[]
}

export const copies: Figures<CopiesRun> = {
  runs: { full: [['--json']], quick: [['--rounds', '100', '--json']] },
  sections: ([run]) => [
    {
      caption: `${run!.rounds} rounds, both by turns; nanoseconds, p10 (median):`,
      table: copiesTable(run!.results),
    },
    {
      caption:
        'A segment of 1448 bytes that is sent once, from the application to the slot; nanoseconds, p10 (median):',
      table: sendsTable(run!.sends),
    },
  ],
  plots: () => [],
}
