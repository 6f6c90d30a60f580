import type { Comparison, Hunk } from './compare.ts'
import type { Outcome } from './play.ts'
import type { Found } from './random.ts'

/** One line of the table. */
export function tableLine(outcome: Outcome): string {
  const word = { equal: 'equal', 'as listed': 'differs as listed', DIFFERS: 'DIFFERS', skipped: 'skipped' }
  const why = outcome.verdict === 'skipped' ? `: ${outcome.why}` : ''
  return `${outcome.scenario.name.padEnd(36)} ${word[outcome.verdict]}${why}`
}

/** What is wrong, line by line. */
export function details({ unlisted, stale }: Comparison): string {
  const lines = unlisted.flatMap((hunk) => hunkLines(hunk))
  for (const difference of stale)
    lines.push(
      `    is listed, and is not so (${difference.reason}):`,
      ...hunkLines(difference).map((line) => `  ${line}`),
    )
  return lines.join('\n')
}

function hunkLines({ ours, linux }: Hunk): string[] {
  return [...ours.map((line) => `    ours   ${line}`), ...linux.map((line) => `    linux  ${line}`), '']
}

/** A random program that made a difference: how to have it again, and what it does. */
export function foundText({ program, outcome }: Found): string {
  const { batches, ...rest } = program
  const steps = batches.map((batch, i) => `    ${i} ${JSON.stringify(batch)}`)
  return [
    `random program of seed ${program.seed}: DIFFERS (npm run differential -- --seed ${program.seed})`,
    `    ${JSON.stringify(rest)}`,
    ...steps,
    details(outcome),
  ].join('\n')
}

/** `N equal, N differ as listed, N DIFFER, N skipped` */
export function summary(outcomes: readonly Outcome[]): string {
  const count = (verdict: Outcome['verdict']): number =>
    outcomes.filter((outcome) => outcome.verdict === verdict).length
  return `${count('equal')} equal, ${count('as listed')} differ as listed, ${count('DIFFERS')} DIFFER, ${count('skipped')} skipped`
}
