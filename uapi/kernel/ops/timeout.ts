import { ECANCELED, EINVAL, ENOENT, ETIME } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { Request, type RequestPort } from '../request.ts'
import type { Timed } from '../timers.ts'
import { type Timespec, timeoutOf, timespecAt } from '../timespec.ts'
import { Op } from './op.ts'
import { begin, reply } from './reply.ts'

export const timeout: Op = new Op({ code: abi.IORING_OP_TIMEOUT, prepare, start })

/** It belongs to the entry before it (`Submission`, `RingContext.track`); alone it is nothing. */
export const linkTimeout: Op = new Op({
  code: abi.IORING_OP_LINK_TIMEOUT,
  prepare: (context, sqe) => (sqe.off === 0 ? prepare(context, sqe) : -EINVAL),
  start: (context, sqe) => reply(context, sqe, -EINVAL),
})

export const timeoutRemove: Op = new Op({
  code: abi.IORING_OP_TIMEOUT_REMOVE,
  prepare: prepareRemove,
  start: (context, sqe) => remove(context, sqe, (res) => reply(context, sqe, res)),
})

function prepare(context: RingPort, sqe: Sqe): number {
  if (sqe.addr3 !== 0 || sqe.pad2 !== 0 || sqe.bufGroup !== 0 || sqe.fileIndex !== 0) return -EINVAL
  const timespec = timeoutOf(context.space, sqe)
  return typeof timespec === 'number' ? timespec : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const timespec = timeoutOf(context.space, sqe)
  if (typeof timespec === 'number') reply(context, sqe, timespec)
  else begin(new TimeoutRequest(context, sqe, timespec), true)
}

function prepareRemove(_context: RingPort, sqe: Sqe): number {
  if ((sqe.flags & abi.IOSQE_FIXED_FILE) !== 0) return -EINVAL
  return sqe.bufGroup !== 0 || sqe.len !== 0 || sqe.fileIndex !== 0 ? -EINVAL : 0
}

/** TIMEOUT_REMOVE is about a LINK_TIMEOUT. */
const OF_LINKED = abi.IORING_LINK_TIMEOUT_UPDATE

/** The entry's own completion comes before that of the timeout it ends, as a cancel's does. */
function remove(context: RingPort, sqe: Sqe, answer: (res: number) => void): void {
  const flags = sqe.opFlags
  const updating = (flags & (abi.IORING_TIMEOUT_UPDATE | OF_LINKED)) !== 0
  const known = updating ? abi.IORING_TIMEOUT_UPDATE | abi.IORING_TIMEOUT_ABS | OF_LINKED : 0
  if (sqe.len !== 0 || (flags & ~known) !== 0) {
    answer(-EINVAL)
    return
  }
  const timespec = updating ? timespecAt(context.space, sqe.off, flags) : null
  if (typeof timespec === 'number') {
    answer(timespec)
    return
  }
  const Wanted = (flags & OF_LINKED) !== 0 ? LinkTimeoutRequest : TimeoutRequest
  for (const request of context.active) {
    if (!(request instanceof Wanted)) continue
    if (request.userDataLow !== sqe.addrLow || request.userDataHigh !== sqe.addrHigh) continue
    answer(0)
    if (timespec === null) request.finish(-ECANCELED)
    else request.update(timespec)
    return
  }
  answer(-ENOENT)
}

/** A request with a time at which it goes on by itself. */
abstract class TimedRequest extends Request implements Timed {
  /** Microseconds of the stacks' clock; written by `KernelTimers` alone. */
  deadline = Number.POSITIVE_INFINITY
  protected expired = false

  arm(timespec: Timespec): void {
    const { timers, now } = this.context.kernel
    timers.remove(this)
    this.expired = false
    timers.add(this, timespec.us + (timespec.absolute ? 0 : now))
  }

  /** The time has come; the ring's next entry says so. */
  expire(): void {
    this.expired = true
    this.context.schedule(this)
  }

  override detach(): void {
    this.context.kernel.timers.remove(this)
  }
}

/** After a time, or when so many other requests have completed. */
class TimeoutRequest extends TimedRequest {
  readonly #flags: number
  #timespec: Timespec
  /** Completions to wait for, 0 = none; of a multishot how often it fires, 0 = for ever. */
  #count: number
  readonly #since: number

  constructor(context: RequestPort, sqe: Sqe, timespec: Timespec) {
    super(context, sqe)
    this.#flags = sqe.opFlags
    this.#timespec = timespec
    this.#count = sqe.off
    this.#since = context.completions
  }

  get #multishot(): boolean {
    return (this.#flags & abi.IORING_TIMEOUT_MULTISHOT) !== 0
  }

  wait(): void {
    this.arm(this.#timespec)
    if (this.#count > 0 && !this.#multishot) this.context.counting.add(this)
  }

  /** TIMEOUT_REMOVE with UPDATE: another time, and no completions are counted any more. */
  update(timespec: Timespec): void {
    this.context.counting.delete(this)
    this.#timespec = timespec
    this.arm(timespec)
  }

  /** The ring has had this many completions, those of timeouts aside. */
  completed(completions: number): void {
    if (((completions - this.#since) | 0) < this.#count) return
    this.context.timeoutCompletions++
    this.finish(0)
  }

  override failedWith(res: number): boolean {
    if (res === -ETIME && (this.#flags & abi.IORING_TIMEOUT_ETIME_SUCCESS) !== 0) return false
    return res < 0
  }

  override run(): void {
    if (!this.expired) return
    this.context.timeoutCompletions++
    const goesOn = this.#multishot && (this.#count === 0 || --this.#count > 0)
    if (goesOn && this.context.postMore(this, -ETIME, 0)) this.arm(this.#timespec)
    else this.finish(-ETIME)
  }

  override detach(): void {
    super.detach()
    this.context.counting.delete(this)
  }
}

/** Cancels the request before it. */
export class LinkTimeoutRequest extends TimedRequest {
  readonly #limited: Request

  constructor(limited: Request, sqe: Sqe, timespec: Timespec) {
    super(limited.context, sqe)
    this.#limited = limited
    this.arm(timespec)
  }

  /** TIMEOUT_REMOVE with LINK_TIMEOUT_UPDATE: another time. */
  update(timespec: Timespec): void {
    this.arm(timespec)
  }

  override run(): void {
    if (!this.expired) return
    this.#limited.limit = null
    this.context.timeoutCompletions++
    this.finish(-ETIME)
    this.#limited.finish(-ECANCELED)
  }
}
