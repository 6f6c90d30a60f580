import * as abi from '../abi/constants.ts'
import { ECANCELED, EFAULT, EINVAL, ENOENT, ETIME } from '../abi/errno.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { Request } from './request.ts'

/** What an entry with a `struct __kernel_timespec` asks for. */
export interface Timespec {
  /** Microseconds, rounded up: of the stacks' clock when absolute, else from when the request starts. */
  readonly us: number
  readonly absolute: boolean
}

/** A request with a time at which it goes on by itself. */
export abstract class TimedRequest extends Request {
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

/** The requests that wait for a time, earliest first. */
export class KernelTimers {
  readonly #queue: TimedRequest[] = []

  add(request: TimedRequest, deadline: number): void {
    request.deadline = deadline
    this.#queue.splice(this.#after(deadline), 0, request)
  }

  remove(request: TimedRequest): void {
    if (request.deadline === Number.POSITIVE_INFINITY) return
    const end = this.#after(request.deadline)
    const at = this.#queue.lastIndexOf(request, end - 1)
    if (at >= 0) this.#queue.splice(at, 1)
    request.deadline = Number.POSITIVE_INFINITY
  }

  nextDeadline(): number {
    return this.#queue[0]?.deadline ?? Number.POSITIVE_INFINITY
  }

  expireUntil(now: number): void {
    const count = this.#queue.length === 0 ? 0 : this.#after(now)
    if (count === 0) return
    for (const request of this.#queue.splice(0, count)) {
      request.deadline = Number.POSITIVE_INFINITY
      request.expire()
    }
  }

  /** Place behind all that are due at `deadline`. */
  #after(deadline: number): number {
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#queue[middle]!.deadline <= deadline) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** IORING_OP_TIMEOUT: after a time, or when so many other requests have completed. */
export class TimeoutRequest extends TimedRequest {
  readonly #flags: number
  #timespec: Timespec
  /** Completions to wait for, 0 = none; of a multishot how often it fires, 0 = for ever. */
  #count: number
  readonly #since: number

  constructor(context: RingContext, sqe: Sqe, timespec: Timespec) {
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

/** IORING_OP_LINK_TIMEOUT: cancels the request before it. */
export class LinkTimeoutRequest extends TimedRequest {
  readonly #limited: Request

  constructor(limited: Request, sqe: Sqe, timespec: Timespec) {
    super(limited.context, sqe)
    this.#limited = limited
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

/** Reads what TIMEOUT and LINK_TIMEOUT take, with the kernel's checks; minus errno when they fail. */
export function timeoutOf(context: RingContext, sqe: Sqe): Timespec | number {
  const flags = sqe.opFlags
  const known = abi.IORING_TIMEOUT_ABS | abi.IORING_TIMEOUT_ETIME_SUCCESS | abi.IORING_TIMEOUT_MULTISHOT
  if (sqe.len !== 1 || (flags & ~known) !== 0) return -EINVAL
  const both = abi.IORING_TIMEOUT_MULTISHOT | abi.IORING_TIMEOUT_ABS
  if ((flags & both) === both) return -EINVAL
  return timespecAt(context, sqe.addr, flags)
}

/** IORING_OP_TIMEOUT_REMOVE. The entry's own completion comes before that of the timeout it ends, as a cancel's does. */
export function removeTimeout(context: RingContext, sqe: Sqe, answer: (res: number) => void): void {
  const flags = sqe.opFlags
  const updating = (flags & abi.IORING_TIMEOUT_UPDATE) !== 0
  const known = updating ? abi.IORING_TIMEOUT_UPDATE | abi.IORING_TIMEOUT_ABS : 0
  if (sqe.len !== 0 || (flags & ~known) !== 0) {
    answer(-EINVAL)
    return
  }
  const timespec = updating ? timespecAt(context, sqe.off, flags) : null
  if (typeof timespec === 'number') {
    answer(timespec)
    return
  }
  for (const request of context.active) {
    if (!(request instanceof TimeoutRequest)) continue
    if (request.userDataLow !== sqe.addrLow || request.userDataHigh !== sqe.addrHigh) continue
    answer(0)
    if (timespec === null) request.finish(-ECANCELED)
    else request.update(timespec)
    return
  }
  answer(-ENOENT)
}

function timespecAt(context: RingContext, address: number, flags: number): Timespec | number {
  const bytes = context.kernel.space.view(address, 16)
  if (bytes === null) return -EFAULT
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  const seconds = view.getBigInt64(0, true)
  const nanoseconds = view.getBigInt64(8, true)
  if (seconds < 0n || nanoseconds < 0n) return -EINVAL
  const us = Number(seconds) * 1e6 + Math.ceil(Number(nanoseconds) / 1000)
  return { us, absolute: (flags & abi.IORING_TIMEOUT_ABS) !== 0 }
}
