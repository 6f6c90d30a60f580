import { allocateArea } from '../../../driver/area.ts'
import type { Native } from '../../../driver/native/index.ts'
import { allocatePages } from '../../../driver/native/memory.ts'
import { ReadWatch } from '../../../driver/watch.ts'
import { ArgumentError, type ZcrxError } from '../../../errors.ts'
import { EBADF, EEXIST, EINTR, ETIME } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { UringParams } from '../../abi/params.ts'
import type { AllocateOptions, RingBackend } from '../../ring/backend.ts'
import { type RingMapping, RingMemory } from '../../ring/memory.ts'
import { ifqRefused, setUpRefused } from './refusals.ts'
import { type RingsMemory, setUp } from './set-up.ts'

/** How long (milliseconds) a queue is asked for that is just being given back, and how often. */
const GIVEN_BACK_MS = 1000
const AGAIN_MS = 5
/** A thread that sleeps in the kernel comes by every so often (milliseconds): only there it hears that it is to end. */
const LOOK_UP_MS = 200

const nap = new Int32Array(new SharedArrayBuffer(4))

/**
 * A ring of the Linux kernel's. System calls are system calls; the event loop is woken by an eventfd, since epoll on a ring's own
 * descriptor loses wake-ups with IORING_SETUP_DEFER_TASKRUN.
 *
 * Memory that entries name has to stay where it is until they have completed: `Ring` holds it, but a buffer that is transferred to
 * another thread meanwhile is out of its reach.
 */
export class LinuxBackend implements RingBackend {
  readonly diagnostics = null
  readonly #native: Native
  readonly #where: RingsMemory | null
  /** Addresses of buffers that were asked for: they stay where they are. */
  readonly #bases = new WeakMap<ArrayBufferLike, number>()
  #fd = -1
  #eventFd = -1
  #memory: RingMemory | null = null
  /** Index of `cq_flags` in the control words. */
  #cqFlagsAt = 0
  /** What keeps the ring although its descriptor is closed. */
  readonly #mapped: Uint8Array[] = []
  #watch: ReadWatch | null = null
  #keepsAlive = true
  #armed: (() => void) | null = null
  #refusal: ZcrxError | null = null

  /** @internal use `LinuxHost`; @param where null: as the kernel has it */
  constructor(native: Native, where: RingsMemory | null) {
    this.#native = native
    this.#where = where
  }

  open(entries: number, params: UringParams): RingMapping | number {
    const wanted = { flags: params.flags, cqEntries: params.cqEntries }
    const asked = Number.isInteger(entries) && entries > 0 && entries < 2 ** 32 ? entries : 0
    const made = setUp(this.#native, asked, params, this.#where)
    if (typeof made === 'number') {
      this.#refusal = setUpRefused(-made, entries, wanted)
      return made
    }
    this.#fd = made.fd
    this.#mapped.push(...made.mapped)
    this.#memory = new RingMemory(made.mapping, params)
    this.#cqFlagsAt = params.cqOff.flags / 4
    const told = this.#openEventFd()
    if (told < 0) {
      this.close()
      this.#refusal = setUpRefused(-told, entries, wanted)
      return told
    }
    this.#refusal = null
    return made.mapping
  }

  /** Before anything is submitted: of work that was queued earlier it would not tell. */
  #openEventFd(): number {
    const fd = this.#native.eventFd()
    if (fd < 0) return fd
    this.#eventFd = fd
    this.#tellEvents(false)
    return this.register(abi.IORING_REGISTER_EVENTFD, new Uint8Array(Int32Array.of(fd).buffer), 1)
  }

  /** While nobody sleeps, writing to the eventfd would be time lost. */
  #tellEvents(on: boolean): void {
    Atomics.store(this.#memory!.control, this.#cqFlagsAt, on ? 0 : abi.IORING_CQ_EVENTFD_DISABLED)
  }

  get fd(): number {
    return this.#fd
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    if (this.#fd < 0) return -EBADF
    if (minComplete > 0 && timeoutMs > LOOK_UP_MS && (flags & abi.IORING_ENTER_GETEVENTS) !== 0)
      return this.#enterLong(toSubmit, minComplete, flags, timeoutMs)
    return this.#native.uringEnter(this.#fd, toSubmit, minComplete, flags, timeoutMs)
  }

  #enterLong(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    const end = timeoutMs === Number.POSITIVE_INFINITY ? timeoutMs : performance.now() + timeoutMs
    const { cqEntries } = this.#memory!
    let taken = 0
    for (let left = timeoutMs; ; left = end - performance.now()) {
      if (left <= 0) return taken > 0 ? taken : -ETIME
      const wait = Math.min(LOOK_UP_MS, left)
      const result = this.#native.uringEnter(this.#fd, toSubmit - taken, minComplete, flags, wait)
      // Where entries were taken it answers how many, whatever became of the wait.
      if (result > 0) {
        taken += result
        if (taken < toSubmit || this.#ready() >= Math.min(minComplete, cqEntries)) return taken
      } else if (result !== -ETIME && result !== -EINTR) return taken > 0 ? taken : result
    }
  }

  #ready(): number {
    const { control, cqHeadAt, cqTailAt } = this.#memory!
    return (Atomics.load(control, cqTailAt) - Atomics.load(control, cqHeadAt)) | 0
  }

  /** It is the kernel thread of IORING_SETUP_SQPOLL that works by itself, for a ring that was set up so. */
  attend(): boolean {
    return false
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    if (this.#fd < 0) return -EBADF
    const zcrx = opcode === abi.IORING_REGISTER_ZCRX_IFQ
    let result = this.#native.uringRegister(this.#fd, opcode, arg, nrArgs)
    // A queue is given back some time after whoever had it is gone.
    const end = zcrx && result === -EEXIST ? performance.now() + GIVEN_BACK_MS : 0
    while (result === -EEXIST && performance.now() < end) {
      Atomics.wait(nap, 0, 0, AGAIN_MS)
      result = this.#native.uringRegister(this.#fd, opcode, arg, nrArgs)
    }
    if (zcrx) this.#refusal = result < 0 ? ifqRefused(-result) : null
    return result
  }

  mmap(offset: number, length: number): Uint8Array | number {
    if (this.#fd < 0) return -EBADF
    const buffer = this.#native.uringMap(this.#fd, offset, length)
    if (typeof buffer === 'number') return buffer
    const bytes = new Uint8Array(buffer)
    this.#mapped.push(bytes)
    return bytes
  }

  allocate(bytes: number, { area = false }: AllocateOptions = {}): Uint8Array {
    if (!area) return new Uint8Array(allocatePages(Math.max(1, bytes)).buffer, 0, bytes)
    const memory = allocateArea(bytes, 0)
    this.#native.adviseDontFork(memory)
    return memory
  }

  pinned(area: Uint8Array): void {
    this.#native.adviseDontFork(area)
  }

  addressOf(bytes: Uint8Array): number {
    // The buffer first: bytes that lie in the heap of the runtime, which moves them, are put elsewhere by asking for it.
    const { buffer } = bytes
    let base = this.#bases.get(buffer)
    if (base === undefined) {
      if (!this.reaches(bytes))
        throw new ArgumentError('the memory can be moved or taken away', 'take it from Ring.arena')
      base = this.#native.addressOf(bytes) - bytes.byteOffset
      this.#bases.set(buffer, base)
    }
    return base + bytes.byteOffset
  }

  /** Not what can be cut short under the kernel's hands. */
  reaches(bytes: Uint8Array): boolean {
    return (bytes.buffer as { resizable?: boolean }).resizable !== true
  }

  arm(callback: (() => void) | null): void {
    if (this.#fd < 0) return
    this.#armed = callback
    if (callback === null) {
      this.#watch?.arm(null)
      this.#tellEvents(false)
      return
    }
    this.#tellEvents(true)
    if (this.#something()) {
      this.#watch?.arm(null)
      setImmediate(this.#fire, callback)
      return
    }
    if (this.#watch === null) {
      this.#watch = new ReadWatch(() => new this.#native.Watcher(this.#eventFd))
      this.#watch.keepAlive(this.#keepsAlive)
    }
    this.#watch.arm(this.#told)
  }

  keepAlive(on: boolean): void {
    this.#keepsAlive = on
    this.#watch?.keepAlive(on)
  }

  /** Completions, or what brings some when it is entered: of what came before the eventfd was asked to tell it says nothing. */
  #something(): boolean {
    return this.#memory!.pending || this.#ready() !== 0
  }

  readonly #told = (): void => {
    this.#native.drainEventFd(this.#eventFd)
    if (this.#armed !== null) this.#fire(this.#armed)
  }

  readonly #fire = (callback: () => void): void => {
    if (this.#armed !== callback) return
    this.#armed = null
    this.#tellEvents(false)
    callback()
  }

  refusal(): ZcrxError | null {
    return this.#refusal
  }

  close(): void {
    if (this.#fd < 0) return
    this.#armed = null
    this.#watch?.close()
    for (const bytes of this.#mapped.splice(0)) this.#native.release(bytes)
    if (this.#eventFd >= 0) this.#native.close(this.#eventFd)
    this.#native.close(this.#fd)
    this.#fd = -1
    this.#eventFd = -1
  }
}
