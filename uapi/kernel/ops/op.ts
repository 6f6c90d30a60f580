import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'

/** What there is to an opcode. */
export interface OpParts {
  /** IORING_OP_* */
  readonly code: number
  /** It has flags of its own in `ioprio`. */
  readonly ioprio?: true
  /** It may take its memory from a group of buffers (IOSQE_BUFFER_SELECT). */
  readonly bufferSelect?: true
  /** It works on a ring with IOPOLL. */
  readonly iopoll?: true
  /** What can be wrong with an entry before it is its turn: 0 or minus errno. It changes nothing. */
  prepare(context: RingPort, sqe: Sqe): number
  /** Starts an entry whose turn it is. Every outcome, errors included, is a completion. */
  start(context: RingPort, sqe: Sqe): void
}

/** An opcode that is served. All are of this one class: dispatch sees one shape. */
export class Op {
  readonly code: number
  readonly ioprio: boolean
  readonly bufferSelect: boolean
  readonly iopoll: boolean
  readonly prepare: OpParts['prepare']
  readonly start: OpParts['start']

  constructor(parts: OpParts) {
    this.code = parts.code
    this.ioprio = parts.ioprio === true
    this.bufferSelect = parts.bufferSelect === true
    this.iopoll = parts.iopoll === true
    this.prepare = parts.prepare
    this.start = parts.start
  }
}
