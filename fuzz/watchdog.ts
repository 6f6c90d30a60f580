import { writeFileSync } from 'node:fs'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { inputName } from './files.ts'

/** What both threads see. */
interface Shared {
  /** Number of the input that runs, 0 between inputs; its length. */
  readonly state: Int32Array
  readonly input: Uint8Array
  /** Milliseconds. */
  readonly limit: number
  /** Bytes of resident memory. */
  readonly memory: number
  readonly directory: string
}

const RUNNING = 0
const LENGTH = 1
const SAMPLE_MS = 20

/**
 * Ends the process when an input runs for too long, or fills the memory: what the thread that runs it could not do. The input
 * is saved first.
 */
export class Watchdog {
  readonly #shared: Shared
  readonly #worker: Worker
  #count = 0

  /** @param memory bytes of resident memory of the whole process @param directory where inputs are saved */
  constructor(options: { limit: number; memory: number; longest: number; directory: string }) {
    this.#shared = {
      state: new Int32Array(new SharedArrayBuffer(8)),
      input: new Uint8Array(new SharedArrayBuffer(options.longest)),
      limit: options.limit,
      memory: options.memory,
      directory: options.directory,
    }
    // It keeps the process alive, even when an input waits for what never comes.
    this.#worker = new Worker(new URL(import.meta.url), { workerData: this.#shared })
  }

  begin(bytes: Uint8Array): void {
    this.#shared.input.set(bytes)
    Atomics.store(this.#shared.state, LENGTH, bytes.length)
    Atomics.store(this.#shared.state, RUNNING, ++this.#count & 0x7fff_ffff || 1)
  }

  end(): void {
    Atomics.store(this.#shared.state, RUNNING, 0)
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

function watch({ state, input, limit, memory, directory }: Shared): void {
  let last = 0
  let since = performance.now()
  setInterval(() => {
    const running = Atomics.load(state, RUNNING)
    const now = performance.now()
    if (running !== last) {
      last = running
      since = now
    }
    if (running === 0) return
    const resident = process.memoryUsage.rss()
    // The thread itself reports what ends a little late.
    const hangs = now - since > 2 * limit + SAMPLE_MS
    if (!hangs && resident <= memory) return
    const bytes = input.slice(0, Atomics.load(state, LENGTH))
    const why = hangs ? `does not end within ${2 * limit} ms` : `fills ${resident} bytes of memory`
    const name = inputName(hangs ? 'hang' : 'memory', bytes)
    writeFileSync(`${directory}/${name}`, bytes)
    // What a worker prints goes through the thread that hangs.
    writeFileSync(2, `an input of ${bytes.length} bytes ${why}: saved as ${directory}/${name}\n`)
    process.kill(process.pid, 'SIGKILL')
  }, SAMPLE_MS)
}

if (!isMainThread && parentPort !== null && (workerData as Partial<Shared> | null)?.state !== undefined) {
  watch(workerData as Shared)
}
