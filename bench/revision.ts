import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BenchError } from './errors.ts'

/** A checkout of an earlier revision, built, in a folder of its own. Whoever made it removes it. */
export class Revision {
  /** Its commit, in short. */
  readonly commit: string
  readonly root: string
  readonly #repository: string
  readonly #directory: string
  #removed = false

  /** @param repository the working tree @throws BenchError `ZCRX_BENCH_REVISION`; nothing is left behind then */
  constructor(repository: string, name: string, say: (text: string) => void) {
    this.#repository = repository
    try {
      this.commit = this.#git(
        'rev-parse',
        '--short',
        '--verify',
        '--end-of-options',
        `${name}^{commit}`,
      ).trim()
    } catch (error) {
      throw new BenchError('ZCRX_BENCH_REVISION', `there is no revision "${name}"`, 'git log', {
        cause: error,
      })
    }
    this.#directory = mkdtempSync(join(tmpdir(), 'zcrx-compare-'))
    this.root = join(this.#directory, 'tree')
    try {
      this.#git('worktree', 'add', '--detach', '--quiet', this.root, this.commit)
      this.#build(say)
    } catch (error) {
      this.remove()
      const { stderr, message } = error as Error & { stderr?: string }
      const why = stderr?.trim() || message
      throw new BenchError('ZCRX_BENCH_REVISION', `${name} can't be built: ${why}`, '', { cause: error })
    }
  }

  #git(...args: string[]): string {
    return execFileSync('git', ['-C', this.#repository, ...args], { encoding: 'utf8', stdio: 'pipe' })
  }

  #build(say: (text: string) => void): void {
    const lock = 'package-lock.json'
    const same = readFileSync(join(this.root, lock)).equals(readFileSync(join(this.#repository, lock)))
    // Installing would write into the working tree's own: only what is wanted as it is can be shared.
    if (same) symlinkSync(join(this.#repository, 'node_modules'), join(this.root, 'node_modules'))
    // Its stamp says whether it is the revision's too.
    const addon = join(this.#repository, 'build')
    if (existsSync(addon)) cpSync(addon, join(this.root, 'build'), { recursive: true })
    const setup = join(this.root, 'scripts', 'setup.mjs')
    if (!existsSync(setup)) throw new Error('it is older than the set-up that builds it (scripts/setup.mjs)')
    say(`building ${this.commit}`)
    execFileSync(process.execPath, [setup, '--quiet'], {
      cwd: this.root,
      encoding: 'utf8',
      stdio: 'pipe',
    })
  }

  remove(): void {
    if (this.#removed) return
    this.#removed = true
    rmSync(this.#directory, { recursive: true, force: true })
    this.#git('worktree', 'prune')
  }
}
