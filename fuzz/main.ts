import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run } from './run.ts'

const USAGE = `Usage: node dist/fuzz/main.js TARGET [options]

Feeds a target with mutated input, guided by what it covers, until something is wrong with it.
Targets: pcap, pcapng, gzip, line, follow, replay, bulk; or the path of a module that exports \`target\`

  --seconds N     how long (default 60)
  --runs N        how many inputs at most
  --seed N        begins the random choices (default: a new one, which is printed)
  --limit MS      longest time for one input (default 1000)
  --memory MIB    most that one input may allocate (default 192)
  --findings DIR  where the input is saved when something is wrong (default ${join(tmpdir(), 'zcrx-fuzz')})
  --input FILE    run this input only
  --keep          write the minimised corpus back to fuzz/corpus/TARGET

Exit status: 0 nothing was found, 1 something was, 2 the command can't be understood.
`
/** Tells the process that fuzzes from the one that waits for it. */
const CHILD = '--child'

interface Arguments {
  seconds?: string
  runs?: string
  seed?: string
  limit?: string
  memory?: string
  findings?: string
  input?: string
  keep?: boolean
}

function parse(argv: string[]): { target: string; values: Arguments } {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      seconds: text,
      runs: text,
      seed: text,
      limit: text,
      memory: text,
      findings: text,
      input: text,
      keep: { type: 'boolean' },
    },
  })
  if (positionals.length !== 1) throw new Error('name one target')
  return { target: positionals[0]!, values: values as Arguments }
}

function number(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (Number.isNaN(value) || value < 0) throw new Error(`${text} is not a number`)
  return value
}

async function main(argv: string[]): Promise<number> {
  if (argv.length === 0 || argv.includes('--help')) {
    process.stdout.write(USAGE)
    return argv.length === 0 ? 2 : 0
  }
  if (argv[0] !== CHILD) return supervise(argv)
  const { target, values } = parse(argv.slice(1))
  const good = await run({
    target,
    seed: number(values.seed, (Date.now() & 0x7fff_ffff) >>> 0),
    seconds: number(values.seconds, 60),
    runs: number(values.runs, Number.POSITIVE_INFINITY),
    limit: number(values.limit, 1000),
    memory: number(values.memory, 192) * 2 ** 20,
    findings: values.findings ?? join(tmpdir(), 'zcrx-fuzz'),
    keep: values.keep ?? false,
    input: values.input ?? null,
  })
  return good ? 0 : 1
}

/** In a process of its own, which its watchdog may have to kill. */
function supervise(argv: string[]): number {
  try {
    parse(argv)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
    return 2
  }
  const flags = ['--max-old-space-size=1024', '--expose-gc', '--no-warnings']
  const script = fileURLToPath(import.meta.url)
  const { status, signal } = spawnSync(process.execPath, [...flags, script, CHILD, ...argv], {
    stdio: 'inherit',
  })
  if (signal !== null) process.stderr.write(`ended by ${signal}\n`)
  // 13: a promise that never settles; what it waits for never comes.
  return status === 0 || status === 2 ? status : 1
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`)
  return 2
})
