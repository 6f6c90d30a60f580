import { type Addresser, Sqe } from '../abi/sqe.ts'
import type { Timespec } from './timeout.ts'

/** An entry that waits for its turn: a copy, as its slot in the queue is the application's again. */
export class Entry extends Sqe {
  /** The entry that runs when this one has completed. */
  next: Entry | null = null
  /** Minus the errno it was refused with before it could run. */
  refused = 0
  /** Of a LINK_TIMEOUT. */
  timespec: Timespec | null = null

  constructor(from: Uint8Array, addresser: Addresser) {
    super(from.slice(), addresser)
  }
}
