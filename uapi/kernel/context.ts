import { EAGAIN, EBADFD, ECANCELED, EEXIST, EINVAL, ETIME } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import { POLLIN, POLLOUT } from '../abi/poll.ts'
import { Sqe } from '../abi/sqe.ts'
import type { AddressSpace } from './address-space.ts'
import { BufferGroups } from './buffers.ts'
import { type Completion, CompletionQueue } from './completion-queue.ts'
import { DirectTargets } from './direct.ts'
import type { OpenFile } from './files.ts'
import { FixedFiles, type UserData } from './fixed-files.ts'
import { RingKeeper } from './keeper.ts'
import type { Ledger } from './ledger.ts'
import { mapRegion } from './memmap.ts'
import { execute } from './ops/dispatch.ts'
import { LinkTimeoutRequest } from './ops/timeout.ts'
import { Personalities } from './personality.ts'
import type { KernelPort, RingFile, RingPort } from './port.ts'
import type { Process } from './process.ts'
import { register } from './register.ts'
import { type Counting, Entry, type Request } from './request.ts'
import { RequestList } from './request-list.ts'
import { Rings } from './rings.ts'
import { SERVED_ENTER_FLAGS } from './setup.ts'
import { Submission } from './submission.ts'
import type { ZcrxIfq } from './zcrx.ts'

/** What a ring itself needs of the kernel: `Kernel` says more of each. */
interface RingKernel extends KernelPort {
  poll(): number
  flush(): void
  sleep(timeoutMs: number): boolean
  forgetContext(context: RingContext): void
  deliver(direct: DirectTargets, unasked: boolean): void
  /** See `RingContext.attended`. */
  attend(context: RingContext, attended: boolean): void
}

/** The kernel side of one ring: consumes submissions, keeps requests, posts completions. */
export class RingContext implements RingPort, RingFile {
  readonly kind = 'ring'
  readonly kernel: RingKernel
  readonly process: Process
  readonly memory: Rings
  readonly flags: number
  /** Requests without their last completion, oldest first. */
  readonly active: RequestList = new RequestList()
  /** Interface queues by zcrx id. */
  readonly ifqs: ZcrxIfq[] = []
  readonly direct: DirectTargets = new DirectTargets()
  readonly files: FixedFiles = new FixedFiles(this)
  readonly buffers: BufferGroups
  readonly personalities: Personalities = new Personalities()
  /** Timeouts that count completions. */
  readonly counting: Set<Counting> = new Set()
  /** Completions of timeouts that fired: they are not counted. */
  timeoutCompletions = 0
  /** Inside the submission of a batch: completions other than data wait for its end. */
  submitting = false
  readonly keeper: RingKeeper
  readonly cq: CompletionQueue
  /** Where requests in flight are written down, for a user on another thread; null: nowhere. */
  ledger: Ledger | null = null
  /** How long (milliseconds) entries are taken at once, chains as a whole: of a ring among others of which each has its turn. */
  sliceMs: number = Number.POSITIVE_INFINITY
  /** Entries are taken without being entered while `attended`; whoever only blocks in `enter` is told how many of his were. */
  taking = false
  /** The latest entries were not all taken because of that. */
  cut = false
  #attended = false
  /** The entry that is looked at: a copy, which nobody can change meanwhile. */
  readonly #entryBytes = new Uint8Array(Sqe.SIZE)
  readonly #sqe: Sqe = new Sqe(this.#entryBytes, this)
  readonly #late: Completion[] = []
  /** By task work: events, messages, notifications. */
  readonly #events: Completion[] = []
  #work: Request[] = []
  #running: Request[] = []
  readonly #slots: Uint8Array[]
  readonly #submission: Submission = new Submission(this)
  /** Links whose turn has come. */
  readonly #ready: Entry[] = []
  #entered = false
  /** Set up with R_DISABLED and not enabled yet. */
  disabled: boolean
  #fd = -1

  constructor(kernel: RingKernel, process: Process, memory: Rings, flags: number) {
    this.kernel = kernel
    this.process = process
    this.keeper = new RingKeeper(process.files.keeper)
    this.buffers = new BufferGroups(process.space, this.keeper)
    this.memory = memory
    this.flags = flags
    this.disabled = (flags & abi.IORING_SETUP_R_DISABLED) !== 0
    this.cq = new CompletionQueue(memory, flags, this.keeper)
    this.#slots = memory.slots()
    if (this.sqPoll) Atomics.or(memory.control, Rings.SQ_FLAGS, abi.IORING_SQ_NEED_WAKEUP)
  }

  /** What the addresses in its entries and structures are addresses in. */
  get space(): AddressSpace {
    return this.process.space
  }

  get sqPoll(): boolean {
    return (this.flags & abi.IORING_SETUP_SQPOLL) !== 0
  }

  /** Task work waits for the application to ask for events. */
  get deferred(): boolean {
    return (this.flags & abi.IORING_SETUP_DEFER_TASKRUN) !== 0
  }

  get ringFd(): number {
    if (this.#fd < 0) this.#fd = this.process.files.open(this)
    return this.#fd
  }

  /** The descriptor alone does not keep a ring: `close` ends it. */
  release(): void {
    this.#fd = -1
  }

  addressOf(bytes: Uint8Array): number {
    return this.space.addressOf(bytes)
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    if ((flags & ~SERVED_ENTER_FLAGS) !== 0) return -EINVAL
    if (this.disabled) return -EBADFD
    // An application's callback must not enter the ring it is called from.
    if (this.#entered) return -EEXIST
    this.#entered = true
    try {
      this.cq.flushOverflow()
      const polled = this.sqPoll || this.taking
      if (polled && (this.#attended || (flags & abi.IORING_ENTER_SQ_WAKEUP) !== 0)) this.pollSubmissions()
      const consumed = polled ? toSubmit : this.#submit(toSubmit)
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

  /** The kernel works for it at every poll: what is pending runs, as if somebody were always in `enter`; with `taking` it takes entries too. */
  get attended(): boolean {
    return this.#attended
  }

  set attended(attended: boolean) {
    if (attended === this.#attended) return
    this.#attended = attended
    this.kernel.deliver(this.direct, attended)
    if (!this.sqPoll) this.kernel.attend(this, attended)
  }

  /** What the thread of a ring with SQPOLL would do: takes every entry and runs what is due. Returns how much that was. */
  pollSubmissions(): number {
    if (this.submitting || this.disabled) return 0
    if (this.#attended) this.cq.flushOverflow()
    let taken = 0
    // A lap at most: whoever keeps on submitting meanwhile, or lies about the tail, is not waited for.
    const lap = this.sqPoll || this.taking ? this.memory.sqEntries : 0
    for (let count = 1; count > 0 && taken < lap && !this.cut; taken += count)
      count = Math.max(0, this.#submit(lap - taken))
    this.cut = false
    const work = this.#work.length + this.#ready.length
    this.#runWork()
    this.#runReady()
    if (this.#attended) this.#countTimeouts()
    return taken + work
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return register(this, opcode, arg, nrArgs)
  }

  /** The same, by the address of the structure that the opcode takes; 0 = none. Where nothing lies it has no byte: EFAULT. */
  registerAt(opcode: number, address: number, nrArgs: number): number {
    const arg = address === 0 ? null : (this.space.from(address) ?? new Uint8Array(0))
    return this.register(opcode, arg, nrArgs)
  }

  /** An instance that this ring holds from now on. Returns its id here. */
  addIfq(ifq: ZcrxIfq): number {
    this.direct.add(ifq, this.cq)
    return this.ifqs.push(ifq) - 1
  }

  mmap(offset: number, length: number): Uint8Array | number {
    return mapRegion(this, offset, length)
  }

  close(): void {
    for (const request of [...this.active]) if (!request.cancelled) request.detach()
    this.active.clear()
    this.keeper.end()
    this.files.clear()
    for (const ifq of this.ifqs) ifq.leave(this)
    this.ifqs.length = 0
    this.direct.clear()
    if (this.#fd >= 0) this.process.files.close(this.#fd)
    this.kernel.forgetContext(this)
    this.kernel.flush()
  }

  /** What an entry works on: its `fd` is a descriptor, or a slot with IOSQE_FIXED_FILE. Null when that names nothing. */
  fileOf(sqe: Sqe): OpenFile | null {
    if ((sqe.flags & abi.IOSQE_FIXED_FILE) === 0) return this.process.files.get(sqe.fd)
    return this.files.get(sqe.fd)?.file ?? null
  }

  cqSpace(): number {
    return this.cq.dataSpace()
  }

  /** Slots of completions in the queue so far, timeouts that fired aside. */
  get completions(): number {
    return (this.cq.tail - this.timeoutCompletions) | 0
  }

  /** Entering the ring would do something: completions that overflowed, or task work. */
  get hasWork(): boolean {
    return this.cq.overflown || this.#work.length > 0 || this.#ready.length > 0 || this.#events.length > 0
  }

  /** Whoever waits outside of `enter` has something to come for. */
  get wakes(): boolean {
    return !this.#entered && (this.cq.used > 0 || this.hasWork)
  }

  /** What poll(2) says of the ring's descriptor. */
  pollEvents(): number {
    const { control, sqEntries } = this.memory
    const queued = (Atomics.load(control, Rings.SQ_TAIL) - Atomics.load(control, Rings.SQ_HEAD)) | 0
    return (queued < sqEntries ? POLLOUT : 0) | (this.cq.used > 0 || this.hasWork ? POLLIN : 0)
  }

  /** Puts a request on the list of those with something to do at the next entry. */
  schedule(request: Request): void {
    if (request.scheduled || request.finished) return
    request.scheduled = true
    this.#work.push(request)
    this.#showWork()
  }

  #showWork(): void {
    if (this.cq.pollers.length > 0) this.cq.wakePollers()
    if ((this.flags & abi.IORING_SETUP_TASKRUN_FLAG) === 0) return
    Atomics.or(this.memory.control, Rings.SQ_FLAGS, abi.IORING_SQ_TASKRUN)
  }

  #hideWork(): void {
    if ((this.flags & abi.IORING_SETUP_TASKRUN_FLAG) === 0) return
    Atomics.and(this.memory.control, Rings.SQ_FLAGS, ~abi.IORING_SQ_TASKRUN)
  }

  /** Posts the last completion of a request; to the overflow list when the queue is full, so that none is lost. */
  complete(request: Request, res: number, flags: number, extra: readonly number[] | null = null): void {
    const failed = request.failedWith(res)
    const skips = (request.flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0
    if (failed || !skips) this.#queue(request, res, flags, extra)
    this.#completed(request, failed, skips)
  }

  /** Posts a completion with MORE at once. False when there is no room: the request ends with it instead. */
  postMore(request: Request, res: number, flags: number): boolean {
    for (const completion of this.#late) this.cq.post(completion)
    this.#late.length = 0
    if (!this.submitting) this.#postEvents()
    const { userDataLow, userDataHigh } = request
    flags |= abi.IORING_CQE_F_MORE
    return this.cq.tryPost({ userDataLow, userDataHigh, res, flags, extra: null })
  }

  /** A request that waits: it can be cancelled, and the time behind it runs. */
  track(request: Request): void {
    this.active.add(request)
    this.keep(request)
    const { limitEntry } = request
    if (limitEntry === null) return
    request.limitEntry = null
    request.limit = new LinkTimeoutRequest(request, limitEntry, limitEntry.timespec!)
    this.active.add(request.limit)
    this.keep(request.limit)
  }

  /** Runs an entry whose turn it is. */
  start(sqe: Sqe): void {
    if (sqe instanceof Entry) {
      this.#letGo(sqe)
      // Its time limit goes with it (`Request`).
      if (sqe.limit !== null) this.#letGo(sqe.limit)
    }
    execute(this, sqe)
  }

  /** Something waits: a request, or an entry for its turn, until it is started or cancelled. */
  keep(what: UserData & { slot: number }): void {
    this.keeper.add(1)
    if (this.ledger !== null) what.slot = this.ledger.enter(what.userDataLow, what.userDataHigh)
  }

  #letGo(what: { slot: number }): void {
    this.keeper.remove(1)
    if (what.slot >= 0) this.ledger?.leave(what.slot)
    what.slot = -1
  }

  /** Something submitted earlier has not completed. */
  get busy(): boolean {
    return this.active.size > 0 || this.#ready.length > 0
  }

  /** Completes entries that never run. @param silent without completions: the request before asked for none */
  cancelChain(first: Entry | null, silent: boolean): void {
    for (let entry = first; entry !== null; entry = entry.next) {
      this.#letGo(entry)
      if (!silent) this.#queue(entry, entry.refused || -ECANCELED, 0)
    }
  }

  #queue(of: UserData, res: number, flags: number, extra: readonly number[] | null = null): void {
    const completion = { userDataLow: of.userDataLow, userDataHigh: of.userDataHigh, res, flags, extra }
    // Completions of a batch are posted at its end, behind the data completions, as Linux flushes them.
    if (this.submitting) this.#late.push(completion)
    else {
      this.#postEvents()
      this.cq.post(completion)
    }
  }

  /** Tells an event behind the data that caused it, and ahead of what ends that request (docs/conformance.md, C5). */
  postEvent(userDataLow: number, userDataHigh: number, type: number): void {
    this.postLater({ userDataLow, userDataHigh }, type, 0)
  }

  /** A completion of no request that comes by task work. */
  postLater(of: UserData, res: number, flags: number): void {
    if (this.keeper.full) {
      this.cq.drop()
      return
    }
    this.keeper.add(1)
    this.#events.push({ userDataLow: of.userDataLow, userDataHigh: of.userDataHigh, res, flags, extra: null })
    this.#showWork()
  }

  /** A completion of no request, from elsewhere: at once, unless task work is deferred. */
  postAux(of: UserData, res: number, flags: number): void {
    if (this.deferred) this.postLater(of, res, flags)
    else {
      const { userDataLow, userDataHigh } = of
      this.cq.post({ userDataLow, userDataHigh, res, flags, extra: null })
    }
  }

  #completed(request: Request, failed: boolean, skips: boolean): void {
    if (this.active.delete(request)) this.#letGo(request)
    request.fixed?.drop()
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

  /** Posts a zero-copy data completion: `CompletionQueue.postData`. */
  postData(request: Request, res: number, offLow: number, offHigh: number): void {
    this.cq.postData(request.userDataLow, request.userDataHigh, res, offLow, offHigh)
  }

  /** Shows the user what `postData` wrote. */
  publish(): void {
    this.cq.publish()
  }

  #submit(toSubmit: number): number {
    const { control, sqEntries } = this.memory
    this.cut = false
    const head = Atomics.load(control, Rings.SQ_HEAD)
    const ready = (Atomics.load(control, Rings.SQ_TAIL) - head) | 0
    const count = Math.min(toSubmit, Math.max(0, Math.min(ready, sqEntries)))
    if (count === 0) return 0
    if (this.keeper.full) return -EAGAIN
    const stops = (this.flags & abi.IORING_SETUP_SUBMIT_ALL) === 0
    let taken = 0
    this.submitting = true
    const end = performance.now() + this.sliceMs
    for (let good = true; taken < count && (good || !stops); taken++) {
      if (taken > 0 && this.keeper.full) break
      if ((taken & 15) === 15 && !this.#submission.chaining && performance.now() >= end) {
        this.cut = true
        break
      }
      const at = (head + taken) & (sqEntries - 1)
      this.#entryBytes.set(this.#slots[at]!)
      good = this.#submission.add(this.#sqe, this.#entryBytes)
    }
    this.#submission.end()
    this.submitting = false
    Atomics.store(control, Rings.SQ_HEAD, (head + taken) | 0)
    for (const completion of this.#late) this.cq.post(completion)
    this.#late.length = 0
    // Task work: where it is deferred, links go on at the next wait.
    if (!this.deferred) {
      this.#runWork()
      this.#runReady()
      this.#postEvents()
    }
    this.#countTimeouts()
    return taken
  }

  #getEvents(minComplete: number, timeoutMs: number): number {
    let deadline = -1
    minComplete = Math.min(minComplete, this.memory.cqEntries)
    for (;;) {
      const work = this.direct.during(this.kernel)
      this.#runWork()
      this.#runReady()
      this.cq.flushOverflow()
      this.#countTimeouts()
      // Polled I/O is looked for once: nothing can wake who waits for it.
      if (this.cq.used >= minComplete || (this.flags & abi.IORING_SETUP_IOPOLL) !== 0) break
      if (work > 0 || this.#work.length > 0 || this.#ready.length > 0 || this.#events.length > 0) continue
      const now = performance.now()
      if (deadline < 0) deadline = now + timeoutMs
      // As io_uring_enter(2): time is up for nothing only, not for fewer than were waited for.
      const late = this.cq.used > 0 ? 0 : -ETIME
      if (now >= deadline) return late
      this.kernel.flush()
      if (!this.kernel.sleep(deadline - now)) return timeoutMs === Number.POSITIVE_INFINITY ? -EINVAL : late
    }
    this.kernel.flush()
    return 0
  }

  #postEvents(): void {
    if (this.#events.length === 0) return
    this.keeper.remove(this.#events.length)
    for (const event of this.#events) this.cq.post(event)
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
      // What a link has scheduled runs in front of the next one, as task work in its order does.
      if (at > 0) this.#runWork()
      this.start(this.#ready[at++]!)
    }
    if (this.#ready.length === 0) return
    this.#ready.length = 0
    // Each of the chain has shown work that is done now.
    if (this.#work.length === 0 && this.#events.length === 0) this.#hideWork()
  }

  #countTimeouts(): void {
    if (this.counting.size === 0) return
    const { completions } = this
    for (const timeout of [...this.counting]) timeout.completed(completions)
  }

  #runWork(): void {
    if (this.#work.length === 0 && this.#ready.length === 0 && this.#events.length === 0) return
    this.#hideWork()
    const running = this.#work
    this.#work = this.#running
    this.#running = running
    for (let i = 0; i < running.length; i++) {
      const request = running[i]!
      request.scheduled = false
      if (request.cancelled) request.finish(-ECANCELED)
      else if (!request.finished) request.run()
    }
    running.length = 0
    this.#postEvents()
  }
}
