import { receiveMessageOnPort } from 'node:worker_threads'
import { markHuge } from '../../../driver/area.ts'
import type { StackReport } from '../../../host/interface.ts'
import { sharedPages } from '../../../pages.ts'
import { WordWatch } from '../../../waking.ts'
import { EBADF, EINVAL, EIO, EMFILE } from '../../abi/errno.ts'
import { IORING_SQ_NEED_WAKEUP } from '../../abi/io-uring.ts'
import { UringParams } from '../../abi/params.ts'
import type { RingContext } from '../../kernel/context.ts'
import type { OpenFile } from '../../kernel/files.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { Ledger } from '../../kernel/ledger.ts'
import type { Process } from '../../kernel/process.ts'
import { Rings } from '../../kernel/rings.ts'
import type { ZcrxIfq } from '../../kernel/zcrx.ts'
import { InlineBackend, ProcessMemory } from '../inline.ts'
import { answerable, checkedMessage } from './checked.ts'
import * as doors from './door.ts'
import type { Answer, Question, RingLink } from './messages.ts'
import { pieceOf } from './piece.ts'
import { tellError } from './told-error.ts'

/** Messages that are looked at in one turn, up to a question: somebody who never stops does not keep the others waiting. */
const MESSAGES = 64
/** How long (milliseconds) entries of one ring are taken before the others get their turn. */
const SLICE_MS = 1
/** Completions that wake a sleeping user while more are coming; fewer wake him when there is a pause, or after a while. */
const GATHER = 4096
/** How long (milliseconds) completions wait to be joined by others. */
const GATHER_MS = 0.5

/** What a ring's session asks of whoever serves it among others: `KernelService` says more of each. */
export interface SessionOwner {
  readonly kernel: Kernel
  faults: number
  report: () => StackReport
  onStop: (by: RingSession) => void
  hand(file: OpenFile | null, by: Process['files']): number
  handed(token: number): OpenFile | null
  forget(session: RingSession): void
  /** Its ring is about to be closed, and holds these instances. */
  left(session: RingSession, context: RingContext, ifqs: readonly ZcrxIfq[]): void
}

/** What a question comes to, without its number. */
type Reply = Omit<Answer, 'type' | 'seq'>

/** The kernel's side of one ring whose user is on another thread. Whatever the user writes or says, others are served. */
export class RingSession {
  readonly link: RingLink
  readonly process: Process
  readonly #service: SessionOwner
  readonly #backend: InlineBackend
  readonly #door: Int32Array
  #context: RingContext | null = null
  /** The bell and the call that were seen last. */
  #bell = 0
  #call = 0
  #attends = false
  #wants = 0
  /** Entries of the latest enter that are still to be taken, and how many were: what takes too long goes on in the next turn. */
  #left = 0
  #taken = 0
  /** When completions were first found that the sleeping user has not seen; 0: there are none. */
  #waitingSince = 0
  readonly #bells: WordWatch
  #ended = false

  /** @param process whose ring it is: descriptors of its thread, and an address space of its own */
  constructor(service: SessionOwner, link: RingLink, process: Process) {
    this.#service = service
    this.link = link
    this.#door = link.door
    this.#bells = new WordWatch(link.door, doors.BELL)
    this.process = process
    this.#backend = new InlineBackend(service.kernel, new ProcessMemory(sharedPages), this.process)
    link.calls.on('close', () => this.end())
    link.calls.unref()
  }

  /** The kernel's side of the ring; null before it is set up. */
  get context(): RingContext | null {
    return this.#context
  }

  get ended(): boolean {
    return this.#ended
  }

  serves(context: object): boolean {
    return this.#context === context
  }

  /** Looks at what the user wants. Returns whether he wanted something. */
  serve(): boolean {
    const door = this.#door
    const bell = Atomics.load(door, doors.BELL)
    if (bell === this.#bell && this.#left === 0) return false
    this.#bell = bell
    Atomics.add(door, doors.BEAT, 1)
    try {
      this.#attends = Atomics.load(door, doors.ATTEND) !== 0
      this.#wants = Math.max(0, Atomics.load(door, doors.WANT))
      const context = this.#context
      if (context !== null) {
        context.taking = this.#attends
        context.attended = this.#attends || this.#wants > 0
      }
      const call = Atomics.load(door, doors.CALL)
      if (this.#left > 0) this.#enter(this.#call, this.#left)
      else if (call !== this.#call) {
        this.#taken = 0
        this.#enter(call, Math.max(0, Atomics.load(door, doors.TO_SUBMIT)))
      }
      this.#listen()
    } catch (error) {
      this.fail(error)
    }
    return true
  }

  #enter(call: number, count: number): void {
    this.#call = call
    const context = this.#context
    const flags = Atomics.load(this.#door, doors.ENTER_FLAGS)
    const result = context?.enter(count, 0, flags, 0) ?? -EBADF
    if (result > 0) this.#taken += result
    this.#left = context?.cut === true && result > 0 ? count - result : 0
    if (this.#left === 0) this.#reply(call, this.#taken > 0 ? this.#taken : result)
  }

  #reply(seq: number, result: number): void {
    const door = this.#door
    Atomics.store(door, doors.RESULT, result)
    Atomics.store(door, doors.REPLY, seq)
    Atomics.notify(door, doors.REPLY)
  }

  #listen(): void {
    for (let i = 0; i < MESSAGES && !this.#ended; i++) {
      const received = receiveMessageOnPort(this.link.calls)
      if (received === undefined) return
      // Who asks waits for the answer: there is no next question yet, but of somebody who means no good.
      if (this.#hear(received.message)) break
    }
    // There may be more.
    this.#bell = ~Atomics.load(this.#door, doors.BELL)
  }

  /** Whether it was a question. */
  #hear(said: unknown): boolean {
    const message = checkedMessage(said)
    if (message === null) return false
    if (message.type === 'unmap') {
      this.process.space.unmap(message.base)
      return false
    }
    this.#answer(message)
    return true
  }

  #answer(question: Question): void {
    let reply: Reply
    try {
      reply = answerable(question) ? this.#replyTo(question) : { result: -EINVAL }
    } catch (error) {
      reply = { result: -EIO, error: tellError(error) }
    }
    this.link.calls.postMessage({ type: 'answer', seq: question.seq, ...reply })
    this.#reply(question.seq, reply.result)
    if (question.type === 'close') this.end()
  }

  #replyTo(question: Question): Reply {
    const backend = this.#backend
    switch (question.type) {
      case 'open':
        return this.#open(question.entries, question.params)
      case 'register':
        return { result: backend.context.registerAt(question.opcode, question.address, question.nrArgs) }
      case 'mmap': {
        const region = backend.mmap(question.offset, question.length)
        return typeof region === 'number' ? { result: region } : { result: 0, piece: pieceOf(region) }
      }
      case 'map': {
        const { base, buffer, huge } = question
        if (!this.process.space.map(base, buffer)) return { result: -EINVAL }
        if (huge === true) markHuge(buffer)
        return { result: 0 }
      }
      case 'fd':
        return { result: backend.fd }
      case 'census':
        return { result: 0, census: backend.census(question.zcrxId) }
      case 'stats':
        return { result: 0, stats: { ...backend.ifqStats(question.zcrxId) } }
      case 'watch': {
        const { zcrxId, afterMs, on } = question
        const { events } = this.link
        backend.watchHeld(
          zcrxId,
          afterMs,
          on ? (report) => events.postMessage({ type: 'held', zcrxId, report }) : null,
        )
        return { result: 0 }
      }
      case 'refusal': {
        const refusal = backend.refusal()
        return { result: 0, refusal: refusal === null ? null : tellError(refusal) }
      }
      case 'hand':
        return { result: this.#service.hand(this.process.files.get(question.fd), this.process.files) }
      case 'take': {
        const file = this.#service.handed(question.token)
        if (file === null) return { result: -EBADF }
        const fd = this.process.files.open(file)
        if (fd < 0) file.release()
        return { result: fd < 0 ? -EMFILE : fd }
      }
      case 'report':
        return { result: 0, report: this.#service.report() }
      case 'stop':
        this.#service.onStop(this)
        return { result: 0 }
      case 'close':
        return { result: 0 }
      default:
        return { result: -EINVAL }
    }
  }

  #open(entries: number, asked: Uint8Array): Reply {
    if (this.#context !== null) return { result: -EBADF }
    const params = new UringParams(Uint8Array.from(asked).slice(0, UringParams.SIZE))
    const mapping = this.#backend.open(entries, params)
    if (typeof mapping === 'number') return { result: mapping, params: params.bytes }
    const { context } = this.#backend
    this.#context = context
    context.sliceMs = SLICE_MS
    context.ledger = new Ledger((memory) => this.link.calls.postMessage({ type: 'ledger', memory }))
    this.showAwake()
    return { result: 0, params: params.bytes, rings: pieceOf(mapping.rings), sqes: pieceOf(mapping.sqes) }
  }

  /** Wakes the user if he sleeps and there is something for him. @param pause nothing more is coming at the moment */
  wakeUser(pause: boolean, now: () => number): void {
    const context = this.#context
    if (context === null) return
    const door = this.#door
    const { used, overflown } = context.cq
    if (this.#wants > 0) {
      if (used >= this.#wants || overflown) doors.wake(door)
      return
    }
    if (Atomics.load(door, doors.ASLEEP) === 0) return
    if (used === 0 && (this.#attends || !context.hasWork)) return
    if (!pause && used < Math.min(GATHER, context.memory.cqEntries / 2)) {
      if (this.#waitingSince === 0) this.#waitingSince = now()
      if (now() - this.#waitingSince < GATHER_MS) return
    }
    this.#waitingSince = 0
    doors.wake(door)
  }

  /** From now on entries need a bell. */
  showAsleep(): void {
    const control = this.#polledControl()
    if (control !== null) Atomics.or(control, Rings.SQ_FLAGS, IORING_SQ_NEED_WAKEUP)
  }

  /** From now on they don't. */
  showAwake(): void {
    const control = this.#polledControl()
    if (control !== null) Atomics.and(control, Rings.SQ_FLAGS, ~IORING_SQ_NEED_WAKEUP)
  }

  #polledControl(): Int32Array | null {
    const context = this.#context
    return context !== null && (context.sqPoll || this.#attends) ? context.memory.control : null
  }

  /** Calls back once, from the event loop, when the bell was rung behind what was seen of it. */
  listen(callback: () => void): void {
    this.#bells.listen(this.#bell, callback)
  }

  /** Something that this ring's user is to blame for went wrong: it is over for him, and he is told. */
  fail(error: unknown): void {
    if (this.#ended) return
    this.#service.faults++
    this.link.events.postMessage({ type: 'gone', error: tellError(error) })
    this.end()
  }

  /** The kernel is in no state to end anything: the user is told, and looks after what was in flight himself. */
  abandon(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.link.events.postMessage({ type: 'gone', error: tellError(error) })
    doors.close(this.#door)
    this.link.events.close()
    this.link.calls.close()
  }

  /** The ring is closed, or whoever had it is gone. Idempotent. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#service.forget(this)
    const context = this.#context
    if (context !== null) {
      // What was submitted before is done first; whatever becomes of that, the ring is closed.
      if (context.attended) this.#try(() => context.pollSubmissions())
      this.#service.left(this, context, [...context.ifqs])
      this.#try(() => context.close())
    }
    doors.close(this.#door)
    this.link.calls.close()
    this.link.events.close()
  }

  #try(step: () => void): void {
    try {
      step()
    } catch {
      this.#service.faults++
    }
  }
}
