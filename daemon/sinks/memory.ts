import { createHash, type Hash } from 'node:crypto'
import type { Connection } from '../api.ts'
import type { Sink, SinkResult, SinkStream, StreamContext } from './sink.ts'

/** Counts bytes and gives them back at once. */
export class DiscardSink implements Sink {
  readonly name = 'discard'

  open(): SinkStream {
    return new DiscardStream()
  }
}

class DiscardStream implements SinkStream {
  #bytes = 0

  data(_offset: number, length: number): boolean {
    this.#bytes += length
    return true
  }

  end(): Promise<SinkResult> {
    return Promise.resolve({ bytes: this.#bytes })
  }
}

/** SHA-256 over every byte, read where the NIC put it. */
export class HashSink implements Sink {
  readonly name = 'hash'

  open(_connection: Connection, context: StreamContext): SinkStream {
    return new HashStream(context)
  }
}

class HashStream implements SinkStream {
  readonly #context: StreamContext
  readonly #hash: Hash = createHash('sha256')
  #bytes = 0

  constructor(context: StreamContext) {
    this.#context = context
  }

  data(offset: number, length: number): boolean {
    this.#hash.update(this.#context.area.subarray(offset, offset + length))
    this.#bytes += length
    return true
  }

  end(): Promise<SinkResult> {
    return Promise.resolve({ bytes: this.#bytes, sha256: this.#hash.digest('hex') })
  }
}
