import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BenchError } from './errors.ts'

/** Programs in C that the benches are measured with and against: `bench/peers/NAME.c`. */
export type PeerName = 'connect' | 'recv' | 'segments' | 'send' | 'uring' | 'xdp-drop'

/** Peers in C, compiled for this machine when they are first asked for. They are gone with the process, or when whoever made them says so. */
export class Peers {
  readonly #directory = mkdtempSync(join(tmpdir(), 'zcrx-bench-'))
  readonly #compiled = new Map<PeerName, string>()

  constructor() {
    process.once('exit', () => this.remove())
  }

  /** Path of the program. @throws BenchError where there is no compiler */
  path(name: PeerName): string {
    const there = this.#compiled.get(name)
    if (there !== undefined) return there
    const output = join(this.#directory, name)
    const source = join(packageRoot(), 'bench', 'peers', `${name}.c`)
    try {
      execFileSync('cc', ['-O2', '-pthread', '-o', output, source], { stdio: 'pipe' })
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: Buffer }
      const why = stderr?.toString().trim() || message
      throw new BenchError('ZCRX_BENCH_PEER', `${name}.c can't be compiled: ${why}`, 'apt-get install gcc', {
        cause: error,
      })
    }
    this.#compiled.set(name, output)
    return output
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** The code runs from `dist/bench/`; what is no code lies beside `dist`. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!directory.endsWith('/dist') && directory !== '/') directory = dirname(directory)
  return directory === '/' ? dirname(dirname(fileURLToPath(import.meta.url))) : dirname(directory)
}
