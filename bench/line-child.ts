import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type LinkEnd, NetworkPair, systemEnvironment } from '../daemon/netns.ts'

/** What a program prints as a line. */
export type Said = Record<string, unknown>

/** A program in a namespace that prints lines: `ready` if it has to be waited for, then JSON objects. */
export class LineChild {
  readonly process: ChildProcess
  /** Resolves when it has printed `ready`. */
  readonly ready: Promise<void>
  readonly #name: string
  #text = ''
  #errors = ''
  readonly #closed: Promise<unknown>

  constructor(end: LinkEnd, command: string, args: readonly string[]) {
    const enter = NetworkPair.enter(end)
    this.#name = command
    this.process = spawn(enter.command, [...enter.args, command, ...args], {
      env: systemEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#closed = once(this.process, 'close')
    this.ready = new Promise((resolve, reject) => {
      this.process.stdout!.setEncoding('utf8').on('data', (part: string) => {
        this.#text += part
        if (this.#text.startsWith('ready\n')) resolve()
      })
      this.process.stderr!.setEncoding('utf8').on('data', (part: string) => {
        this.#errors += part
      })
      void this.#closed.then(() => reject(new Error(`${this.#name}: ${this.#errors}`)))
    })
    this.ready.catch(() => {})
  }

  /** Its last line, when it has ended. @throws Error when that is no result */
  async result(): Promise<Said> {
    await this.#closed
    const line = this.#text.trim().split('\n').at(-1) ?? ''
    try {
      return JSON.parse(line) as Said
    } catch {
      throw new Error(`${this.#name} said no result: ${this.#errors || this.#text}`)
    }
  }

  end(): void {
    this.process.kill('SIGKILL')
  }
}
