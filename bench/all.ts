import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseChoice } from '../daemon/cli/parse.ts'
import { describeFailure } from '../daemon/cli/report.ts'
import type { BenchName } from './benches.ts'
import { resultIn } from './compare-cases.ts'
import { FIGURES } from './figures/index.ts'
import type { Result } from './figures/types.ts'
import { guarded } from './harness.ts'
import { packageRoot } from './peers.ts'
import { checkPlaces, publish, readRecord } from './publish.ts'

/** One run of a bench; all together are meant to take less than twenty minutes. */
const PATIENCE_MS = 15 * 60_000

/**
 * `npm run bench -- all`: runs every bench with settings that fit into twenty minutes, and writes tables and plots into docs/. A bench
 * that fails is told of, and the others go on; the exit status is 1 then. With `--redraw` nothing is measured: what the record has is written again.
 */
export function main(args: string[]): Promise<void> {
  return guarded(bench, args)
}

async function bench(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      redraw: { type: 'boolean', default: false },
    },
  })
  const every = Object.keys(FIGURES) as BenchName[]
  const names =
    values.only?.flatMap((text) => text.split(',')).map((text) => parseChoice(text, 'bench', every)) ?? every
  const { quick } = values
  const root = packageRoot()
  checkPlaces(root, names)
  if (values.redraw) {
    for (const [name, published] of readRecord(root)) if (names.includes(name)) publish(root, name, published)
    return
  }
  const failed: string[] = []
  const say = (text: string): void => void process.stderr.write(`${text}\n`)
  const began = performance.now()
  const minutes = (since: number): string => `${((performance.now() - since) / 60_000).toFixed(1)} min`
  for (const name of names) {
    const start = performance.now()
    say(`== ${name}`)
    try {
      const results: Result[] = []
      for (const options of FIGURES[name].runs[quick ? 'quick' : 'full'])
        results.push(await run(name, options))
      publish(root, name, { results, date: new Date().toISOString().slice(0, 10), quick })
      say(`== ${name}: ${minutes(start)}`)
    } catch (error) {
      failed.push(name)
      say(`== ${name} failed: ${describeFailure(error).text}`)
    }
  }
  say(
    `${names.length - failed.length} of ${names.length} benches in ${minutes(began)}${failed.length > 0 ? `; failed: ${failed.join(', ')}` : ''}`,
  )
  if (failed.length > 0) process.exitCode = 1
}

/** Runs a bench in a process of its own. @throws Error when it fails or takes too long */
async function run(name: BenchName, options: readonly string[]): Promise<Result> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const child = spawn(process.execPath, [main, name, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  // It ends as if it were interrupted, and removes what it has made.
  const stop = (): void => void child.kill('SIGTERM')
  const timer = setTimeout(stop, PATIENCE_MS)
  process.once('exit', stop)
  try {
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      output += part
    })
    const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    if (status !== 0) throw new Error(`it ended with ${signal ?? `status ${status}`}`)
    return resultIn(name, output) as Result
  } finally {
    clearTimeout(timer)
    process.off('exit', stop)
  }
}
