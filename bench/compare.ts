import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { parseChoice, parseInteger, UsageError } from '../daemon/cli/parse.ts'
import { type Compared, LATER, pcapTimes, resultIn, stackTimes } from './compare-cases.ts'
import { BenchError } from './errors.ts'
import { guarded, machine } from './harness.ts'
import { bootstrap, type Interval, type Verdict, verdictOf } from './interval.ts'
import { packageRoot } from './peers.ts'
import { Revision } from './revision.ts'
import { printed, type Table, table } from './table.ts'

const run = promisify(execFile)
const BENCHES = ['stack', 'pcap'] as const
/** Of the intervals: the same runs give the same. */
const SEED = 1
/** A ratio that nobody would notice. */
const THRESHOLD = 0.02
const OUTPUT_BYTES = 64 << 20

/** Times of every case in one run of a tree. */
export type Times = ReadonlyMap<string, number>

/** A case in both trees. */
export interface ComparedRow {
  readonly name: string
  /** New over old, round by round. */
  readonly ratio: Interval
  readonly verdict: Verdict
}

/** Times of both trees in one round. */
export interface Round {
  readonly old: Times
  readonly now: Times
}

/** With fewer no interval would hold the median with the confidence that is asked for. */
const MIN_ROUNDS = 6

/** Those cases that both trees have. @param rounds of neighbouring runs, old and new */
export function compareRows(rounds: readonly Round[], threshold: number): ComparedRow[] {
  const names = [...(rounds[0]?.now.keys() ?? [])].filter((name) => rounds[0]!.old.has(name))
  return names.map((name) => {
    const ratio = bootstrap(
      rounds.map(({ old, now }) => now.get(name)! / old.get(name)!),
      SEED,
    )
    return { name, ratio, verdict: verdictOf(ratio, threshold) }
  })
}

/**
 * What holds when those that seemed slower were measured all over again: of many cases one may seem so by chance, hardly twice. The
 * ratios are those of all rounds.
 */
export function confirmed(
  first: readonly Round[],
  second: readonly Round[],
  threshold: number,
): ComparedRow[] {
  const slowerIn = (rounds: readonly Round[]): Set<string> =>
    new Set(
      compareRows(rounds, threshold)
        .filter(({ verdict }) => verdict === 'slower')
        .map(({ name }) => name),
    )
  const [before, again] = [slowerIn(first), slowerIn(second)]
  return compareRows([...first, ...second], threshold).map((row) =>
    row.verdict === 'slower' && !(before.has(row.name) && again.has(row.name))
      ? { ...row, verdict: 'same' }
      : row,
  )
}

export function comparedTable(rows: readonly ComparedRow[]): Table {
  return table(
    ['time, new over old', 'median', '95 % interval', ''],
    rows.map(({ name, ratio, verdict }) => [
      name,
      ratio.median.toFixed(3),
      `${ratio.low.toFixed(3)}-${ratio.high.toFixed(3)}`,
      verdict === 'same' ? '' : verdict,
    ]),
  )
}

/**
 * `npm run bench -- compare REV`: the benches that need no device, of REV and of the working tree by turns, each run in a process of
 * its own. Says for every case how much longer it takes now, with an interval; the exit status is 1 where that is longer for certain.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '7' },
      bursts: { type: 'string', default: '1000' },
      packets: { type: 'string', default: '100000' },
      only: { type: 'string', multiple: true },
      threshold: { type: 'string', default: String(THRESHOLD * 100) },
      ip: { type: 'string' },
      flows: { type: 'string' },
    },
  })
  const [revision] = positionals
  if (revision === undefined || positionals.length > 1)
    throw new UsageError('compare takes one revision, as in "npm run bench -- compare main"')
  const rounds = parseInteger(values.rounds, 'number of rounds', MIN_ROUNDS, 1000)
  const threshold = Number(values.threshold) / 100
  if (!(threshold >= 0)) throw new UsageError(`"${values.threshold}" is not a percentage`)
  const bursts = parseInteger(values.bursts, 'number of bursts', 10, 1e9)
  const packets = parseInteger(values.packets, 'number of packets', 100, 50_000_000)
  const only: readonly string[] = values.only?.map((text) => parseChoice(text, 'bench', BENCHES)) ?? BENCHES
  const some = (['ip', 'flows'] as const).flatMap((name) =>
    values[name] === undefined ? [] : [`--${name}`, values[name]],
  )
  const compared: readonly Compared[] = [
    { bench: 'stack', args: ['--rounds', `${bursts}`, '--json', ...some], read: stackTimes },
    // Wireshark's tools are the same for both.
    ...['read', 'replay client'].map(
      (name): Compared => ({
        bench: 'pcap',
        args: ['--packets', `${packets}`, '--rounds', '1', '--json', '--only', name],
        read: pcapTimes,
      }),
    ),
  ].filter((one) => only.includes(one.bench))

  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  const repository = packageRoot()
  const old = new Revision(repository, revision, say)
  const remove = (): void => old.remove()
  process.once('exit', remove)
  try {
    const measure = async (what: string): Promise<Round[]> => {
      const measured: Round[] = []
      for (let round = 0; round < rounds; round++) {
        // Who goes first changes from round to round.
        const trees = round % 2 === 0 ? [old.root, repository] : [repository, old.root]
        measured.push(await measureRound(compared, trees, old.root))
        say(`${what} ${round + 1} of ${rounds}`)
      }
      return measured
    }
    const first = await measure('round')
    let rows = compareRows(first, threshold)
    if (rows.some(({ verdict }) => verdict === 'slower'))
      rows = confirmed(first, await measure('something seems slower; once more, round'), threshold)
    say(`\n${printed(comparedTable(rows)).join('\n')}\n`)
    const slower = rows.filter(({ verdict }) => verdict === 'slower')
    const percent = (threshold * 100).toFixed(0)
    say(
      slower.length === 0
        ? `nothing is slower than ${old.commit} by more than ${percent} % for certain`
        : `slower than ${old.commit}:\n${slower.map(({ name }) => `  ${name}`).join('\n')}`,
    )
    process.stdout.write(
      `${JSON.stringify({ bench: 'compare', machine: machine(), revision: old.commit, rounds, threshold, rows })}\n`,
    )
    if (slower.length > 0) process.exitCode = 1
  } finally {
    old.remove()
    process.off('exit', remove)
  }
}

async function measureRound(
  compared: readonly Compared[],
  trees: readonly string[],
  oldRoot: string,
): Promise<Round> {
  const old = new Map<string, number>()
  const now = new Map<string, number>()
  for (const one of compared)
    for (const root of trees)
      for (const [name, time] of one.read(await resultOf(root, one)))
        (root === oldRoot ? old : now).set(name, time)
  return { old, now }
}

async function resultOf(root: string, { bench: name, args }: Compared): Promise<unknown> {
  const main = join(root, 'dist', 'bench', 'main.js')
  try {
    const { stdout } = await run(process.execPath, [main, name, ...args], {
      cwd: root,
      maxBuffer: OUTPUT_BYTES,
    })
    return resultIn(name, stdout)
  } catch (error) {
    if (error instanceof BenchError) throw error
    const { stderr = '', message } = error as Error & { stderr?: string }
    const why = stderr.split('\n').find((line) => /Error\b/.test(line)) ?? message.split('\n', 1)[0]
    throw new BenchError('ZCRX_BENCH_FORM', `"${name}" failed in ${root}: ${why}`, LATER, { cause: error })
  }
}
