import { ZcrxError } from '../errors.ts'

export type BenchErrorCode =
  | 'ZCRX_BENCH_PEER' // a peer in C can't be compiled
  | 'ZCRX_BENCH_REVISION' // the revision that was asked for can't be had or built
  | 'ZCRX_BENCH_FORM' // a bench's result is not of the form that this one reads
  | 'ZCRX_BENCH_MARKER' // the page has no place for what was measured

/** A bench can't be run, or its result not be used. */
export class BenchError extends ZcrxError {
  declare readonly code: BenchErrorCode

  constructor(code: BenchErrorCode, message: string, remedy = '', options?: ErrorOptions) {
    super(code, message, remedy, options)
    this.name = 'BenchError'
  }
}
