import { EINVAL, EOPNOTSUPP } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { Sqe } from '../abi/sqe.ts'
import { LINKS, prepare } from './ops/dispatch.ts'
import type { RingPort } from './port.ts'
import { Entry } from './request.ts'
import { timeoutOf } from './timespec.ts'

/** The ring whose entries these are: `RingContext` says more of each. */
interface Submitter extends RingPort {
  /** Something submitted earlier has not completed. */
  readonly busy: boolean
  /** Runs an entry whose turn it is. */
  start(sqe: Sqe): void
  /** It waits for its turn, until it is started or cancelled. */
  keep(entry: Entry): void
  /** Completes entries that never run. */
  cancelChain(first: Entry | null, silent: boolean): void
}

/** Entries of the submission queue in the order and groups that their flags ask for (IOSQE_IO_LINK, IO_DRAIN). */
export class Submission {
  readonly #context: Submitter
  /** The chain that is being put together. */
  #head: Entry | null = null
  #last: Entry | null = null
  /** It must wait for all that was submitted before. */
  #draining = false
  /** A drain inside a chain holds for what follows the chain too. */
  #drainNext = false
  #skipUsed = false
  /** Chains behind a drain, in order. */
  readonly #deferred: { entry: Entry; drain: boolean }[] = []

  constructor(context: Submitter) {
    this.#context = context
  }

  /** The entry that comes next belongs to the latest. */
  get chaining(): boolean {
    return this.#head !== null
  }

  /** Nothing waits behind a drain. */
  get idle(): boolean {
    return this.#deferred.length === 0
  }

  /** False when the entry is wrong and ends what it is in. @param bytes the slot that `sqe` looks at */
  add(sqe: Sqe, bytes: Uint8Array): boolean {
    const { flags } = sqe
    const error = prepare(this.#context, sqe)
    const plain = (flags & (LINKS | abi.IOSQE_IO_DRAIN)) === 0 && error === 0
    if (plain && this.#head === null && !this.#drainNext && this.idle) {
      if ((flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0) this.#skipUsed = true
      if (sqe.opcode !== abi.IORING_OP_LINK_TIMEOUT) {
        this.#context.start(sqe)
        return true
      }
    }
    const entry = new Entry(bytes, this.#context)
    this.#context.keep(entry)
    entry.refused = error === 0 ? this.#check(entry) : error
    if ((flags & abi.IOSQE_IO_DRAIN) !== 0 && entry.refused === 0) {
      this.#draining = true
      this.#drainNext = this.#head !== null
    } else if (this.#head === null && this.#drainNext) {
      this.#draining = true
      this.#drainNext = false
    }
    if (this.#last === null) this.#head = entry
    else this.#last.next = entry
    this.#last = entry
    if ((flags & LINKS) !== 0) return true
    this.end()
    return entry.refused === 0
  }

  /** The chain is complete, by its last entry or by the end of the batch. */
  end(): void {
    const head = this.#head
    if (head === null) return
    const drain = this.#draining
    this.#head = null
    this.#last = null
    this.#draining = false
    this.#deferred.push({ entry: head, drain })
    this.release()
  }

  /** Starts what need not wait any longer. */
  release(): void {
    for (let first = this.#deferred[0]; first !== undefined; first = this.#deferred[0]) {
      if (first.drain && this.#context.busy) return
      this.#deferred.shift()
      this.#begin(first.entry)
    }
  }

  /** One refused entry ends its whole chain: none of it runs. */
  #begin(head: Entry): void {
    let refused = false
    for (let entry: Entry | null = head; entry !== null; entry = entry.next) refused ||= entry.refused !== 0
    if (refused) this.#context.cancelChain(head, false)
    else this.#context.start(head)
  }

  #check(entry: Entry): number {
    const { flags, opcode } = entry
    if ((flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0) this.#skipUsed = true
    // Requests are counted by their completions: Linux has no drain either where some have none.
    if ((flags & abi.IOSQE_IO_DRAIN) !== 0 && this.#skipUsed) return -EOPNOTSUPP
    if (opcode !== abi.IORING_OP_LINK_TIMEOUT) return 0
    const afterNone = this.#last === null || this.#last.opcode === abi.IORING_OP_LINK_TIMEOUT
    if (afterNone) return -EINVAL
    const timespec = timeoutOf(this.#context.space, entry)
    if (typeof timespec === 'number') return timespec
    entry.timespec = timespec
    return 0
  }
}
