import { ArgumentError } from '../../driver/errors.ts'
import type { Census } from '../../stack/memory/page-pool.ts'
import * as abi from '../abi/constants.ts'
import { ECANCELED, EEXIST, EINVAL, ETIME } from '../abi/errno.ts'
import { Sqe } from '../abi/sqe.ts'
import type { HeldReport, IfqStats } from '../ring/ifq-info.ts'
import { RingMemory } from '../ring/memory.ts'
import type { RingBackend } from '../ring/ring.ts'
import type { Entry } from './entry.ts'
import type { Kernel } from './kernel.ts'
import { execute } from './opcodes.ts'
import { register } from './register.ts'
import { regionOfOffset } from './register-ifq.ts'
import type { Request } from './request.ts'
import { Submission } from './submission.ts'
import { LinkTimeoutRequest, type TimeoutRequest } from './timeout.ts'
import type { ZcrxIfq } from './zcrx.ts'

interface Completion {
  readonly userDataLow: number
  readonly userDataHigh: number
  readonly res: number
  readonly flags: number
}

/** The kernel side of one ring: consumes submissions, keeps requests, posts completions. */
export class RingContext implements RingBackend {
  readonly kernel: Kernel
  readonly memory: RingMemory
  readonly flags: number
  /** Requests without their last completion, oldest first. */
  readonly active: Set<Request> = new Set()
  /** Interface queues by zcrx id. */
  readonly ifqs: ZcrxIfq[] = []
  /** Timeouts that count completions. */
  readonly counting: Set<TimeoutRequest> = new Set()
  /** Completions of timeouts that fired: they are not counted. */
  timeoutCompletions = 0
  /** Inside the submission of a batch: completions other than data wait for its end. */
  submitting = false
  readonly #sqes: Sqe[] = []
  readonly #overflow: Completion[] = []
  readonly #late: Completion[] = []
  /** Events that happened and were not posted yet. */
  readonly #events: Completion[] = []
  #work: Request[] = []
  #running: Request[] = []
  #cqTail = 0
  /** Regions that the ring provided, by zcrx id. */
  readonly #regions = new Map<number, Uint8Array>()
  readonly #slots: Uint8Array[] = []
  readonly #submission: Submission = new Submission(this)
  /** Links whose turn has come. */
  readonly #ready: Entry[] = []
  #entered = false

  constructor(kernel: Kernel, memory: RingMemory, flags: number) {
    this.kernel = kernel
    this.memory = memory
    this.flags = flags
    for (let i = 0; i < memory.sqEntries; i++) {
      const slot = memory.sqes.subarray(i * Sqe.SIZE, (i + 1) * Sqe.SIZE)
      this.#slots.push(slot)
      this.#sqes.push(new Sqe(slot, this))
    }
  }

  addressOf(bytes: Uint8Array): number {
    return this.kernel.space.addressOf(bytes)
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    // An application's callback must not enter the ring it is called from.
    if (this.#entered) return -EEXIST
    this.#entered = true
    try {
      this.#flushOverflow()
      const consumed = this.#submit(toSubmit)
      if ((flags & abi.IORING_ENTER_GETEVENTS) === 0) {
        this.kernel.flush()
        return consumed
      }
      const waited = this.#getEvents(minComplete, timeoutMs)
      return consumed > 0 ? consumed : waited
    } finally {
      this.#entered = false
    }
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return register(this, opcode, arg, nrArgs)
  }

  /** An instance that this ring holds from now on. Returns its id here. */
  addIfq(ifq: ZcrxIfq): number {
    return this.ifqs.push(ifq) - 1
  }

  census(zcrxId: number): Census {
    return this.#ifq(zcrxId).census()
  }

  ifqStats(zcrxId: number): IfqStats {
    return this.#ifq(zcrxId).stats
  }

  watchHeld(zcrxId: number, afterMs: number, report: ((report: HeldReport) => void) | null): void {
    this.kernel.watchHeld(this.#ifq(zcrxId), afterMs, report)
  }

  #ifq(zcrxId: number): ZcrxIfq {
    const ifq = this.ifqs[zcrxId]
    if (ifq === undefined) throw new ArgumentError(`zcrx id ${zcrxId} is none of this ring's`)
    return ifq
  }

  /** The region of this id is the ring's own memory, for mmap. */
  provideRegion(id: number, region: Uint8Array): void {
    this.#regions.set(id, region)
  }

  /** mmap(2) of the ring's descriptor: memory of its own, or minus errno. @param length bytes, at most what there is */
  mmap(offset: number, length: number): Uint8Array | number {
    const region = this.#regions.get(regionOfOffset(offset))
    if (region === undefined || length > region.length) return -EINVAL
    return region.subarray(0, length)
  }

  close(): void {
    for (const request of [...this.active]) request.detach()
    this.active.clear()
    for (const ifq of this.ifqs) ifq.leave(this)
    this.ifqs.length = 0
    this.kernel.forgetContext(this)
    this.kernel.flush()
  }

  /** Completions that fit now; less than none when the user has moved the head backwards. */
  cqSpace(): number {
    return (
      this.memory.cqEntries - ((this.#cqTail - Atomics.load(this.memory.control, RingMemory.CQ_HEAD)) | 0)
    )
  }

  /** Completions in the queue so far, those of timeouts that fired aside. */
  get completions(): number {
    return (this.#cqTail - this.timeoutCompletions) | 0
  }

  /** Puts a request on the list of those with something to do at the next entry. */
  schedule(request: Request): void {
    if (request.scheduled || request.finished) return
    request.scheduled = true
    this.#work.push(request)
    this.#showWork()
  }

  #showWork(): void {
    if ((this.flags & abi.IORING_SETUP_TASKRUN_FLAG) === 0) return
    Atomics.or(this.memory.control, RingMemory.SQ_FLAGS, abi.IORING_SQ_TASKRUN)
  }

  #hideWork(): void {
    if ((this.flags & abi.IORING_SETUP_TASKRUN_FLAG) === 0) return
    Atomics.and(this.memory.control, RingMemory.SQ_FLAGS, ~abi.IORING_SQ_TASKRUN)
  }

  /** Posts a completion; to the overflow list when the queue is full, so that none is lost. */
  complete(request: Request, res: number, flags: number): void {
    const last = (flags & abi.IORING_CQE_F_MORE) === 0
    const failed = last && request.failedWith(res)
    const skips = (request.flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0
    // RECV_ZC has its completions whatever it asks for (kernel record point 19).
    if (!last || failed || !skips || request.opcode === abi.IORING_OP_RECV_ZC)
      this.#queue(request, res, flags)
    if (last) this.#completed(request, failed, skips)
  }

  /** A request that waits: it can be cancelled, and the time behind it runs. */
  track(request: Request): void {
    this.active.add(request)
    const { limitEntry } = request
    if (limitEntry === null) return
    request.limitEntry = null
    request.limit = new LinkTimeoutRequest(request, limitEntry, limitEntry.timespec!)
    this.active.add(request.limit)
  }

  /** Runs an entry whose turn it is. */
  start(sqe: Sqe): void {
    execute(this, sqe)
  }

  /** Something submitted earlier has not completed. */
  get busy(): boolean {
    return this.active.size > 0 || this.#ready.length > 0
  }

  /** Completes entries that never run. @param silent without completions: the request before asked for none */
  cancelChain(first: Entry | null, silent: boolean): void {
    for (let entry = first; entry !== null && !silent; entry = entry.next) {
      this.#queue(entry, entry.refused || -ECANCELED, 0)
    }
  }

  #queue(of: Pick<Request, 'userDataLow' | 'userDataHigh'>, res: number, flags: number): void {
    const completion = { userDataLow: of.userDataLow, userDataHigh: of.userDataHigh, res, flags }
    // Completions of a batch are posted at its end, behind the data completions (kernel record point 31).
    if (this.submitting) this.#late.push(completion)
    else {
      this.#postEvents()
      this.#post(completion)
    }
  }

  /** Tells an event behind the data that caused it, and ahead of what ends that request (kernel record point 55). */
  postEvent(userDataLow: number, userDataHigh: number, type: number): void {
    this.#events.push({ userDataLow, userDataHigh, res: type, flags: 0 })
    this.#showWork()
  }

  #completed(request: Request, failed: boolean, skips: boolean): void {
    this.active.delete(request)
    const { limit, limitEntry, next } = request
    if (limit !== null) {
      request.limit = null
      limit.finish(-ECANCELED)
    } else if (limitEntry !== null) this.#queue(limitEntry, -ECANCELED, 0)
    if (next === null) return
    if (failed && (request.flags & abi.IOSQE_IO_HARDLINK) === 0) this.cancelChain(next, skips)
    else {
      this.#ready.push(next)
      this.#showWork()
    }
  }

  /**
   * Posts a zero-copy data completion. The caller has checked `cqSpace`: data completions never go to the overflow list.
   * No object is made. Follow a batch with `publish`. @param offLow,offHigh halves of `off`
   */
  postData(request: Request, res: number, offLow: number, offHigh: number): void {
    const { cqes, cqEntries, cqeWords } = this.memory
    const at = (this.#cqTail & (cqEntries - 1)) * cqeWords
    cqes[at] = request.userDataLow
    cqes[at + 1] = request.userDataHigh
    cqes[at + 2] = res
    cqes[at + 3] = abi.IORING_CQE_F_MORE
    cqes[at + 4] = offLow
    cqes[at + 5] = offHigh
    cqes[at + 6] = 0
    cqes[at + 7] = 0
    this.#cqTail = (this.#cqTail + 1) | 0
  }

  /** Shows the user what `postData` wrote (store-release of the tail): once per batch, as it costs a bus lock. */
  publish(): void {
    Atomics.store(this.memory.control, RingMemory.CQ_TAIL, this.#cqTail)
  }

  #post(completion: Completion): void {
    if (this.#overflow.length > 0 || this.cqSpace() <= 0) {
      this.#overflow.push(completion)
      Atomics.or(this.memory.control, RingMemory.SQ_FLAGS, abi.IORING_SQ_CQ_OVERFLOW)
      return
    }
    this.#write(completion)
  }

  #write(completion: Completion): void {
    const { cqes, cqEntries, cqeWords } = this.memory
    const at = (this.#cqTail & (cqEntries - 1)) * cqeWords
    cqes[at] = completion.userDataLow
    cqes[at + 1] = completion.userDataHigh
    cqes[at + 2] = completion.res
    cqes[at + 3] = completion.flags
    for (let i = 4; i < cqeWords; i++) cqes[at + i] = 0
    this.#cqTail = (this.#cqTail + 1) | 0
    Atomics.store(this.memory.control, RingMemory.CQ_TAIL, this.#cqTail)
  }

  #flushOverflow(): void {
    if (this.#overflow.length === 0) return
    const count = Math.max(0, Math.min(this.#overflow.length, this.cqSpace()))
    for (let i = 0; i < count; i++) this.#write(this.#overflow[i]!)
    this.#overflow.splice(0, count)
    if (this.#overflow.length === 0) {
      Atomics.and(this.memory.control, RingMemory.SQ_FLAGS, ~abi.IORING_SQ_CQ_OVERFLOW)
    }
  }

  #submit(toSubmit: number): number {
    const { control, sqEntries } = this.memory
    const head = Atomics.load(control, RingMemory.SQ_HEAD)
    const ready = (Atomics.load(control, RingMemory.SQ_TAIL) - head) | 0
    const count = Math.min(toSubmit, Math.max(0, Math.min(ready, sqEntries)))
    if (count === 0) return 0
    this.submitting = true
    for (let i = 0; i < count; i++) {
      const at = (head + i) & (sqEntries - 1)
      this.#submission.add(this.#sqes[at]!, this.#slots[at]!)
    }
    this.#submission.end()
    this.submitting = false
    Atomics.store(control, RingMemory.SQ_HEAD, (head + count) | 0)
    for (const completion of this.#late) this.#post(completion)
    this.#late.length = 0
    // Task work: where it is deferred, links go on at the next wait.
    if ((this.flags & abi.IORING_SETUP_DEFER_TASKRUN) === 0) this.#runReady()
    this.#countTimeouts()
    return count
  }

  #getEvents(minComplete: number, timeoutMs: number): number {
    let deadline = -1
    minComplete = Math.min(minComplete, this.memory.cqEntries)
    for (;;) {
      const work = this.kernel.poll()
      this.#runWork()
      this.#runReady()
      this.#flushOverflow()
      this.#countTimeouts()
      if (this.memory.cqEntries - this.cqSpace() >= minComplete) break
      if (work > 0 || this.#work.length > 0 || this.#ready.length > 0) continue
      const now = performance.now()
      if (deadline < 0) deadline = now + timeoutMs
      if (now >= deadline) return -ETIME
      this.kernel.flush()
      if (!this.kernel.sleep(deadline - now)) return -EINVAL
    }
    this.kernel.flush()
    return 0
  }

  #postEvents(): void {
    if (this.#events.length === 0) return
    for (const event of this.#events) this.#post(event)
    this.#events.length = 0
    if (this.#work.length === 0 && this.#ready.length === 0) this.#hideWork()
  }

  /** Links and drained entries whose turn has come; what they complete at once brings the next ones. */
  #runReady(): void {
    for (let at = 0; at < this.#ready.length || !this.#submission.idle; ) {
      if (at === this.#ready.length) {
        this.#ready.length = 0
        at = 0
        this.#submission.release()
        if (this.#ready.length === 0) break
      }
      this.start(this.#ready[at++]!)
    }
    this.#ready.length = 0
  }

  #countTimeouts(): void {
    if (this.counting.size === 0) return
    const { completions } = this
    for (const timeout of [...this.counting]) timeout.completed(completions)
  }

  #runWork(): void {
    if (this.#work.length === 0 && this.#ready.length === 0 && this.#events.length === 0) return
    this.#hideWork()
    this.#postEvents()
    const running = this.#work
    this.#work = this.#running
    this.#running = running
    for (let i = 0; i < running.length; i++) {
      const request = running[i]!
      request.scheduled = false
      if (!request.finished) request.run()
    }
    running.length = 0
    this.#postEvents()
  }
}
