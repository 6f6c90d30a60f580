import type { HeldReport, IfqStats } from '../../diagnostics.ts'
import { ArgumentError } from '../../errors.ts'
import type { Census } from '../../stack/memory/page-pool.ts'
import { BUF_SIZE, BufReg, BufStatus } from '../abi/buffers.ts'
import * as abi from '../abi/constants.ts'
import { EAGAIN, EBUSY, errnoName } from '../abi/errno.ts'
import { FileIndexRange, RsrcRegister, RsrcUpdate2 } from '../abi/files.ts'
import { Probe } from '../abi/probe.ts'
import { QueryHdr } from '../abi/query.ts'
import type { SyncCancelReg } from '../abi/requests.ts'
import * as num from '../abi/ring.ts'
import { Sqe } from '../abi/sqe.ts'
import { ZcrxCtrl } from '../abi/structs.ts'
import { BufRing } from './buf-ring.ts'
import { Cqe } from './cqe.ts'
import { type AreaSource, areaReg, type Ifq, type IfqRequest, importIfq, registerIfq } from './ifq.ts'
import { RingMemory } from './memory.ts'
import { layOut, type RingParams } from './setup.ts'

export type { RingParams } from './setup.ts'

/** The kernel side of one ring: what the system calls of io_uring(7) reach. */
export interface RingBackend {
  readonly memory: RingMemory
  /** IORING_SETUP_* */
  readonly flags: number
  /** The ring's descriptor; given out when it is first asked for. */
  readonly ringFd: number
  /**
   * `io_uring_enter(2)`: consumes up to `toSubmit` entries; with IORING_ENTER_GETEVENTS runs what is pending and waits
   * until `minComplete` completions are there. Returns the entries consumed or minus errno.
   * @param timeoutMs longest wait; Infinity waits for ever
   */
  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number
  /** `io_uring_register(2)`. @param arg structure the opcode takes, read and written */
  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number
  /** Entering would do something: task work waits, or completions that overflowed. */
  readonly hasWork: boolean
  /** Address of memory, for pointers in entries and structures. */
  addressOf(bytes: Uint8Array): number
  /**
   * mmap(2) of the ring's descriptor: all of a region that the kernel provides, or minus errno.
   * @param offset what it is: 0x30000000 + (zcrx id << 16), or IORING_OFF_PBUF_RING + (group << 16)
   * @param length bytes: EFAULT for less than the region has; what is asked beyond it is not there
   */
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
  readonly #mixed: boolean
  readonly #sqPoll: boolean
  #sqTail = 0
  #open = true

  private constructor(backend: RingBackend) {
    this.#backend = backend
    this.#memory = backend.memory
    this.#cqe = new Cqe(this.#memory)
    this.#mixed = (backend.flags & abi.IORING_SETUP_CQE_MIXED) !== 0
    this.#sqPoll = (backend.flags & abi.IORING_SETUP_SQPOLL) !== 0
    for (const slot of this.#memory.slots()) this.#sqes.push(new Sqe(slot, backend))
  }

  /**
   * `io_uring_queue_init(3)`. @param entries submission entries, rounded up to a power of two, 1..32768
   * @throws ArgumentError where `queueInitParams` answers an errno, with its name
   */
  static queueInit(entries: number, host: RingHost, params: RingParams = {}): Ring {
    const memory = layOut(entries, params)
    if (memory instanceof RingMemory) return new Ring(host.setup(memory, params.flags ?? 0))
    throw new ArgumentError(`${memory.why} (${errnoName(memory.errno)})`, memory.remedy)
  }

  /** `io_uring_queue_init_params(3)`: as `queueInit`, but answers minus errno where io_uring_setup(2) does. */
  static queueInitParams(entries: number, host: RingHost, params: RingParams = {}): Ring | number {
    const memory = layOut(entries, params)
    return memory instanceof RingMemory ? new Ring(host.setup(memory, params.flags ?? 0)) : -memory.errno
  }

  /** The ring's descriptor, for POLL_ADD and MSG_RING. Given out at its first use. */
  get ringFd(): number {
    return this.#backend.ringFd
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
    for (let entered = false; ; ) {
      const head = control[RingMemory.CQ_HEAD]!
      if (head !== Atomics.load(control, RingMemory.CQ_TAIL)) {
        const cqe = this.#cqe.moveTo(head)
        if (!this.#mixed || (cqe.flags & num.IORING_CQE_F_SKIP) === 0) return cqe
        this.cqAdvance(1)
        continue
      }
      const pending = abi.IORING_SQ_CQ_OVERFLOW | abi.IORING_SQ_TASKRUN
      if (entered || (Atomics.load(control, RingMemory.SQ_FLAGS) & pending) === 0) return null
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

  /** `io_uring_cq_ready(3)`: completions that wait; with IORING_SETUP_CQE_MIXED the slots they take. */
  cqReady(): number {
    const control = this.#memory.control
    return (Atomics.load(control, RingMemory.CQ_TAIL) - control[RingMemory.CQ_HEAD]!) | 0
  }

  /**
   * Whether entering the ring would do something without anything new happening: a request that let others go first, a link
   * whose turn has come, completions that overflowed. What IORING_SQ_TASKRUN and IORING_SQ_CQ_OVERFLOW say. Ask before sleeping.
   */
  hasWork(): boolean {
    return this.#backend.hasWork
  }

  /** `io_uring_sq_ready(3)`: entries taken with `getSqe` and not yet submitted. */
  sqReady(): number {
    return (this.#sqTail - Atomics.load(this.#memory.control, RingMemory.SQ_HEAD)) | 0
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
    const control = this.#memory.control
    const tail = Atomics.load(control, RingMemory.CQ_TAIL)
    const first = control[RingMemory.CQ_HEAD]!
    if (this.#mixed) {
      for (let head = first; head !== tail; ) {
        const cqe = this.#cqe.moveTo(head)
        head = (head + cqe.nr) | 0
        if ((cqe.flags & num.IORING_CQE_F_SKIP) === 0) visit(cqe)
      }
    } else for (let head = first; head !== tail; head = (head + 1) | 0) visit(this.#cqe.moveTo(head))
    return (tail - first) | 0
  }

  /** `io_uring_cq_advance(3)`: gives `count` completions back; with IORING_SETUP_CQE_MIXED slots, `Cqe.nr` for each. */
  cqAdvance(count: number): void {
    const control = this.#memory.control
    Atomics.store(control, RingMemory.CQ_HEAD, (control[RingMemory.CQ_HEAD]! + count) | 0)
  }

  /** `io_uring_cqe_seen(3)` */
  cqeSeen(cqe: Cqe): void {
    this.cqAdvance(cqe.nr)
  }

  /** `io_uring_enable_rings(3)`, of a ring set up with IORING_SETUP_R_DISABLED. 0 or minus errno. */
  enableRings(): number {
    return this.#register(num.IORING_REGISTER_ENABLE_RINGS, null, 0)
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
    const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
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
    const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
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
    const result = this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    if (result === 0) ifq.areas[areaId] = null
    return result
  }

  /** `ZCRX_CTRL_FLUSH_RQ`: moves what is in the refill queue to the free buffers now. 0 or minus errno. */
  flushRq(zcrxId: number): number {
    const ctrl = this.#control(zcrxId, abi.ZCRX_CTRL_FLUSH_RQ)
    return this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /** `ZCRX_CTRL_ARM_EVENT`: ZCRX_EVENT_* `type`, which was told, is to be told again. 0 or minus errno. */
  armEvent(zcrxId: number, type: number): number {
    const ctrl = this.#control(zcrxId, abi.ZCRX_CTRL_ARM_EVENT)
    ctrl.eventType = type
    return this.#register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
  }

  /**
   * `io_uring_query`: fills `data`, the bytes of the structure that IO_URING_QUERY_* `queryOp` asks for. Returns the bytes
   * that were known, the rest being zeroed, or minus errno.
   */
  query(queryOp: number, data: Uint8Array): number {
    const header = new QueryHdr(new Uint8Array(QueryHdr.SIZE))
    header.queryOp = queryOp
    header.queryData = this.#backend.addressOf(data)
    header.size = data.length
    const result = this.#register(abi.IORING_REGISTER_QUERY, header.bytes, 0)
    if (result < 0) return result
    return header.result < 0 ? header.result : header.size
  }

  /**
   * `io_uring_register_sync_cancel(3)`: cancels without an entry. 0, with IORING_ASYNC_CANCEL_ALL and _ANY how many, or minus
   * errno; what is cancelled has its completion as ever.
   */
  registerSyncCancel(reg: SyncCancelReg): number {
    return this.#register(abi.IORING_REGISTER_SYNC_CANCEL, reg.bytes, 1)
  }

  /** `io_uring_get_probe_ring(3)`: which opcodes are served; ask it with `opcodeSupported`. */
  getProbe(): Probe {
    const probe = new Probe(new Uint8Array(Probe.HEADER_SIZE + 256 * Probe.OP_SIZE))
    this.#register(num.IORING_REGISTER_PROBE, probe.bytes, 256)
    return probe
  }

  /** `io_uring_register_personality(3)`: a number for the process's credentials, or minus errno. */
  registerPersonality(): number {
    return this.#register(num.IORING_REGISTER_PERSONALITY, null, 0)
  }

  /** `io_uring_unregister_personality(3)`: 0 or minus errno. */
  unregisterPersonality(id: number): number {
    return this.#register(num.IORING_UNREGISTER_PERSONALITY, null, id)
  }

  /**
   * `io_uring_register_files(3)`: slots that IOSQE_FIXED_FILE counts in; -1 leaves one free. 0 or minus errno.
   * @param tags of each: `user_data` of a completion when nothing uses the file any more, 0 = none
   */
  registerFiles(fds: readonly number[], tags: readonly number[] = []): number {
    const fdWords = new Uint8Array(Int32Array.from(fds).buffer)
    if (tags.length === 0) return this.#register(num.IORING_REGISTER_FILES, fdWords, fds.length)
    const reg = new RsrcRegister(new Uint8Array(RsrcRegister.SIZE))
    const tagWords = tagBytes(tags)
    reg.nr = fds.length
    reg.data = this.#backend.addressOf(fdWords)
    reg.tags = this.#backend.addressOf(tagWords)
    return this.#register(num.IORING_REGISTER_FILES2, reg.bytes, RsrcRegister.SIZE)
  }

  /** `io_uring_register_files_sparse(3)`: as many free slots. 0 or minus errno. */
  registerFilesSparse(count: number): number {
    const reg = new RsrcRegister(new Uint8Array(RsrcRegister.SIZE))
    reg.nr = count
    reg.flags = num.IORING_RSRC_REGISTER_SPARSE
    return this.#register(num.IORING_REGISTER_FILES2, reg.bytes, RsrcRegister.SIZE)
  }

  /** `io_uring_unregister_files(3)`: 0 or minus errno. */
  unregisterFiles(): number {
    return this.#register(num.IORING_UNREGISTER_FILES, null, 0)
  }

  /**
   * `io_uring_register_files_update(3)`: new descriptors for the slots from `offset` on; -1 frees one,
   * IORING_REGISTER_FILES_SKIP leaves it. How many slots it came to, or minus errno. @param tags as for `registerFiles`
   */
  registerFilesUpdate(offset: number, fds: readonly number[], tags: readonly number[] = []): number {
    const fdWords = new Uint8Array(Int32Array.from(fds).buffer)
    const tagWords = tagBytes(tags)
    const update = new RsrcUpdate2(new Uint8Array(RsrcUpdate2.SIZE))
    update.offset = offset
    update.nr = fds.length
    update.data = this.#backend.addressOf(fdWords)
    update.tags = tags.length === 0 ? 0 : this.#backend.addressOf(tagWords)
    return this.#register(num.IORING_REGISTER_FILES_UPDATE2, update.bytes, RsrcUpdate2.SIZE)
  }

  /** `io_uring_register_file_alloc_range(3)`: the slots that IORING_FILE_INDEX_ALLOC may take. 0 or minus errno. */
  registerFileAllocRange(offset: number, length: number): number {
    const range = new FileIndexRange(new Uint8Array(FileIndexRange.SIZE))
    range.off = offset
    range.len = length
    return this.#register(num.IORING_REGISTER_FILE_ALLOC_RANGE, range.bytes, 0)
  }

  /**
   * `io_uring_setup_buf_ring(3)`: a ring of provided buffers, in memory of its own. Minus errno when it is refused.
   * @param entries a power of two below 65536 @param bgid group, for `Sqe.setBufGroup` @param flags IOU_PBUF_RING_*
   */
  setupBufRing(entries: number, bgid: number, flags = 0): BufRing | number {
    const reg = new BufReg(new Uint8Array(BufReg.SIZE))
    const bytes = Math.max(1, Math.min(entries, 65_536)) * BUF_SIZE
    let memory: Uint8Array | number = new Uint8Array(new SharedArrayBuffer(bytes))
    reg.ringEntries = entries
    reg.bgid = bgid
    reg.flags = flags
    const maps = (flags & num.IOU_PBUF_RING_MMAP) !== 0
    if (!maps) reg.ringAddr = this.#backend.addressOf(memory)
    const result = this.#register(num.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
    if (result < 0) return result
    const offset = num.IORING_OFF_PBUF_RING + bgid * 2 ** num.IORING_OFF_PBUF_SHIFT
    if (maps) memory = this.#backend.mmap(offset, bytes)
    if (typeof memory !== 'number') return new BufRing(this.#backend, memory, entries, bgid)
    // Groups above 2047 can't be mapped: their bits are those of the kind of memory.
    this.freeBufRing({ bgid })
    return memory
  }

  /** `io_uring_free_buf_ring(3)`: 0 or minus errno. */
  freeBufRing(bufRing: Pick<BufRing, 'bgid'>): number {
    const reg = new BufReg(new Uint8Array(BufReg.SIZE))
    reg.bgid = bufRing.bgid
    return this.#register(num.IORING_UNREGISTER_PBUF_RING, reg.bytes, 1)
  }

  /** `io_uring_buf_ring_head(3)`: how many buffers the kernel has taken, modulo 65536, or minus errno. */
  bufRingHead(bgid: number): number {
    const status = new BufStatus(new Uint8Array(BufStatus.SIZE))
    status.bufGroup = bgid
    const result = this.#register(num.IORING_REGISTER_PBUF_STATUS, status.bytes, 1)
    return result < 0 ? result : status.head
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
    const ready = this.sqReady()
    if (!this.#sqPoll) return this.#backend.enter(ready, waitNr, flags, timeoutMs)
    const asleep = Atomics.load(this.#memory.control, RingMemory.SQ_FLAGS) & num.IORING_SQ_NEED_WAKEUP
    if (asleep !== 0) flags |= num.IORING_ENTER_SQ_WAKEUP
    return flags === 0 ? ready : this.#backend.enter(ready, waitNr, flags, timeoutMs)
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

/** 64-bit words. */
function tagBytes(tags: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(tags, BigInt).buffer)
}
