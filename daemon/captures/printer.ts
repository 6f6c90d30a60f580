import { writeSync } from 'node:fs'

/** Characters that are written together: a capture of a scan has a line for each of a million streams. */
const BATCH = 65_536

/** Lines, written in large pieces. */
export class Printer {
  readonly #write: (text: string) => void
  #lines: string[] = []
  #length = 0

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  #scheduled = false

  /** A line; it is written with the next ones, or when the process has nothing else to do. */
  readonly line = (line: string): void => {
    this.#lines.push(line)
    this.#length += line.length
    if (this.#length > BATCH) this.flush()
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    if (this.#lines.length === 0) return
    this.#write(`${this.#lines.join('\n')}\n`)
    this.#lines = []
    this.#length = 0
  }
}

const NAP_MS = 2

/**
 * Writes to standard output and waits until it is taken: a reader that is slower than we are would else have all of it pile up in
 * our memory. Whoever reads may have seen enough (`| head`): that ends the process.
 */
export function writeOut(text: string): void {
  const bytes = Buffer.from(text)
  const nap = new Int32Array(new SharedArrayBuffer(4))
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(1, bytes, done)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') process.exit(0)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(nap, 0, 0, NAP_MS)
    }
  }
}
