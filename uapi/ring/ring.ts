import { ArgumentError } from '../../driver/errors.ts'
import type { Census } from '../../stack/memory/page-pool.ts'
import * as abi from '../abi/constants.ts'
import { EAGAIN, EBUSY, errnoName } from '../abi/errno.ts'
import { QueryHdr } from '../abi/query.ts'
import type { SyncCancelReg } from '../abi/requests.ts'
import { Sqe } from '../abi/sqe.ts'
import { ZcrxCtrl } from '../abi/structs.ts'
import { Cqe } from './cqe.ts'
import { type AreaSource, areaReg, type Ifq, type IfqRequest, importIfq, registerIfq } from './ifq.ts'
import type { HeldReport, IfqStats } from './ifq-info.ts'
import { RingMemory } from './memory.ts'

/** Flags that mean something here, or that ask for what is so anyway. Others are refused, not ignored. */
const SERVED_SETUP_FLAGS =
  abi.IORING_SETUP_CQSIZE |
  abi.IORING_SETUP_CLAMP |
  abi.IORING_SETUP_SUBMIT_ALL |
  abi.IORING_SETUP_COOP_TASKRUN |
  abi.IORING_SETUP_TASKRUN_FLAG |
  abi.IORING_SETUP_CQE32 |
  abi.IORING_SETUP_SINGLE_ISSUER |
  abi.IORING_SETUP_DEFER_TASKRUN

/** `struct io_uring_params`, the part a caller sets. */
export interface RingParams {
  /** IORING_SETUP_*; zero-copy receive needs DEFER_TASKRUN and CQE32. */
  readonly flags?: number
  /** Completion queue entries; needs no CQSIZE flag here. Default twice the submission entries. */
  readonly cqEntries?: number
}

/** The kernel side of one ring: what the system calls of io_uring(7) reach. */
export interface RingBackend {
  readonly memory: RingMemory
  /**
   * `io_uring_enter(2)`: consumes up to `toSubmit` entries; with IORING_ENTER_GETEVENTS runs what is pending and waits
   * until `minComplete` completions are there. Returns the entries consumed or minus errno.
   * @param timeoutMs longest wait; Infinity waits for ever
   */
  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number
  /** `io_uring_register(2)`. @param arg structure the opcode takes, read and written */
  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number
  /** Address of memory, for pointers in entries and structures. */
  addressOf(bytes: Uint8Array): number
  /** mmap(2) of the ring's descriptor: memory that the ring provides, or minus errno. @param length bytes */
  mmap(offset: number, length: number): Uint8Array | number
  /** Where the buffers of an instance are, what it has done, and who is to be told what is kept too long. */
  census(zcrxId: number): Census
  ifqStats(zcrxId: number): IfqStats
  watchHeld(zcrxId: number, afterMs: number, report: ((report: HeldReport) => void) | null): void
  close(): void
}

/** Hands out kernel sides of rings. */
export interface RingHost {
  setup(memory: RingMemory, flags: number): RingBackend
}

/**
 * A ring, as liburing presents one: `getSqe`, `submit`, completions. Whether the other side is this package's stack or a
 * kernel is hidden behind `RingBackend`.
 */
export class Ring {
  readonly #backend: RingBackend
  readonly #memory: RingMemory
  readonly #sqes: Sqe[] = []
  readonly #cqe: Cqe
  /** Reused: a flush may follow every batch. */
  readonly #ctrl = new ZcrxCtrl(new Uint8Array(ZcrxCtrl.SIZE))
  #sqTail = 0
  #submitted = 0
  #open = true

  private constructor(backend: RingBackend) {
    this.#backend = backend
    this.#memory = backend.memory
    this.#cqe = new Cqe(this.#memory)
    for (let i = 0; i < this.#memory.sqEntries; i++) {
      this.#sqes.push(new Sqe(this.#memory.sqes.subarray(i * Sqe.SIZE, (i + 1) * Sqe.SIZE), backend))
    }
  }

  /**
   * `io_uring_queue_init_params(3)`. @param entries submission entries, rounded up to a power of two, 1..32768
   * @throws ArgumentError
   */
  static queueInit(entries: number, host: RingHost, params: RingParams = {}): Ring {
    const flags = params.flags ?? 0
    if ((flags & ~SERVED_SETUP_FLAGS) !== 0) {
      throw new ArgumentError(
        `set-up flags 0x${((flags & ~SERVED_SETUP_FLAGS) >>> 0).toString(16)} are not served`,
        'a ring runs on the thread that enters it: leave out SQPOLL, IOPOLL and the like',
      )
    }
    const sqEntries = roundEntries(entries, abi.IORING_MAX_ENTRIES, flags, 'entries')
    const cqEntries = roundEntries(
      params.cqEntries ?? sqEntries * 2,
      abi.IORING_MAX_ENTRIES * 2,
      flags,
      'cqEntries',
    )
    if (cqEntries < sqEntries) {
      throw new ArgumentError(`cqEntries ${cqEntries} is less than entries ${sqEntries}`)
    }
    const words = (flags & abi.IORING_SETUP_CQE32) !== 0 ? 8 : 4
    return new Ring(host.setup(new RingMemory(sqEntries, cqEntries, words), flags))
  }

  /** The shared memory, for readers of completions that want no object between (`RingMemory`). */
  get memory(): RingMemory {
    return this.#memory
  }

  /** `io_uring_get_sqe(3)`: the next free entry, null when the queue is full (submit first). */
  getSqe(): Sqe | null {
    const head = Atomics.load(this.#memory.control, RingMemory.SQ_HEAD)
    if (((this.#sqTail - head) | 0) >= this.#memory.sqEntries) return null
    const sqe = this.#sqes[this.#sqTail & (this.#memory.sqEntries - 1)]!
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
    return this.#backend.enter(0, 0, abi.IORING_ENTER_GETEVENTS, 0)
  }

  /** `io_uring_peek_cqe(3)`: the next completion or null. The object is reused by every call. */
  peekCqe(): Cqe | null {
    const control = this.#memory.control
    const head = control[RingMemory.CQ_HEAD]!
    if (head === Atomics.load(control, RingMemory.CQ_TAIL)) {
      if ((Atomics.load(control, RingMemory.SQ_FLAGS) & abi.IORING_SQ_CQ_OVERFLOW) === 0) return null
      this.getEvents()
      if (head === Atomics.load(control, RingMemory.CQ_TAIL)) return null
    }
    return this.#cqe.moveTo(head)
  }

  /**
   * `io_uring_wait_cqe(3)`: blocks this thread until a completion is there.
   * @throws ArgumentError when nothing can ever complete (a virtual clock with nothing to do)
   */
  waitCqe(): Cqe {
    for (;;) {
      const cqe = this.peekCqe()
      if (cqe !== null) return cqe
      const result = this.#backend.enter(0, 1, abi.IORING_ENTER_GETEVENTS, Number.POSITIVE_INFINITY)
      if (result < 0 && result !== -EAGAIN && result !== -EBUSY) {
        throw new ArgumentError(`no completion can arrive (${errnoName(result)})`, 'submit a request first')
      }
    }
  }

  /** Ring position of the next completion, for readers of `memory`. */
  get cqHead(): number {
    return this.#memory.control[RingMemory.CQ_HEAD]!
  }

  /** `io_uring_cq_ready(3)` */
  cqReady(): number {
    const control = this.#memory.control
    return (Atomics.load(control, RingMemory.CQ_TAIL) - control[RingMemory.CQ_HEAD]!) | 0
  }

  /** `io_uring_sq_ready(3)`: entries taken with `getSqe` and not yet submitted. */
  sqReady(): number {
    return (this.#sqTail - this.#submitted) | 0
  }

  /** `io_uring_sq_space_left(3)` */
  sqSpaceLeft(): number {
    const head = Atomics.load(this.#memory.control, RingMemory.SQ_HEAD)
    return this.#memory.sqEntries - ((this.#sqTail - head) | 0)
  }

  /** `io_uring_for_each_cqe(3)`: shows each waiting completion; returns how many. Follow with `cqAdvance`. */
  forEachCqe(visit: (cqe: Cqe) => void): number {
    const control = this.#memory.control
    const tail = Atomics.load(control, RingMemory.CQ_TAIL)
    let head = control[RingMemory.CQ_HEAD]!
    let count = 0
    for (; head !== tail; head = (head + 1) | 0, count++) visit(this.#cqe.moveTo(head))
    return count
  }

  /** `io_uring_cq_advance(3)`: gives `count` completions back. */
  cqAdvance(count: number): void {
    const control = this.#memory.control
    Atomics.store(control, RingMemory.CQ_HEAD, (control[RingMemory.CQ_HEAD]! + count) | 0)
  }

  /** `io_uring_cqe_seen(3)` */
  cqeSeen(_cqe: Cqe): void {
    this.cqAdvance(1)
  }

  /**
   * `io_uring_register_ifq(3)`: the interface queue is restarted and writes into `area` from now on.
   * Returns minus errno when the registration is refused; nothing is changed then.
   */
  registerIfq(request: IfqRequest): Ifq | number {
    this.#checkOpen()
    return registerIfq(this.#backend, request)
  }

  /** `ZCRX_CTRL_EXPORT`: a descriptor that stands for the instance and keeps it alive until it is closed; or minus errno. */
  exportIfq(zcrxId: number): number {
    const ctrl = this.#control(zcrxId, abi.ZCRX_CTRL_EXPORT)
    const result = this.#backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    return result < 0 ? result : ctrl.zcrxFd
  }

  /**
   * `ZCRX_REG_IMPORT`: this ring shares the instance behind an exported descriptor, under an id of its own. Areas and the one
   * refill queue are those of `of`: whoever pushes to it, pushes for all. Minus errno when it is refused.
   */
  importIfq(fd: number, of: Ifq): Ifq | number {
    this.#checkOpen()
    return importIfq(this.#backend, fd, of)
  }

  /**
   * `ZCRX_CTRL_ADD_AREA`: data may lie in this memory too, from now on. Returns the area's id, by which completions and refill
   * entries name it, or minus errno. A NIC that can't write to a second area has data moved there by the CPU, counted as
   * copied, when the first runs short.
   */
  addArea(ifq: Ifq, area: AreaSource): number {
    const reg = areaReg(this.#backend, area)
    const ctrl = this.#control(ifq.zcrxId, abi.ZCRX_CTRL_ADD_AREA)
    ctrl.areaPtr = this.#backend.addressOf(reg.bytes)
    const result = this.#backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    if (result < 0) return result
    const id = reg.rqAreaToken / 2 ** abi.IORING_ZCRX_AREA_SHIFT
    ifq.areas[id] = area instanceof Uint8Array ? area : null
    return id
  }

  /**
   * Gives an area back while the queue lives; not in Linux. No buffer is taken from it from the first call on. 0 once all have
   * come back; EAGAIN while some are out, and the call is to be repeated; EBUSY for the area a NIC writes to; EINVAL for none.
   */
  removeArea(ifq: Ifq, areaId: number): number {
    const ctrl = this.#control(ifq.zcrxId, abi.ZCRX_CTRL_REMOVE_AREA)
    ctrl.areaId = areaId
    const result = this.#backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    if (result === 0) ifq.areas[areaId] = null
    return result
  }

  /** `ZCRX_CTRL_FLUSH_RQ`: moves what is in the refill queue to the free buffers now. 0 or minus errno. */
  flushRq(zcrxId: number): number {
    const ctrl = this.#control(zcrxId, abi.ZCRX_CTRL_FLUSH_RQ)
    return this.#backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /** `ZCRX_CTRL_ARM_EVENT`: ZCRX_EVENT_* `type`, which was told, is to be told again. 0 or minus errno. */
  armEvent(zcrxId: number, type: number): number {
    const ctrl = this.#control(zcrxId, abi.ZCRX_CTRL_ARM_EVENT)
    ctrl.eventType = type
    return this.#backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /**
   * `io_uring_query`: fills `data`, the bytes of the structure that IO_URING_QUERY_* `queryOp` asks for. Returns the bytes
   * that were known, the rest being zeroed, or minus errno.
   */
  query(queryOp: number, data: Uint8Array): number {
    this.#checkOpen()
    const header = new QueryHdr(new Uint8Array(QueryHdr.SIZE))
    header.queryOp = queryOp
    header.queryData = this.#backend.addressOf(data)
    header.size = data.length
    const result = this.#backend.register(abi.IORING_REGISTER_QUERY, header.bytes, 0)
    if (result < 0) return result
    return header.result < 0 ? header.result : header.size
  }

  /**
   * `io_uring_register_sync_cancel(3)`: cancels without an entry. 0, with IORING_ASYNC_CANCEL_ALL and _ANY how many, or minus
   * errno; what is cancelled has its completion as ever.
   */
  registerSyncCancel(reg: SyncCancelReg): number {
    this.#checkOpen()
    return this.#backend.register(abi.IORING_REGISTER_SYNC_CANCEL, reg.bytes, 1)
  }

  /** `io_uring_queue_exit(3)`: ends every request and gives the queues back. Sockets stay open. */
  queueExit(): void {
    if (!this.#open) return
    this.#open = false
    this.#backend.close()
  }

  #submit(waitNr: number, flags: number, timeoutMs: number): number {
    this.#checkOpen()
    Atomics.store(this.#memory.control, RingMemory.SQ_TAIL, this.#sqTail)
    const consumed = this.#backend.enter(this.sqReady(), waitNr, flags, timeoutMs)
    if (consumed > 0) this.#submitted = (this.#submitted + consumed) | 0
    return consumed
  }

  #control(zcrxId: number, op: number): ZcrxCtrl {
    this.#checkOpen()
    const ctrl = this.#ctrl
    ctrl.zcrxId = zcrxId
    ctrl.op = op
    // The payload of whatever was asked before: one field of eight bytes at the most.
    ctrl.areaPtr = 0
    return ctrl
  }

  #checkOpen(): void {
    if (!this.#open) throw new ArgumentError('the ring is closed', 'make another with Ring.queueInit')
  }
}

function roundEntries(entries: number, most: number, flags: number, name: string): number {
  if (!Number.isInteger(entries) || entries < 1)
    throw new ArgumentError(`${name} ${entries} is not a positive integer`)
  if (entries > most) {
    if ((flags & abi.IORING_SETUP_CLAMP) === 0) {
      throw new ArgumentError(`${name} ${entries} is more than ${most}`, 'or set IORING_SETUP_CLAMP')
    }
    return most
  }
  return 2 ** Math.ceil(Math.log2(entries))
}
