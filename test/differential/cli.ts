import { release } from 'node:os'
import { parseArgs } from 'node:util'
import { linuxHost } from './linux-host.ts'
import { type Outcome, play, type Worlds } from './play.ts'
import { programOf, trySeed, zeroCopyProgramOf } from './random.ts'
import { details, foundText, summary, tableLine } from './report.ts'
import type { Scenario } from './scenario.ts'
import { SCENARIOS } from './scenarios/index.ts'
import { worldsOn } from './worlds.ts'

export const USAGE = `usage: npm run differential [-- OPTION...]

Runs programs on the stack and on the io_uring of this machine's kernel, over its loopback interface, and compares what each says.

  --scenario NAME  only scenarios whose name begins so, such as cancel. or bundle.sizes; no random programs
  --list           names of the scenarios
  --verbose        what each kernel said, too
  --runs N         random programs (default 40), and as many with zero-copy receive where the kernel has it without a device
  --seed N         the first one's seed (default: a new one, which is printed); no scenarios
`

/** Random programs unless something else is asked for. */
const RUNS = 40

export interface Output {
  out(text: string): void
  err(text: string): void
}

interface Options {
  readonly only: readonly string[]
  readonly list: boolean
  readonly verbose: boolean
  readonly runs: number
  readonly seed: number | null
}

/** Returns the exit status: 0, 1 when something differs that is not listed or the other way round, 2 when it could not be run. */
export function main(args: readonly string[], output: Output): number {
  const options = parse(args, output)
  if (typeof options === 'number') return options
  const chosen = SCENARIOS.filter(
    ({ name }) => options.only.length === 0 || options.only.some((start) => name.startsWith(start)),
  )
  if (chosen.length === 0) {
    output.err(`differential: no scenario is called ${options.only.join(' or ')}\n`)
    return 2
  }
  if (options.list) {
    output.out(chosen.map(({ name }) => `${name}\n`).join(''))
    return 0
  }
  const host = linuxHost()
  if ('why' in host) {
    output.err(`differential: this machine's kernel can't be compared with: ${host.why}\n`)
    return 2
  }
  const worlds = worldsOn(host)
  output.out(`Linux ${release()}\n`)
  let good = true
  if (options.seed === null) good = scenarioTable(chosen, worlds, options, output)
  if (options.only.length === 0) good = randomPrograms(worlds, options, output) && good
  return good ? 0 : 1
}

function scenarioTable(
  chosen: readonly Scenario[],
  worlds: Worlds,
  { verbose }: Options,
  output: Output,
): boolean {
  const outcomes: Outcome[] = []
  for (const scenario of chosen) {
    const outcome = play(scenario, worlds)
    outcomes.push(outcome)
    output.out(`${tableLine(outcome)}\n`)
    if (outcome.verdict === 'DIFFERS') output.out(`${details(outcome)}\n`)
    if (verbose && outcome.verdict !== 'skipped')
      output.out(outcome.linux.lines.map((line) => `    ${line}\n`).join(''))
  }
  output.out(`${summary(outcomes)}\n`)
  return outcomes.every(({ verdict }) => verdict !== 'DIFFERS')
}

function randomPrograms(worlds: Worlds, options: Options, output: Output): boolean {
  const first = options.seed ?? Math.floor(Math.random() * 2 ** 31)
  const good = programs('random programs', programOf, first, worlds, options, output)
  if (worlds.lacks('zcrx') !== null) return good
  return programs('with zero-copy receive', zeroCopyProgramOf, first, worlds, options, output) && good
}

function programs(
  what: string,
  of: typeof programOf,
  first: number,
  worlds: Worlds,
  { runs, verbose }: Options,
  output: Output,
): boolean {
  let differing = 0
  for (let i = 0; i < runs; i++) {
    const found = trySeed(first + i, worlds, of)
    if (found !== null) {
      differing++
      output.out(`${foundText(found)}\n`)
    } else if (verbose) output.out(`seed ${first + i}: equal\n${JSON.stringify(of(first + i))}\n`)
  }
  output.out(`${runs} ${what} from seed ${first} on: ${runs - differing} equal, ${differing} DIFFER\n`)
  return differing === 0
}

function parse(args: readonly string[], output: Output): Options | number {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        scenario: { type: 'string', multiple: true, default: [] },
        runs: { type: 'string' },
        seed: { type: 'string' },
      },
    })
    if (values.help) {
      output.out(USAGE)
      return 0
    }
    const seed = values.seed === undefined ? null : number(values.seed)
    const runs = values.runs === undefined ? (seed === null ? RUNS : 1) : number(values.runs)
    return { only: values.scenario, list: values.list, verbose: values.verbose, runs, seed }
  } catch (error) {
    output.err(`differential: ${(error as Error).message}\n${USAGE}`)
    return 2
  }
}

function number(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${text} is no number`)
  return value
}
