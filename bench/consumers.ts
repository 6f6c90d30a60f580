import { createHash } from 'node:crypto'
import { closeSync, openSync, writev } from 'node:fs'
import type { WasmLines } from './wasm-lines.ts'

/** What becomes of received data. */
export const CONSUMERS = ['discard', 'hash', 'lines', 'file'] as const
export type ConsumerName = (typeof CONSUMERS)[number]

/** Pieces in one writev, at the most. */
const BATCH = 256

/** One stream's consumer. */
export interface Consumer {
  /** Returns whether it is done with the bytes; if not, `done` is called when it is. */
  take(bytes: Uint8Array, done: () => void): boolean
  /** Resolves when nothing is left to be done. */
  end(): Promise<void>
}

class Hash implements Consumer {
  readonly #hash = createHash('sha1')

  take(bytes: Uint8Array): boolean {
    this.#hash.update(bytes)
    return true
  }

  end(): Promise<void> {
    this.#hash.digest()
    return Promise.resolve()
  }
}

class Lines implements Consumer {
  readonly #wasm: WasmLines

  constructor(wasm: WasmLines) {
    this.#wasm = wasm
  }

  take(bytes: Uint8Array): boolean {
    this.#wasm.take(bytes)
    return true
  }

  end(): Promise<void> {
    return Promise.resolve()
  }
}

/** Writes what has come meanwhile with one call. */
class File implements Consumer {
  readonly #fd: number
  #pieces: Uint8Array[] = []
  #dones: (() => void)[] = []
  #busy = false
  #at = 0
  #idle: (() => void) | null = null

  constructor(path: string) {
    this.#fd = openSync(path, 'w')
  }

  take(bytes: Uint8Array, done: () => void): boolean {
    this.#pieces.push(bytes)
    this.#dones.push(done)
    if (!this.#busy) this.#write()
    return false
  }

  #write(): void {
    const pieces = this.#pieces.splice(0, BATCH)
    const dones = this.#dones.splice(0, BATCH)
    this.#busy = pieces.length > 0
    if (!this.#busy) {
      this.#idle?.()
      return
    }
    writev(this.#fd, pieces, this.#at, (error, written) => {
      if (error !== null) throw error
      this.#at += written
      for (const done of dones) done()
      this.#write()
    })
  }

  async end(): Promise<void> {
    if (this.#busy)
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    closeSync(this.#fd)
  }
}

/** @param path of the file, where it is one @param wasm who counts lines */
export function consumer(name: ConsumerName, path: string, wasm: WasmLines): Consumer {
  if (name === 'hash') return new Hash()
  if (name === 'lines') return new Lines(wasm)
  if (name === 'file') return new File(path)
  return { take: () => true, end: () => Promise.resolve() }
}
