import type { Channel } from './channel.ts'

/** A channel without room is looked at again after so long. */
const RETRY_MS = 20

export interface OutletOptions {
  /** Most bytes that wait; what exceeds them is dropped. Default 1 MiB. */
  readonly maxBytes?: number
  /** A line that tells of so many dropped ones; default: nothing is told. */
  readonly droppedLine?: (count: number) => string
}

/** A piece that waits; `dropped` is how many it tells of. */
interface Piece {
  readonly bytes: Uint8Array
  readonly dropped: number
}

/**
 * Text on its way out, which nobody ever waits for: it is queued while the channel has no room, and dropped and counted when
 * too much waits or the channel fails. Errors are not thrown, and a channel that failed is tried again with the next piece.
 */
export class Outlet {
  /** Pieces that were dropped, ever. */
  dropped = 0
  /** Of the latest piece that could not be written; null when the latest could. */
  error: NodeJS.ErrnoException | null = null
  readonly #channel: Channel
  readonly #maxBytes: number
  readonly #droppedLine: ((count: number) => string) | null
  readonly #queue: Piece[] = []
  #waiting = 0
  /** Bytes of the first piece that are written. */
  #done = 0
  /** The last thing written was a piece that did not end. */
  #torn = false
  /** Dropped since that was last told. */
  #untold = 0
  #busy = false
  #retry: NodeJS.Timeout | undefined
  #drained: (() => void)[] = []

  constructor(channel: Channel, { maxBytes = 1 << 20, droppedLine }: OutletOptions = {}) {
    this.#channel = channel
    this.#maxBytes = maxBytes
    this.#droppedLine = droppedLine ?? null
  }

  /** A piece, which ends in a line feed. */
  write(text: string): void {
    const bytes = Buffer.from(text)
    if (this.#waiting > 0 && this.#waiting + bytes.length > this.#maxBytes) {
      this.#drop()
      return
    }
    this.#tell()
    this.#push(bytes, 0)
    this.#pump()
  }

  /** Waits until everything is written or dropped, at most `ms` milliseconds. False: something still waits. */
  async drain(ms: number): Promise<boolean> {
    this.#tell()
    this.#pump()
    if (this.#queue.length === 0) return true
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms)
      this.#drained.push(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }

  /** Writes what can be written at once: the process ends. */
  flushNow(): void {
    this.#tell()
    // What is being written is in the hands of a thread, which ends before the process does.
    const queue = this.#queue.splice(this.#busy ? 1 : 0)
    if (queue.length === 0) return
    let bytes = Buffer.concat(queue.map((piece) => piece.bytes))
    if (!this.#busy) bytes = bytes.subarray(this.#done)
    try {
      while (bytes.length > 0) bytes = bytes.subarray(this.#channel.writeNow(bytes))
    } catch {
      // There is nobody left to tell.
    }
  }

  #push(bytes: Uint8Array, dropped: number): void {
    this.#queue.push({ bytes, dropped })
    this.#waiting += bytes.length
  }

  #drop(): void {
    this.dropped += 1
    this.#untold += 1
  }

  /** What is written from now on comes behind what was dropped. */
  #tell(): void {
    if (this.#untold === 0 || this.#droppedLine === null) return
    this.#push(Buffer.from(this.#droppedLine(this.#untold)), this.#untold)
    this.#untold = 0
  }

  #pump(): void {
    while (!this.#busy && this.#retry === undefined) {
      const first = this.#queue[0]
      if (first === undefined) {
        for (const drained of this.#drained.splice(0)) drained()
        return
      }
      this.#busy = true
      const torn = this.#torn && this.#done === 0
      const rest = first.bytes.subarray(this.#done)
      let told = false
      this.#channel.write(torn ? Buffer.concat([LINE_FEED, rest]) : rest, (error, count) => {
        this.#busy = false
        if (error?.code === 'EAGAIN') this.#later()
        else if (error !== null) this.#failed(first, error)
        else this.#wrote(first, count, torn)
        if (told) this.#pump()
      })
      // A channel that tells at once goes round this loop, not deeper into calls.
      told = true
    }
  }

  #later(): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#pump()
    }, RETRY_MS)
    this.#retry.unref()
  }

  #wrote(piece: Piece, count: number, torn: boolean): void {
    this.error = null
    if (torn && count > 0) {
      this.#torn = false
      count -= LINE_FEED.length
    }
    this.#done += count
    if (this.#done === piece.bytes.length) this.#next()
  }

  #failed(piece: Piece, error: NodeJS.ErrnoException): void {
    this.error = error
    this.#torn ||= this.#done > 0
    if (piece.dropped === 0) this.#drop()
    else this.#untold += piece.dropped
    this.#next()
  }

  #next(): void {
    this.#waiting -= this.#queue.shift()!.bytes.length
    this.#done = 0
  }
}

const LINE_FEED: Uint8Array = Uint8Array.of(10)
