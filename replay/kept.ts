import { MemorySink } from '../pcap/file/writer.ts'
import { type RecordedFrame, type RecordTaker, RecordWriter } from './recorder.ts'

/** What a replay keeps for expectations, unless told not to: enough for any test, little of a large capture. */
const MOST_COMPLETIONS = 65_536
const MOST_FRAMES = 65_536
const MOST_BYTES = 32 << 20

/** A data completion of the ring. */
export interface KeptCompletion {
  /** Where the data lay in the area. */
  readonly offset: number
  /** Its bytes, in memory of their own. */
  readonly bytes: Uint8Array
}

/** Completions of every stream and the packets of the run, as far as they are few. */
export class Kept implements RecordTaker {
  readonly #completions = new Map<string, KeptCompletion[]>()
  readonly #frames: RecordedFrame[] = []
  /** Something was too much to be kept. */
  incomplete = false
  #count = 0
  #bytes = 0
  #recorded = 0

  /** @param key whose they are */
  completion(key: string, area: Uint8Array, offset: number, length: number): void {
    if (this.#count === MOST_COMPLETIONS || this.#bytes + length > MOST_BYTES) {
      this.incomplete = true
      return
    }
    this.#count++
    this.#bytes += length
    const list = this.#completions.get(key)
    const completion = { offset, bytes: area.slice(offset, offset + length) }
    if (list === undefined) this.#completions.set(key, [completion])
    else list.push(completion)
  }

  /** What one stream received, completion by completion. */
  completions(key: string): readonly KeptCompletion[] {
    return this.#completions.get(key) ?? []
  }

  /** What our endpoints received and sent. */
  get frames(): readonly RecordedFrame[] {
    return this.#frames
  }

  frame(frame: RecordedFrame): boolean {
    if (this.#frames.length === MOST_FRAMES || this.#recorded + frame.bytes.length > MOST_BYTES) {
      this.incomplete = true
      return false
    }
    this.#recorded += frame.bytes.length
    this.#frames.push(frame)
    return true
  }

  close(): void {}

  /** The capture of the run, pcapng. */
  capture(): Uint8Array {
    const sink = new MemorySink()
    const writer = new RecordWriter(sink)
    for (const frame of this.#frames) writer.frame(frame)
    writer.close()
    return sink.bytes()
  }
}

/** Names one direction of one conversation. */
export function streamKey(stream: number, direction: 'client' | 'server'): string {
  return `${stream} ${direction}`
}
