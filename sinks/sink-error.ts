import { ZcrxError } from '../errors.ts'

/** Received bytes could not be stored. `code` is the system's (`ENOSPC`, `EEXIST` …), `cause` its error; the connection was reset. */
export class SinkError extends ZcrxError {
  /** What was stored before, bytes. */
  readonly bytes: number
  /** Where that lies; empty where there is nothing. */
  readonly path: string

  constructor(cause: NodeJS.ErrnoException, bytes: number, path: string, remedy = '') {
    super(cause.code ?? 'ZCRX_SINK', cause.message, remedy, { cause })
    this.name = 'SinkError'
    this.bytes = bytes
    this.path = path
  }
}
