import { copyBytes } from '../copies.ts'
import { type Census, type HeldReport, sumOfCensus } from '../diagnostics.ts'
import type { ZcrxError } from '../errors.ts'
import { DEFAULT_AREA_BYTES } from '../pages.ts'
import {
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_TASKRUN_FLAG,
  SOCKET_URING_OP_SETSOCKOPT,
} from '../uapi/abi/io-uring.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import type { RingBackend } from '../uapi/ring/backend.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import { Ring } from '../uapi/ring/ring.ts'
import { BusyPoll, microseconds } from './busy-poll.ts'
import { type Loan, Loans } from './loans.ts'
import { type AreaOptions, provideBuffers, registerArea, registered } from './register-area.ts'
import { SmallSends } from './small-sends.ts'
import { type BufferSource, IfqSource, type Source } from './source.ts'
import {
  type AreaPart,
  copies,
  type Instance,
  type OpenOptions,
  type Registrant,
  type System,
} from './system.ts'
import { type Counted, Tally } from './tally.ts'

const RING_FLAGS = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER
/** Of an engine that was not told. */
const DEFAULT_CQ_ENTRIES = 8192
/** Most bytes that are copied for one SEND, where the other side does not reach those that are to be sent. */
const STAGE_BYTES = 1 << 17
/** Rounds of submitting and reaping before Node's loop goes on. */
const MAX_ROUNDS = 4

export interface EngineOptions extends OpenOptions, AreaOptions {
  /** Completion queue entries; default 8192. */
  readonly cqEntries?: number
  /**
   * So long (microseconds) completions are looked for, at every turn of the event loop, after there was nothing to do, before the
   * process sleeps; `true` or Infinity: it never does, and takes a core for itself. Default `false`, 0.
   */
  readonly busyPoll?: boolean | number
}

/** Buffers of an area that is registered. */
function countOf(area: Uint8Array, { rxBufLen }: Ifq): { bufferBytes: number; count: number } {
  return { bufferBytes: rxBufLen, count: Math.max(1, Math.floor(area.length / rxBufLen)) }
}

/** Takes one completion, read straight from ring memory. `kind` and `id` are the halves of its user_data. */
export type CompletionHandler = (kind: number, id: number, res: number, flags: number, offset: number) => void

/**
 * One ring with one registered area, driven on Node's event loop: as fast as it can while there is work, asleep until entering may
 * bring completions while there is none. What `Server` and `Client` are made of.
 */
export class Engine implements Registrant {
  readonly system: System
  readonly ring: Ring
  /** The registered instance; null where data is received by copying. */
  readonly ifq: Ifq | null
  /** What offsets are offsets in. */
  readonly area: Uint8Array
  /** Where in it this queue's own memory begins. */
  readonly base: number
  readonly backend: RingBackend
  /** `struct linger`: on, for no time. */
  readonly noLinger: Uint8Array
  readonly #handler: CompletionHandler
  readonly #source: Source
  /** The same, where data is received by copying. */
  readonly #buffers: BufferSource | null
  /** What is known of buffers whose other side does not tell; null where it does. */
  readonly #tally: Tally | null
  readonly #smallSends: SmallSends
  /** Copies that the kernel sends from. */
  readonly loans = new Loans()
  /** The other side works by itself. */
  readonly #attended: boolean
  readonly #busyPoll: BusyPoll
  #keepsAlive = true
  #released = false
  #closed = false
  #scheduled = false
  #turning = false
  /** Completions are being handed out. */
  #reaping = false
  #batchEnd: () => void = () => {}
  #room: (gaveBack: boolean) => void = () => {}

  /**
   * @param given memory, or what is registered already; null: memory of its own is registered. The system stays the caller's to close
   */
  constructor(
    system: System,
    options: EngineOptions,
    handler: CompletionHandler,
    given: AreaPart | Instance | null = null,
  ) {
    this.#handler = handler
    const { areaBytes = DEFAULT_AREA_BYTES } = options
    this.system = system
    this.#busyPoll = new BusyPoll(microseconds(options.busyPoll ?? false, 'busyPoll'))
    let ring: Ring | null = null
    try {
      const copied = copies(system)
      const backend = system.ringBackend()
      this.backend = backend
      ring = Ring.queueInit(
        256,
        { ringBackend: () => backend },
        {
          flags: copied ? RING_FLAGS : RING_FLAGS | IORING_SETUP_CQE32,
          cqEntries: options.cqEntries ?? DEFAULT_CQ_ENTRIES,
        },
      )
      this.ring = ring
      this.area = given?.whole ?? ring.allocateArea(areaBytes)
      this.base = given?.base ?? 0
      this.noLinger = ring.arena.take(8)
      new DataView(this.noLinger.buffer, this.noLinger.byteOffset).setInt32(0, 1, true)
      const own = this.area.subarray(this.base, this.base + areaBytes)
      if (copied) this.ifq = null
      else if (given !== null && 'join' in given) this.ifq = registered(ring, given.join(ring))
      else this.ifq = registerArea(ring, system.nic.info, options, own)
      this.#smallSends = new SmallSends(ring.arena)
      this.#attended = ring.attend()
      const { ifq } = this
      const unasked = this.#attended || system.sockets !== undefined
      this.#buffers = ifq === null ? provideBuffers(ring, options, own) : null
      this.#source = this.#buffers ?? new IfqSource(ring, ifq!, this.base, unasked)
      const { bufferBytes, count } = this.#buffers ?? countOf(own, ifq!)
      this.#tally = system.sockets === undefined ? null : new Tally(bufferBytes, count)
      // What waking takes is taken now: when it first sleeps there may be no descriptor left for it.
      if (system.sockets !== undefined) ring.arm(this.#turn)
    } catch (error) {
      ring?.queueExit()
      throw error
    }
  }

  /** Why the last call was refused, as far as the other side tells; for people. */
  refusal(): ZcrxError | null {
    return this.ring.refusal()
  }

  /** What the queue has done; null where nobody tells. */
  stats(): Readonly<Counted> | null {
    if (this.#tally === null) return this.ring.diagnostics?.ifqStats(this.ifq!.zcrxId) ?? null
    return this.#tally.stats(
      this.ifq === null ? Number.POSITIVE_INFINITY : (this.ifq.copyStats?.copyBytes ?? Number.NaN),
    )
  }

  /** Where the buffers are. @throws ArgumentError where nobody tells */
  census(): Census {
    if (this.#closed) return sumOfCensus([])
    return this.#tally?.census() ?? this.ifq!.census()
  }

  /** As `Ifq.onHeld`. @throws ArgumentError where nobody tells */
  onHeld(afterMs: number, report: ((report: HeldReport) => void) | null): void {
    if (this.#tally === null) this.ifq!.onHeld(afterMs, report)
    else this.#tally.watchHeld(afterMs, report)
  }

  /** A receive request for a connection's descriptor. */
  receive(fd: number): Sqe {
    return this.#source.prepare(this.sqe(), fd)
  }

  /** Data was received that is about to be handed out. @param connection its number here */
  delivered(offset: number, bytes: number, connection: number): void {
    this.#tally?.delivered(offset - this.base, bytes, connection)
  }

  /** Bytes where the other side reaches them: themselves, or a copy of their beginning, to be given to `unstage`. */
  stage(bytes: Uint8Array): Uint8Array {
    const small = this.#smallSends.take(bytes)
    if (small !== null) return small
    const { arena } = this.ring
    if (arena.reaches(bytes)) return bytes
    const part = bytes.subarray(0, STAGE_BYTES)
    const copy = arena.take(part.length)
    copyBytes(copy, 0, part, 0, part.length)
    return copy
  }

  /** The request that named them has completed. @param bytes what was staged @param staged what `stage` made of it */
  unstage(bytes: Uint8Array, staged: Uint8Array): void {
    if (staged !== bytes && !this.#smallSends.give(staged)) this.ring.arena.give(staged)
  }

  /** A free submission entry; those taken before are submitted where there is none. */
  sqe(): Sqe {
    for (;;) {
      const sqe = this.ring.getSqe()
      if (sqe !== null) return sqe
      this.ring.submitAndGetEvents()
    }
  }

  /** An entry that closes a descriptor of this engine's. */
  closing(fd: number): Sqe {
    this.system.sockets?.closing(fd)
    return this.sqe().prepClose(fd)
  }

  /** Sets an option of a socket. @param option level, name and value @param data of the request, to which a loan's number is added */
  setOption(fd: number, [level, name, value]: readonly [number, number, number], data: number): void {
    const bytes = new Uint8Array(Int32Array.of(value).buffer)
    const { sockets } = this.system
    if (sockets !== undefined) {
      sockets.setOption(fd, level, name, bytes)
      return
    }
    const copy = this.ring.arena.take(bytes.length)
    copy.set(bytes)
    const loan = this.loans.lend({ owner: -1, copy, returned: null })
    this.sqe()
      .prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, level, name, copy)
      .setData(data + loan)
    this.wake()
  }

  /** What was lent is back. */
  takeBack({ copy, returned }: Loan): void {
    if (copy !== null) this.ring.arena.give(copy)
    returned?.()
  }

  /** Called after each batch of completions. */
  onBatchEnd(callback: () => void): void {
    this.#batchEnd = callback
  }

  /** Called in each round with whether buffers have gone back: who found none may come again. */
  onRoom(callback: (gaveBack: boolean) => void): void {
    this.#room = callback
  }

  /**
   * Buffers that receive requests may find, where that is known: those that are not with the program, of which some may be behind
   * completions that were not handed out yet. Null where only the other side knows which it can use.
   */
  get room(): number | null {
    return this.#buffers === null ? null : this.#tally!.free
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Completions are being handed out: what ends the engine has to wait for the end of the batch. */
  get reaping(): boolean {
    return this.#reaping
  }

  /** Gives one completion's buffer back. */
  release(offset: number): void {
    if (this.#closed || this.#tally?.released(offset - this.base) === false) return
    this.#source.release(offset)
    this.#released = true
    // Within a batch its end takes care of it.
    if (!this.#reaping) this.wake()
  }

  /** Makes the loop go round soon: submission entries or buffers wait. */
  wake(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    // Within a turn the next round takes what was submitted.
    if (!this.#turning) setImmediate(this.#turn)
  }

  /** Runs until everything submitted has been taken, without waiting: for set-up and tear-down. */
  turnNow(): void {
    this.ring.submitAndGetEvents()
    this.#reap()
  }

  /** Whether the process stays alive while this is asleep; default true. */
  keepAlive(on: boolean): void {
    this.#keepsAlive = on
    if (!this.#closed) this.ring.keepAlive(on)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    // Others may share the queue that they go back by.
    if (this.#released) this.#source.giveBack()
    this.#tally?.close()
    this.ring.arm(null)
    this.ring.queueExit()
  }

  readonly #turn = (): void => {
    this.#turning = true
    try {
      // What handlers ask for in answer to completions leaves at once, without a turn of Node's loop in between; but others
      // must come to their turn as well.
      for (let round = 0; round < MAX_ROUNDS; round++) {
        this.#scheduled = false
        if (this.#closed) break
        if (this.#attended) this.ring.submit()
        else this.ring.submitAndGetEvents()
        this.#reap()
        if (this.#closed) break
        this.#room(this.#giveBack())
        if (!this.#scheduled) break
      }
    } finally {
      // Also when something was thrown: whoever catches it finds the others being served.
      this.#turning = false
      if (!this.#closed) this.#goOn()
    }
  }

  /** Goes round again while there is work; otherwise this is where the process sleeps. Frames that wait call back at once. */
  #goOn(): void {
    const { ring } = this
    let more = this.#scheduled
    if (this.#attended) {
      // Whoever works by itself takes entries that are shown to it; what has overflowed comes when it sees that there is room.
      ring.submit()
      if (ring.hasWork()) ring.wakeUp()
    } else more ||= ring.cqReady() > 0 || ring.sqReady() > 0 || ring.hasWork()
    if (more) this.#busyPoll.worked()
    if (more || this.#busyPoll.goesOn()) {
      this.#scheduled = true
      const next = setImmediate(this.#turn)
      if (!more && !this.#keepsAlive) next.unref()
    } else ring.arm(this.#turn)
  }

  /** Returns whether any have gone back. */
  #giveBack(): boolean {
    if (!this.#released) return false
    this.#released = !this.#source.giveBack()
    if (this.#released) this.wake()
    return true
  }

  #reap(): void {
    // A handler may ask for a turn of its own; the completions behind its own are the outer call's.
    if (this.#reaping) return
    const { cqes, cqEntries, cqeWords } = this.ring.memory
    const mask = cqEntries - 1
    const base = this.base
    const buffers = this.#buffers
    const count = this.ring.cqReady()
    if (count === 0) return
    this.#busyPoll.worked()
    const head = this.ring.cqHead
    let seen = 0
    this.#reaping = true
    try {
      while (seen < count && !this.#closed) {
        const at = ((head + seen++) & mask) * cqeWords
        const flags = cqes[at + 3]!
        const offset = buffers === null ? (cqes[at + 4]! >>> 0) + base : buffers.offsetOf(flags)
        this.#handler(cqes[at + 1]!, cqes[at]!, cqes[at + 2]!, flags, offset)
      }
    } finally {
      this.#reaping = false
      if (!this.#closed) this.ring.cqAdvance(seen)
    }
    this.#batchEnd()
  }
}
