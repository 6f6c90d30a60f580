import type { Diagnostics } from '../../diagnostics.ts'
import { ArgumentError, type ZcrxError } from '../../errors.ts'
import { EAGAIN, EBUSY, EINTR, errnoName } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import { UringParams } from '../abi/params.ts'
import type { Probe } from '../abi/probe.ts'
import type { SyncCancelReg } from '../abi/requests.ts'
import { Sqe } from '../abi/sqe.ts'
import { ZcrxAreaReg, ZcrxCtrl } from '../abi/structs.ts'
import {
  IORING_ZCRX_AREA_SHIFT,
  ZCRX_CTRL_ADD_AREA,
  ZCRX_CTRL_ARM_EVENT,
  ZCRX_CTRL_EXPORT,
  ZCRX_CTRL_FLUSH_RQ,
  ZCRX_CTRL_REMOVE_AREA,
} from '../abi/zcrx.ts'
import { Arena, borrow } from './arena.ts'
import type { RingBackend, RingHost } from './backend.ts'
import type { BufRing } from './buf-ring.ts'
import { Cqe } from './cqe.ts'
import { type AreaSource, areaReg, type Ifq, type IfqRequest, importIfq, registerIfq } from './ifq.ts'
import { RingMemory } from './memory.ts'
import { Pins } from './pins.ts'
import * as registrations from './registrations.ts'

const LINKS = abi.IOSQE_IO_LINK | abi.IOSQE_IO_HARDLINK

/** `struct io_uring_params`, the part a caller sets. */
export interface RingParams {
  /** IORING_SETUP_*; zero-copy receive needs DEFER_TASKRUN, SINGLE_ISSUER, and CQE32 or CQE_MIXED. */
  readonly flags?: number
  /** Completion queue entries; needs no CQSIZE flag here. Default twice the submission entries. */
  readonly cqEntries?: number
}

/**
 * A ring, as liburing presents one: `getSqe`, `submit`, completions. Whether the other side is this package's stack or a
 * kernel is hidden behind `RingBackend`.
 */
export class Ring {
  /** Memory that the other side of the ring reaches. */
  readonly arena: Arena
  readonly #backend: RingBackend
  readonly #registrar: registrations.Registrar
  readonly #memory: RingMemory
  readonly #pins: Pins
  readonly #sqes: Sqe[] = []
  readonly #cqe: Cqe
  /** Reused: a flush may follow every batch. */
  readonly #ctrl: ZcrxCtrl
  readonly #mixed: boolean
  /** Entries are taken without entering: IORING_SETUP_SQPOLL, or `attend`. */
  #sqPoll: boolean
  #sqTail = 0
  /** Entries in front of it were shown to the kernel. */
  #sqShown = 0
  /** The chain that is being shown has an entry whose success is not told. */
  #chainUntold = false
  #open = true

  private constructor(backend: RingBackend, memory: RingMemory, flags: number) {
    this.#backend = backend
    this.#memory = memory
    this.#pins = new Pins(memory)
    this.arena = new Arena(backend)
    this.#registrar = {
      arena: this.arena,
      register: (opcode, arg, nrArgs) => this.#register(opcode, arg, nrArgs),
      mmap: (offset, length) => backend.mmap(offset, length),
      pinned: (area) => backend.pinned?.(area),
    }
    this.#ctrl = new ZcrxCtrl(this.arena.take(ZcrxCtrl.SIZE))
    this.#cqe = new Cqe(memory)
    this.#mixed = (flags & abi.IORING_SETUP_CQE_MIXED) !== 0
    this.#sqPoll = (flags & abi.IORING_SETUP_SQPOLL) !== 0
    for (const slot of memory.slots()) this.#sqes.push(new Sqe(slot, backend))
  }

  /**
   * `io_uring_queue_init(3)`. @param entries submission entries, rounded up to a power of two, 1..32768
   * @throws ArgumentError where `queueInitParams` answers an errno, with its name
   */
  static queueInit(entries: number, host: RingHost, params: RingParams = {}): Ring {
    const backend = host.ringBackend()
    const ring = Ring.#init(entries, backend, params)
    if (typeof ring !== 'number') return ring
    throw backend.refusal() ?? new ArgumentError(`the ring can't be set up (${errnoName(-ring)})`)
  }

  /** `io_uring_queue_init_params(3)`: as `queueInit`, but answers minus errno where io_uring_setup(2) does. */
  static queueInitParams(entries: number, host: RingHost, params: RingParams = {}): Ring | number {
    return Ring.#init(entries, host.ringBackend(), params)
  }

  static #init(entries: number, backend: RingBackend, { flags = 0, cqEntries }: RingParams): Ring | number {
    const params = new UringParams(new Uint8Array(UringParams.SIZE))
    params.flags = cqEntries === undefined ? flags : flags | abi.IORING_SETUP_CQSIZE
    // What is no count at all is refused as 0 is.
    if (cqEntries !== undefined)
      params.cqEntries = Number.isInteger(cqEntries) && cqEntries > 0 ? cqEntries : 0
    const mapping = backend.open(entries, params)
    return typeof mapping === 'number' ? mapping : new Ring(backend, new RingMemory(mapping, params), flags)
  }

  /** The ring's descriptor, for POLL_ADD and MSG_RING. Given out at its first use. */
  get ringFd(): number {
    return this.#backend.fd
  }

  /**
   * Has the other side work for this ring without being entered, where it can: `submit` then enters only to wake it, as with
   * IORING_SETUP_SQPOLL, and completions come by themselves. False where it can't: `RingBackend.attend`.
   */
  attend(): boolean {
    this.#sqPoll ||= this.#backend.attend()
    return this.#sqPoll
  }

  /** Wakes the other side of a ring that is worked for by itself, if it sleeps: after giving buffers back, for one. */
  wakeUp(): void {
    if (this.#memory.flagged(abi.IORING_SQ_NEED_WAKEUP)) this.#enter(0, 0, abi.IORING_ENTER_SQ_WAKEUP, 0)
  }

  /** The shared memory, for readers of completions that want no object between (`RingMemory`). */
  get memory(): RingMemory {
    return this.#memory
  }

  /** `io_uring_get_sqe(3)`: the next free entry, null when the queue is full (submit first). */
  getSqe(): Sqe | null {
    const head = Atomics.load(this.#memory.control, this.#memory.sqHeadAt)
    if (((this.#sqTail - head) | 0) >= this.#memory.sqEntries) return null
    const sqe = this.#sqes[this.#sqTail & (this.#memory.sqEntries - 1)]!
    sqe.named = null
    this.#sqTail = (this.#sqTail + 1) | 0
    return sqe
  }

  /** `io_uring_submit(3)`: returns the entries submitted or minus errno. */
  submit(): number {
    return this.submitAndWait(0)
  }

  /** `io_uring_submit_and_wait(3)`. */
  submitAndWait(waitNr: number): number {
    return this.submitAndWaitTimeout(waitNr, Number.POSITIVE_INFINITY)
  }

  /** `io_uring_submit_and_wait_timeout(3)`. @param timeoutMs milliseconds */
  submitAndWaitTimeout(waitNr: number, timeoutMs: number): number {
    return this.#submit(waitNr, waitNr > 0 ? abi.IORING_ENTER_GETEVENTS : 0, timeoutMs)
  }

  /** `io_uring_submit_and_get_events(3)`: submits and runs what is pending, without waiting. */
  submitAndGetEvents(): number {
    return this.#submit(0, abi.IORING_ENTER_GETEVENTS, 0)
  }

  /** `io_uring_get_events(3)`: runs what is pending, without submitting or waiting. */
  getEvents(): number {
    this.#checkOpen()
    return this.#enter(0, 0, abi.IORING_ENTER_GETEVENTS, 0)
  }

  /** `io_uring_peek_cqe(3)`: the next completion or null. The object is reused by every call. */
  peekCqe(): Cqe | null {
    const { control, cqHeadAt, cqTailAt } = this.#memory
    for (let entered = false; ; ) {
      const head = control[cqHeadAt]!
      if (head !== Atomics.load(control, cqTailAt)) {
        const cqe = this.#cqe.moveTo(head)
        if (!this.#mixed || (cqe.flags & abi.IORING_CQE_F_SKIP) === 0) return cqe
        this.cqAdvance(1)
        continue
      }
      if (entered || !this.#memory.pending) return null
      entered = true
      this.getEvents()
    }
  }

  /**
   * `io_uring_wait_cqe(3)`: blocks this thread until a completion is there.
   * @throws ArgumentError when nothing can ever complete (a virtual clock with nothing to do)
   */
  waitCqe(): Cqe {
    for (;;) {
      const cqe = this.peekCqe()
      if (cqe !== null) return cqe
      const result = this.#enter(0, 1, abi.IORING_ENTER_GETEVENTS, Number.POSITIVE_INFINITY)
      if (result < 0 && result !== -EAGAIN && result !== -EBUSY) {
        throw new ArgumentError(`no completion can arrive (${errnoName(result)})`, 'submit a request first')
      }
    }
  }

  /** Ring position of the next completion, for readers of `memory`. */
  get cqHead(): number {
    return this.#memory.control[this.#memory.cqHeadAt]!
  }

  /** `io_uring_cq_ready(3)`: completions that wait; with IORING_SETUP_CQE_MIXED the slots they take. */
  cqReady(): number {
    const { control, cqHeadAt, cqTailAt } = this.#memory
    return (Atomics.load(control, cqTailAt) - control[cqHeadAt]!) | 0
  }

  /**
   * Whether entering the ring would do something without anything new happening: a request that let others go first, a link
   * whose turn has come, completions that overflowed. What IORING_SQ_TASKRUN, of a ring with IORING_SETUP_TASKRUN_FLAG, and
   * IORING_SQ_CQ_OVERFLOW say. Ask before sleeping.
   */
  hasWork(): boolean {
    return this.#memory.pending
  }

  /** Calls back once, from the event loop, when entering may bring completions; null takes it back: `RingBackend.arm`. */
  arm(callback: (() => void) | null): void {
    this.#backend.arm(callback)
  }

  /** Whether an armed callback keeps the process alive; default true. */
  keepAlive(on: boolean): void {
    this.#backend.keepAlive(on)
  }

  /** Zeroed pages for an area, with whatever room behind it in the same buffer the device needs. */
  allocateArea(bytes: number): Uint8Array {
    return this.#backend.allocate(bytes, { area: true })
  }

  /** Different `user_data` of requests in flight whose memory the ring holds. */
  get pinned(): number {
    return this.#pins.size
  }

  /** Why the last call that was refused was, where there is more to say than an errno; for people. */
  refusal(): ZcrxError | null {
    return this.#backend.refusal()
  }

  /** What the other side can tell beyond what io_uring says; null where it can't. */
  get diagnostics(): Diagnostics | null {
    return this.#backend.diagnostics
  }

  /** `io_uring_sq_ready(3)`: entries taken with `getSqe` and not yet submitted. */
  sqReady(): number {
    return (this.#sqTail - Atomics.load(this.#memory.control, this.#memory.sqHeadAt)) | 0
  }

  /** `io_uring_sq_space_left(3)` */
  sqSpaceLeft(): number {
    return this.#memory.sqEntries - this.sqReady()
  }

  /**
   * `io_uring_for_each_cqe(3)`: shows each waiting completion. Returns what to give to `cqAdvance`: how many, with
   * IORING_SETUP_CQE_MIXED the slots they take.
   */
  forEachCqe(visit: (cqe: Cqe) => void): number {
    const { control, cqHeadAt, cqTailAt } = this.#memory
    const tail = Atomics.load(control, cqTailAt)
    const first = control[cqHeadAt]!
    for (let head = first; head !== tail; ) {
      const cqe = this.#cqe.moveTo(head)
      head = (head + cqe.nr) | 0
      if (!this.#mixed || (cqe.flags & abi.IORING_CQE_F_SKIP) === 0) visit(cqe)
    }
    return (tail - first) | 0
  }

  /** `io_uring_cq_advance(3)`: gives `count` completions back; with IORING_SETUP_CQE_MIXED slots, `Cqe.nr` for each. */
  cqAdvance(count: number): void {
    const { control, cqHeadAt } = this.#memory
    const head = control[cqHeadAt]!
    if (this.#pins.size > 0) this.#pins.seen(head, count)
    Atomics.store(control, cqHeadAt, (head + count) | 0)
  }

  /** `io_uring_cqe_seen(3)` */
  cqeSeen(cqe: Cqe): void {
    this.cqAdvance(cqe.nr)
  }

  /** `io_uring_enable_rings(3)`, of a ring set up with IORING_SETUP_R_DISABLED. 0 or minus errno. */
  enableRings(): number {
    return this.#register(abi.IORING_REGISTER_ENABLE_RINGS, null, 0)
  }

  /**
   * `io_uring_register_ifq(3)`: the interface queue is restarted and writes into `area` from now on.
   * Returns minus errno when the registration is refused; nothing is changed then.
   */
  registerIfq(request: IfqRequest): Ifq | number {
    this.#checkOpen()
    return registerIfq(this.#registrar, this.diagnostics, request)
  }

  /** `ZCRX_CTRL_EXPORT`: a descriptor that stands for the instance and keeps it alive until it is closed; or minus errno. */
  exportIfq(zcrxId: number): number {
    const ctrl = this.#control(zcrxId, ZCRX_CTRL_EXPORT)
    const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    return result < 0 ? result : ctrl.zcrxFd
  }

  /**
   * `ZCRX_REG_IMPORT`: this ring shares the instance behind an exported descriptor, under an id of its own. Areas and the one
   * refill queue are those of `of`: whoever pushes to it, pushes for all. Minus errno when it is refused.
   */
  importIfq(fd: number, of: Ifq): Ifq | number {
    this.#checkOpen()
    return importIfq(this.#registrar, this.diagnostics, fd, of)
  }

  /**
   * `ZCRX_CTRL_ADD_AREA`: data may lie in this memory too, from now on. Returns the area's id, by which completions and refill
   * entries name it, or minus errno. A NIC that can't write to a second area has data moved there by the CPU, counted as
   * copied, when the first runs short.
   */
  addArea(ifq: Ifq, area: AreaSource): number {
    return borrow(this.arena, (scratch) => {
      const reg = areaReg(this.#registrar, area, scratch.take(ZcrxAreaReg.SIZE))
      const ctrl = this.#control(ifq.zcrxId, ZCRX_CTRL_ADD_AREA)
      ctrl.areaPtr = this.arena.addressOf(reg.bytes)
      const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
      if (result < 0) return result
      const id = reg.rqAreaToken / 2 ** IORING_ZCRX_AREA_SHIFT
      ifq.areas[id] = area instanceof Uint8Array ? area : null
      return id
    })
  }

  /**
   * Gives an area back while the queue lives; not in Linux. No buffer is taken from it from the first call on. 0 once all have
   * come back; EAGAIN while some are out, and the call is to be repeated; EBUSY for the area a NIC writes to; EINVAL for none.
   */
  removeArea(ifq: Ifq, areaId: number): number {
    const ctrl = this.#control(ifq.zcrxId, ZCRX_CTRL_REMOVE_AREA)
    ctrl.areaId = areaId
    const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    if (result === 0) ifq.areas[areaId] = null
    return result
  }

  /** `ZCRX_CTRL_FLUSH_RQ`: moves what is in the refill queue to the free buffers now. 0 or minus errno. */
  flushRq(zcrxId: number): number {
    const ctrl = this.#control(zcrxId, ZCRX_CTRL_FLUSH_RQ)
    return this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /** `ZCRX_CTRL_ARM_EVENT`: ZCRX_EVENT_* `type`, which was told, is to be told again. 0 or minus errno. */
  armEvent(zcrxId: number, type: number): number {
    const ctrl = this.#control(zcrxId, ZCRX_CTRL_ARM_EVENT)
    ctrl.eventType = type
    return this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /**
   * `io_uring_query`: fills `data`, the bytes of the structure that IO_URING_QUERY_* `queryOp` asks for. Returns the bytes
   * that were known, the rest being zeroed, or minus errno.
   */
  query(queryOp: number, data: Uint8Array): number {
    return registrations.query(this.#registrar, queryOp, data)
  }

  /**
   * `io_uring_register_sync_cancel(3)`: cancels without an entry. 0, with IORING_ASYNC_CANCEL_ALL and _ANY how many, or minus
   * errno; what is cancelled has its completion as ever.
   */
  registerSyncCancel(reg: SyncCancelReg): number {
    return registrations.syncCancel(this.#registrar, reg)
  }

  /** `io_uring_get_probe_ring(3)`: which opcodes are served; ask it with `opcodeSupported`. */
  getProbe(): Probe {
    return registrations.probe(this.#registrar)
  }

  /** `io_uring_register_personality(3)`: a number for the process's credentials, or minus errno. */
  registerPersonality(): number {
    return this.#register(abi.IORING_REGISTER_PERSONALITY, null, 0)
  }

  /** `io_uring_unregister_personality(3)`: 0 or minus errno. */
  unregisterPersonality(id: number): number {
    return this.#register(abi.IORING_UNREGISTER_PERSONALITY, null, id)
  }

  /**
   * `io_uring_register_files(3)`: slots that IOSQE_FIXED_FILE counts in; -1 leaves one free. 0 or minus errno.
   * @param tags of each: `user_data` of a completion when nothing uses the file any more, 0 = none
   */
  registerFiles(fds: readonly number[], tags: readonly number[] = []): number {
    return registrations.files(this.#registrar, fds, tags)
  }

  /** `io_uring_register_files_sparse(3)`: as many free slots. 0 or minus errno. */
  registerFilesSparse(count: number): number {
    return registrations.filesSparse(this.#registrar, count)
  }

  /** `io_uring_unregister_files(3)`: 0 or minus errno. */
  unregisterFiles(): number {
    return this.#register(abi.IORING_UNREGISTER_FILES, null, 0)
  }

  /**
   * `io_uring_register_files_update(3)`: new descriptors for the slots from `offset` on; -1 frees one,
   * IORING_REGISTER_FILES_SKIP leaves it. How many slots it came to, or minus errno. @param tags as for `registerFiles`
   */
  registerFilesUpdate(offset: number, fds: readonly number[], tags: readonly number[] = []): number {
    return registrations.filesUpdate(this.#registrar, offset, fds, tags)
  }

  /** `io_uring_register_file_alloc_range(3)`: the slots that IORING_FILE_INDEX_ALLOC may take. 0 or minus errno. */
  registerFileAllocRange(offset: number, length: number): number {
    return registrations.fileAllocRange(this.#registrar, offset, length)
  }

  /**
   * `io_uring_setup_buf_ring(3)`: a ring of provided buffers, in memory of its own. Minus errno when it is refused.
   * @param entries a power of two below 65536 @param bgid group, for `Sqe.setBufGroup` @param flags IOU_PBUF_RING_*
   */
  setupBufRing(entries: number, bgid: number, flags = 0): BufRing | number {
    return registrations.bufRing(this.#registrar, entries, bgid, flags)
  }

  /** `io_uring_free_buf_ring(3)`: 0 or minus errno. */
  freeBufRing(bufRing: Pick<BufRing, 'bgid'>): number {
    return registrations.freeBufRing(this.#registrar, bufRing.bgid)
  }

  /** `io_uring_buf_ring_head(3)`: how many buffers the kernel has taken, modulo 65536, or minus errno. */
  bufRingHead(bgid: number): number {
    return registrations.bufRingHead(this.#registrar, bgid)
  }

  /** `io_uring_queue_exit(3)`: ends every request and gives the queues back. Sockets stay open. */
  queueExit(): void {
    if (!this.#open) return
    this.#open = false
    this.#backend.close()
    this.#pins.clear()
  }

  /** A signal that interrupts the call is none of the caller's business. */
  #enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    let result: number
    do result = this.#backend.enter(toSubmit, minComplete, flags, timeoutMs)
    while (result === -EINTR)
    return result
  }

  /** What the entries name that are about to be shown is held until they have completed. */
  #pin(): void {
    for (; this.#sqShown !== this.#sqTail; this.#sqShown = (this.#sqShown + 1) | 0) {
      const sqe = this.#sqes[this.#sqShown & (this.#memory.sqEntries - 1)]!
      const { flags } = sqe
      // Where success is not told nobody hears of the end, nor of the chain's behind it: that memory is the caller's to keep.
      const untold = this.#chainUntold || (flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0
      this.#chainUntold = untold && (flags & LINKS) !== 0
      if (!untold && (sqe.named !== null || this.#pins.size > 0))
        this.#pins.submitted(sqe.userData, sqe.named)
      sqe.named = null
    }
  }

  #submit(waitNr: number, flags: number, timeoutMs: number): number {
    this.#checkOpen()
    this.#pin()
    // Whoever polls takes them as soon as they are shown.
    const ready = this.sqReady()
    Atomics.store(this.#memory.control, this.#memory.sqTailAt, this.#sqTail)
    if (!this.#sqPoll) return this.#enter(ready, waitNr, flags, timeoutMs)
    if (this.#memory.flagged(abi.IORING_SQ_NEED_WAKEUP)) flags |= abi.IORING_ENTER_SQ_WAKEUP
    return flags === 0 ? ready : this.#enter(ready, waitNr, flags, timeoutMs)
  }

  #control(zcrxId: number, op: number): ZcrxCtrl {
    const ctrl = this.#ctrl
    ctrl.zcrxId = zcrxId
    ctrl.op = op
    // The payload of whatever was asked before: one field of eight bytes at the most.
    ctrl.areaPtr = 0
    return ctrl
  }

  #register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    this.#checkOpen()
    return this.#backend.register(opcode, arg, nrArgs)
  }

  #checkOpen(): void {
    if (!this.#open) throw new ArgumentError('the ring is closed', 'make another with Ring.queueInit')
  }
}
