import type { SinkSpec } from '../cli/parse.ts'
import { FileSink } from './file.ts'
import { DiscardSink, HashSink } from './memory.ts'
import type { Sink } from './sink.ts'

export type { FsyncPolicy } from '../../sinks/operations.ts'
export type { Leftovers, Sink, SinkResult, SinkStream, StreamContext } from './sink.ts'

/** @throws ZcrxError when the sink can't be used */
export async function createSink(spec: SinkSpec): Promise<Sink> {
  switch (spec.kind) {
    case 'discard':
      return new DiscardSink()
    case 'hash':
      return new HashSink()
    case 'file':
      return FileSink.create(spec.directory, spec)
  }
}
