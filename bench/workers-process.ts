import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A process of the `workers` bench that does what it is told, one order after the other. */
export class Subject<Order extends object, Figures> {
  /** Resolves when it takes orders. */
  readonly ready: Promise<unknown>
  readonly #process: ChildProcess

  /** @param script its name in this directory @param prefix a command that it is run by */
  constructor(script: string, given: object, prefix: readonly string[] = []) {
    const child = fileURLToPath(new URL(script, import.meta.url))
    const [command, ...args] = [...prefix, process.execPath, child, JSON.stringify(given)]
    this.#process = spawn(command!, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.ready = this.next()
    this.ready.catch(() => {})
  }

  /** What it says next. */
  async next(): Promise<unknown> {
    const over = new AbortController()
    const { signal } = over
    try {
      return await Promise.race([
        once(this.#process, 'message', { signal }).then(([message]) => message),
        once(this.#process, 'exit', { signal }).then(([code]) => {
          throw new Error(`a process that was measured ended with status ${code}`)
        }),
      ])
    } finally {
      over.abort()
    }
  }

  async run(order: Order): Promise<Figures> {
    this.#process.send(order)
    return (await this.next()) as Figures
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }
}
