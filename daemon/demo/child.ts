import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ZcrxError } from '../api.ts'
import { type LinkEnd, NetworkPair, systemEnvironment } from '../netns.ts'
import type { FailureReply } from './protocol.ts'

/** How long a child may take to give everything back before it is killed. */
const STOP_MS = 5000

interface Waiting<Reply> {
  readonly type: string
  resolve(reply: Reply): void
  reject(error: Error): void
}

/** A child process of the demo and the conversation with it. */
export class Program<Request extends object, Reply extends { type: string }> {
  /** Sees every message nobody waits for. */
  onMessage: ((reply: Reply) => void) | undefined
  readonly #child: ChildProcess
  readonly #name: string
  readonly #exited: Promise<void>
  #waiting: Waiting<Reply>[] = []
  #failure: Error | undefined

  /** @param end namespace to run in; absent: this one */
  constructor(name: 'sender' | 'receiver', end?: LinkEnd) {
    this.#name = name
    // A child built by tsc lies beside this file.
    const path = fileURLToPath(new URL(`./${name}.js`, import.meta.url))
    const enter = end === undefined ? undefined : NetworkPair.enter(end)
    this.#child = fork(path, [], {
      ...(enter === undefined
        ? {}
        : { execPath: enter.command, execArgv: [...enter.args, process.execPath] }),
      env: systemEnvironment(),
      // Results go to stdout; whatever a child prints must not mix with them.
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    this.#child.on('message', (message) => this.#take(message as Reply | FailureReply))
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#fail(new Error(`the ${name} ended unexpectedly (${signal ?? `status ${code}`})`))
        resolve()
      })
      this.#child.once('error', (error) => {
        this.#fail(new Error(`the ${name} could not be started: ${error.message}`, { cause: error }))
        resolve()
      })
    })
  }

  send(request: Request): void {
    if (this.#child.connected) this.#child.send(request)
  }

  /** The next reply of `type`. @throws ZcrxError or Error when the child reports a failure or ends first */
  expect<T extends Reply['type']>(type: T): Promise<Extract<Reply, { type: T }>> {
    const promise = new Promise<Reply>((resolve, reject) => {
      if (this.#failure === undefined) this.#waiting.push({ type, resolve, reject })
      else reject(this.#failure)
    })
    // Whoever waits sees the failure; nobody may have come to wait yet.
    promise.catch(() => {})
    return promise as Promise<Extract<Reply, { type: T }>>
  }

  /** Makes whoever waits fail with `error`. */
  abandon(error: Error): void {
    this.#fail(error)
  }

  /** Asks the child to end, waits until it has, kills it if it doesn't. @param request asks; absent: SIGTERM */
  async stop(request?: Request): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      if (request !== undefined && this.#failure === undefined) this.send(request)
      else this.#child.kill('SIGTERM')
    }
    this.#failure ??= new Error(`the ${this.#name} was stopped`)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await this.#exited
    clearTimeout(timer)
  }

  #take(message: Reply | FailureReply): void {
    if (message.type === 'failure') {
      this.#fail(errorOf(this.#name, message as FailureReply))
      return
    }
    const reply = message as Reply
    const index = this.#waiting.findIndex(({ type }) => type === reply.type)
    if (index < 0) this.onMessage?.(reply)
    else this.#waiting.splice(index, 1)[0]!.resolve(reply)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(this.#failure)
  }
}

function errorOf(name: string, failure: FailureReply): Error {
  const { code, message, remedy, stack } = failure
  const cause = new Error(message)
  cause.stack = stack
  if (!code.startsWith('ZCRX')) return new Error(`the ${name} failed: ${message}`, { cause })
  const tail = `: ${remedy}`
  const bare = remedy !== '' && message.endsWith(tail) ? message.slice(0, -tail.length) : message
  return new ZcrxError(code, bare, remedy, { cause })
}
