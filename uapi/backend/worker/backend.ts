import { receiveMessageOnPort } from 'node:worker_threads'
import {
  type Census,
  type Diagnostics,
  type HeldReport,
  IfqStats,
  sumOfCensus,
} from '../../../diagnostics.ts'
import { allocateShared, isHuge } from '../../../driver/area.ts'
import { ArgumentError, ZcrxError } from '../../../errors.ts'
import type { StackReport } from '../../../host/interface.ts'
import { sharedPages } from '../../../pages.ts'
import { KeepAlive, WordWatch } from '../../../waking.ts'
import { EINVAL, EIO, ENODEV, ETIME } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { UringParams } from '../../abi/params.ts'
import { AddressSpace } from '../../kernel/address-space.ts'
import { inFlight, OWED } from '../../kernel/ledger.ts'
import type { AllocateOptions, RingBackend } from '../../ring/backend.ts'
import { PENDING, type RingMapping, RingMemory } from '../../ring/memory.ts'
import * as doors from './door.ts'
import { Grave } from './grave.ts'
import type { Answer, Event, FromUser, Question, RingLink, ToUser } from './messages.ts'
import { bytesOf } from './piece.ts'
import { toldError } from './told-error.ts'
import { blocking, type Waiting } from './waiting.ts'

/** Longest sleep (milliseconds) between looks whether the other side is still there. */
const LOOK_MS = 100
/** So long (milliseconds) a call may stay unanswered by a thread that shows no sign of life. */
const PATIENCE_MS = 10_000

/** What a back end is made with. */
export interface WorkerBackendOptions {
  /** Bytes of room behind an area, for frames that the device sends. */
  readonly tailBytes: number
  /** How to wait; default: block. */
  readonly waiting?: Waiting
  /** What both sides have anyway, being on one thread; default: one of its own, whose memory the other side is told of. */
  readonly space?: AddressSpace
}

type Asked = Question extends infer Q ? (Q extends Question ? Omit<Q, 'seq'> : never) : never

/**
 * The user's side of a ring whose kernel is on another thread. Ring words, entries and memory are shared; calls are messages whose
 * answer is waited for, so that every call means what it means inline. With `attend` the other side works without being called: then
 * entries need a bell only while it sleeps, and completions come by themselves.
 *
 * Memory that entries name has to be shared: a SharedArrayBuffer, or a shared `WebAssembly.Memory`.
 */
export class WorkerBackend implements RingBackend, Diagnostics {
  readonly #door: Int32Array
  readonly #link: RingLink
  readonly #tailBytes: number
  readonly #waiting: Waiting
  readonly #space: AddressSpace
  /** The other side has the same address space: all memory is reached. */
  readonly #one: boolean
  readonly #keepAlive = new KeepAlive()
  readonly #heldReports = new Map<number, (report: HeldReport) => void>()
  #memory: RingMemory | null = null
  #ledger: SharedArrayBuffer | null = null
  #grave: Grave | null = null
  #seq = 0
  #attended = false
  #closed = false
  #armed: (() => void) | null = null
  #keepsAlive = true
  readonly #wakes: WordWatch
  #lastStats: IfqStats = new IfqStats()
  /** Called once when nobody serves the ring any more, and its requests have completed. */
  onGone: (error: ZcrxError | null) => void = () => {}

  constructor(link: RingLink, options: WorkerBackendOptions) {
    this.#link = link
    this.#door = link.door
    this.#wakes = new WordWatch(link.door, doors.WAKE)
    this.#tailBytes = options.tailBytes
    this.#waiting = options.waiting ?? blocking
    this.#one = options.space !== undefined
    this.#space = options.space ?? new AddressSpace()
    if (!this.#one) this.#tellOf(this.#space)
    link.events.on('message', (event: Event) => this.#event(event))
    link.events.on('close', () => this.gone(null))
    link.events.unref()
  }

  #tellOf(space: AddressSpace): void {
    // Answered before anything names it: an attended ring's entries may be taken at any time.
    space.onMap = (base, buffer) =>
      void this.#ask({ type: 'map', base, buffer: buffer as SharedArrayBuffer, huge: isHuge(buffer) })
    space.onUnmap = (base) => {
      if (!this.#closed) this.#tell({ type: 'unmap', base })
    }
  }

  get diagnostics(): Diagnostics {
    return this
  }

  open(entries: number, params: UringParams): RingMapping | number {
    const answer = this.#ask({ type: 'open', entries, params: params.bytes })
    if (answer === null) return -ENODEV
    if (answer.params !== undefined) params.bytes.set(answer.params)
    const { rings, sqes } = answer
    if (rings === undefined || sqes === undefined) return answer.result
    const mapping = { rings: bytesOf(rings), sqes: bytesOf(sqes) }
    this.#memory = new RingMemory(mapping, params)
    return mapping
  }

  get fd(): number {
    return this.#ask({ type: 'fd' })?.result ?? -ENODEV
  }

  attend(): boolean {
    this.#attended = true
    Atomics.store(this.#door, doors.ATTEND, 1)
    doors.ring(this.#door)
    return true
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    if (this.#grave !== null) return this.#buried(toSubmit, minComplete)
    // Nobody waits for what comes of it.
    if (flags === abi.IORING_ENTER_SQ_WAKEUP && minComplete === 0) {
      doors.ring(this.#door)
      return toSubmit
    }
    const result = this.#call(toSubmit, flags)
    if (result < 0 || minComplete === 0 || (flags & abi.IORING_ENTER_GETEVENTS) === 0) return result
    const waited = this.#await(minComplete, timeoutMs)
    return result > 0 ? result : waited
  }

  /** One enter, answered when it is done; it waits for nothing there. */
  #call(toSubmit: number, flags: number): number {
    const door = this.#door
    const seq = this.#next()
    Atomics.store(door, doors.TO_SUBMIT, toSubmit)
    Atomics.store(door, doors.ENTER_FLAGS, flags)
    Atomics.store(door, doors.CALL, seq)
    const answered = this.#answered(seq)
    if (answered !== 0) return answered
    return Atomics.load(door, doors.RESULT)
  }

  /** Blocks until so many completions are there, while the other side works for the ring. */
  #await(minComplete: number, timeoutMs: number): number {
    const door = this.#door
    const memory = this.#memory!
    const { control, cqHeadAt, cqTailAt } = memory
    const wanted = Math.min(minComplete, memory.cqEntries)
    const ready = (): number => (Atomics.load(control, cqTailAt) - Atomics.load(control, cqHeadAt)) >>> 0
    if (ready() >= wanted) return 0
    const end = performance.now() + timeoutMs
    let asked = performance.now()
    let beat = Atomics.load(door, doors.BEAT)
    Atomics.store(door, doors.WANT, wanted)
    doors.ring(door)
    try {
      for (;;) {
        const seen = Atomics.load(door, doors.WAKE)
        if (ready() >= wanted) return 0
        if (Atomics.load(door, doors.GONE) !== 0) {
          this.gone(null)
          return 0
        }
        const now = performance.now()
        const left = end - now
        // As io_uring_enter(2): time is up for nothing only.
        const late = ready() > 0 ? 0 : -ETIME
        if (left <= 0) return late
        // Whoever would close the door may be gone as well: it is asked for a sign of life now and then.
        if (now - asked > PATIENCE_MS) {
          if (Atomics.load(door, doors.BEAT) === beat) {
            this.gone(noAnswer())
            return 0
          }
          beat = Atomics.load(door, doors.BEAT)
          asked = now
          doors.ring(door)
        }
        if (!this.#waiting.wait(door, doors.WAKE, seen, Math.min(left, LOOK_MS)))
          return timeoutMs === Number.POSITIVE_INFINITY ? -EINVAL : late
      }
    } finally {
      Atomics.store(door, doors.WANT, 0)
      doors.ring(door)
    }
  }

  #buried(toSubmit: number, minComplete: number): number {
    const taken = this.#grave!.enter(toSubmit)
    const { control, cqHeadAt, cqTailAt } = this.#memory!
    const there = Atomics.load(control, cqTailAt) !== Atomics.load(control, cqHeadAt)
    return taken === 0 && minComplete > 0 && !there ? -ENODEV : taken
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    const address = arg === null ? 0 : this.addressOf(arg)
    return this.#ask({ type: 'register', opcode, address, nrArgs })?.result ?? -ENODEV
  }

  mmap(offset: number, length: number): Uint8Array | number {
    const answer = this.#ask({ type: 'mmap', offset, length })
    if (answer === null) return -ENODEV
    return answer.piece === undefined ? answer.result : bytesOf(answer.piece)
  }

  allocate(bytes: number, { area = false }: AllocateOptions = {}): Uint8Array {
    return area ? allocateShared(bytes, this.#tailBytes) : sharedPages(bytes)
  }

  addressOf(bytes: Uint8Array): number {
    if (!this.reaches(bytes)) {
      throw new ArgumentError(
        'the memory is none that the other side of the ring reaches',
        'take it from Ring.arena, or share it: a SharedArrayBuffer',
      )
    }
    return this.#space.addressOf(bytes)
  }

  reaches(bytes: Uint8Array): boolean {
    return this.#one || bytes.buffer instanceof SharedArrayBuffer
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    const door = this.#door
    if (callback === null) {
      Atomics.store(door, doors.ASLEEP, 0)
      this.#keepAlive.release()
      return
    }
    if (this.#keepsAlive) this.#keepAlive.hold()
    const seen = Atomics.load(door, doors.WAKE)
    Atomics.store(door, doors.ASLEEP, 1)
    if (this.#something(false)) {
      setImmediate(this.#fire, callback)
      return
    }
    this.#wakes.listen(seen, this.#woken)
  }

  keepAlive(on: boolean): void {
    this.#keepsAlive = on
    if (!on) this.#keepAlive.release()
    else if (this.#armed !== null) this.#keepAlive.hold()
  }

  /** Whether entering, or looking, would bring something now. @param woken the other side thinks so */
  #something(woken: boolean): boolean {
    if (this.#grave !== null || Atomics.load(this.#door, doors.GONE) !== 0) return true
    if (this.#memory === null) return false
    const { control, cqHeadAt, cqTailAt, sqFlagsAt } = this.#memory
    const flags = Atomics.load(control, sqFlagsAt)
    if (Atomics.load(control, cqTailAt) !== Atomics.load(control, cqHeadAt)) {
      // Whoever works for the ring and is awake wakes when it is worth it: to come back for each few costs more than they do.
      return (
        woken || !this.#attended || (flags & (abi.IORING_SQ_NEED_WAKEUP | abi.IORING_SQ_CQ_OVERFLOW)) !== 0
      )
    }
    return !this.#attended && (flags & PENDING) !== 0
  }

  readonly #woken = (): void => {
    if (this.#armed === null) return
    if (Atomics.load(this.#door, doors.GONE) !== 0) this.gone(null)
    if (this.#something(true)) this.#fire(this.#armed)
    // Woken by what was there when it was armed before.
    else this.arm(this.#armed)
  }

  readonly #fire = (callback: () => void): void => {
    if (this.#armed !== callback) return
    this.arm(null)
    callback()
  }

  census(zcrxId: number): Census {
    const census = this.#ask({ type: 'census', zcrxId })?.census
    return census ?? sumOfCensus([])
  }

  /** A copy. Of a ring that nobody serves any more the latest that was told, or zeros. */
  ifqStats(zcrxId: number): IfqStats {
    const stats = this.#ask({ type: 'stats', zcrxId })?.stats
    if (stats !== undefined) this.#lastStats = stats
    return this.#lastStats
  }

  watchHeld(zcrxId: number, afterMs: number, report: ((report: HeldReport) => void) | null): void {
    if (report === null) this.#heldReports.delete(zcrxId)
    else this.#heldReports.set(zcrxId, report)
    this.#ask({ type: 'watch', zcrxId, afterMs, on: report !== null })
  }

  refusal(): ZcrxError | null {
    const told = this.#ask({ type: 'refusal' })?.refusal ?? null
    return told === null ? null : toldError(told)
  }

  /** What is told of the queue as a whole; null when nobody tells any more. */
  report(): StackReport | null {
    return this.#ask({ type: 'report' })?.report ?? null
  }

  /** Ends the whole service, as its owner: the device is given back when this returns. */
  stop(): void {
    this.#ask({ type: 'stop' })
  }

  /** Gives another user of the same kernel something that a descriptor names: a token for `take`, or minus errno. */
  hand(fd: number): number {
    return this.#ask({ type: 'hand', fd })?.result ?? -ENODEV
  }

  /** A descriptor for what another user has handed over, or minus errno. */
  take(token: number): number {
    return this.#ask({ type: 'take', token })?.result ?? -ENODEV
  }

  close(): void {
    if (this.#closed) return
    this.arm(null)
    if (this.#grave === null) this.#ask({ type: 'close' })
    this.#closed = true
    this.#keepAlive.end()
    this.#link.calls.close()
    this.#link.events.close()
  }

  /** Nobody serves the ring any more. Idempotent. @param error why, where it is known */
  gone(error: ZcrxError | null): void {
    if (this.#closed || this.#grave !== null) return
    Atomics.store(this.#door, doors.GONE, 1)
    this.#drain(-1)
    if (this.#memory !== null)
      this.#grave = new Grave(this.#memory, inFlight(this.#ledger), inFlight(this.#ledger, OWED))
    this.onGone(error)
    if (this.#armed !== null) setImmediate(this.#fire, this.#armed)
  }

  #event(event: Event): void {
    if (event.type === 'held') this.#heldReports.get(event.zcrxId)?.(event.report)
    else this.gone(toldError(event.error))
  }

  #next(): number {
    this.#seq = (this.#seq + 1) | 0
    return this.#seq
  }

  /** Rings and waits until a call is answered. 0, or minus errno where it never will be. */
  #answered(seq: number): number {
    const door = this.#door
    doors.ring(door)
    let quiet = 0
    let beat = Atomics.load(door, doors.BEAT)
    for (;;) {
      const replied = Atomics.load(door, doors.REPLY)
      if (replied === seq) return 0
      if (Atomics.load(door, doors.GONE) !== 0) {
        this.gone(null)
        return -ENODEV
      }
      const before = performance.now()
      if (!this.#waiting.wait(door, doors.REPLY, replied, LOOK_MS)) return -EIO
      const now = Atomics.load(door, doors.BEAT)
      quiet = now === beat ? quiet + performance.now() - before : 0
      beat = now
      if (quiet > PATIENCE_MS) {
        this.gone(noAnswer())
        return -ENODEV
      }
    }
  }

  /** Null when nobody answers any more. @throws ZcrxError, ArgumentError of the other side */
  #ask(question: Asked): Answer | null {
    if (this.#closed || this.#grave !== null || Atomics.load(this.#door, doors.GONE) !== 0) return null
    const seq = this.#next()
    this.#tell({ ...question, seq } as Question)
    if (this.#answered(seq) !== 0) return null
    const answer = this.#drain(seq)
    if (answer?.error !== undefined) throw toldError(answer.error)
    return answer
  }

  #tell(message: FromUser): void {
    this.#link.calls.postMessage(message)
  }

  /** Takes what the other side has said. Returns the answer to a question. */
  #drain(seq: number): Answer | null {
    for (;;) {
      const received = receiveMessageOnPort(this.#link.calls) as { message: ToUser } | undefined
      if (received === undefined) return null
      const { message } = received
      if (message.type === 'ledger') this.#ledger = message.memory
      else if (message.seq === seq) return message
    }
  }
}

function noAnswer(): ZcrxError {
  return new ZcrxError('ZCRX_WORKER_GONE', `no answer in ${PATIENCE_MS / 1000} s`)
}
