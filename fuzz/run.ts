import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Coverage } from './coverage.ts'
import { inputName, readCorpus, sourceDirectory, writeCorpus } from './files.ts'
import { Finding, Fuzzer, type Target } from './fuzzer.ts'
import { COUNTERS, REGISTER } from './instrument.ts'
import { targets } from './targets/index.ts'
import { Watchdog } from './watchdog.ts'

/** Folders of the compiled program whose code is instrumented. */
const INSTRUMENTED = ['pcap', 'replay', 'stack', 'uapi', 'driver']
/** What the process may have in memory before an input counts as having filled it. */
const RESIDENT_BYTES = 1 << 30
/** Garbage that is borne. */
const TIDY_BYTES = 256 << 20
const REPORT_MS = 5000

export interface RunOptions {
  /** A name, or the path of a module that exports `target`. */
  readonly target: string
  readonly seed: number
  /** What ends it, whichever comes first. */
  readonly seconds: number
  readonly runs: number
  /** Milliseconds, and bytes, that one input may take. */
  readonly limit: number
  readonly memory: number
  /** Where inputs that show a fault are saved. */
  readonly findings: string
  /** Write the minimised corpus back to the sources. */
  readonly keep: boolean
  /** Run this file only. */
  readonly input: string | null
}

/** Fuzzes a target in this process. Whether nothing was found. */
export async function run(options: RunOptions): Promise<boolean> {
  const coverage = new Coverage()
  const target = await loadTarget(options.target, coverage)
  mkdirSync(options.findings, { recursive: true })
  const watchdog = new Watchdog({
    limit: options.limit,
    memory: RESIDENT_BYTES,
    longest: target.longest ?? 4096,
    directory: options.findings,
  })
  const fuzzer = new Fuzzer(target, coverage, {
    ...options,
    after: () => watchdog.end(),
    allocated,
    between: tidy,
    before: (bytes) => watchdog.begin(bytes),
  })
  try {
    await fuzz(fuzzer, target, coverage, options)
    return true
  } catch (error) {
    if (!(error instanceof Finding)) throw error
    const path = join(options.findings, inputName('crash', error.input))
    writeFileSync(path, error.input)
    console.error(`${error.message}\nan input of ${error.input.length} bytes, saved as ${path}`)
    return false
  } finally {
    watchdog.end()
    await watchdog.close()
  }
}

/** Bytes on V8's heap and beside it. */
function allocated(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Collects garbage between inputs, which run so fast that V8 is late. @throws Error when memory does not come back */
async function tidy(): Promise<void> {
  if (allocated() < TIDY_BYTES) return
  for (let tries = 0; tries < 5; tries++) {
    // What is weakly held is kept to the end of the turn, and buffers are freed beside the thread.
    await new Promise((resolve) => setImmediate(resolve))
    ;(globalThis as { gc?: () => void }).gc?.()
    if (allocated() < TIDY_BYTES) return
  }
  throw new Error(`${allocated()} bytes stay allocated: the inputs before have leaked`)
}

async function fuzz(fuzzer: Fuzzer, target: Target, coverage: Coverage, options: RunOptions): Promise<void> {
  if (options.input !== null) {
    await fuzzer.try(new Uint8Array(readFileSync(options.input)))
    return
  }
  const directory = sourceDirectory('fuzz', 'corpus', target.name)
  const begun = performance.now()
  await fuzzer.seed([...readCorpus(directory), ...target.seeds()])
  let reported = begun
  const say = (): void => {
    const seconds = (performance.now() - begun) / 1000
    const rate = Math.round(fuzzer.runs / Math.max(seconds, 0.001))
    const blocks = `${coverage.covered} of ${coverage.blocks} blocks`
    console.log(
      `${seconds.toFixed(0)} s, ${fuzzer.runs} inputs (${rate}/s), ${blocks}, corpus ${fuzzer.corpus.length}`,
    )
  }
  console.log(`${target.name}, seed ${options.seed}`)
  say()
  await fuzzer.fuzz(() => {
    const now = performance.now()
    if (now - reported >= REPORT_MS) {
      reported = now
      say()
    }
    return fuzzer.runs >= options.runs || now - begun >= options.seconds * 1000
  })
  say()
  if (options.keep) {
    // As long again at most.
    const until = performance.now() + options.seconds * 1000
    const inputs = await fuzzer.minimise(() => performance.now() > until)
    writeCorpus(directory, inputs)
    const bytes = inputs.reduce((sum, input) => sum + input.length, 0)
    console.log(`kept ${inputs.length} inputs, ${bytes} bytes, in ${directory}`)
  }
}

/** Loads the targets with everything under them instrumented. @throws Error when there is none of the name */
async function loadTarget(name: string, coverage: Coverage): Promise<Target> {
  Object.assign(globalThis, {
    [COUNTERS]: coverage.counters,
    [REGISTER]: (blocks: number) => {
      coverage.blocks = Math.max(coverage.blocks, blocks)
    },
  })
  const folders = INSTRUMENTED.map((folder) => new URL(`../${folder}/`, import.meta.url).href)
  const module = name.endsWith('.js') ? pathToFileURL(resolve(name)).href : null
  if (module !== null) folders.push(module)
  register('./hooks.js', import.meta.url, { data: folders })
  if (module !== null) return ((await import(module)) as { target: Target }).target
  const load = targets[name]
  if (load === undefined) throw new Error(`there is no target ${name}: ${Object.keys(targets).join(', ')}`)
  return load()
}
