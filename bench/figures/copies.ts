import { type CopiesResult, copiesTable } from '../copies.ts'
import type { Figures, Result } from './types.ts'

interface CopiesRun extends Result {
  readonly rounds: number
  readonly results: readonly CopiesResult[]
}

export const copies: Figures<CopiesRun> = {
  runs: { full: [['--json']], quick: [['--rounds', '100', '--json']] },
  sections: ([run]) => [
    {
      caption: `${run!.rounds} rounds, both by turns; nanoseconds, p10 (median):`,
      table: copiesTable(run!.results),
    },
  ],
  plots: () => [],
}
