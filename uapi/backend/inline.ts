import type { Census, Diagnostics, HeldReport, IfqStats } from '../../diagnostics.ts'
import { ArgumentError, type ZcrxError } from '../../errors.ts'
import { sharedPages } from '../../pages.ts'
import { errnoName } from '../abi/errno.ts'
import type { UringParams } from '../abi/params.ts'
import type { RingContext } from '../kernel/context.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { Process } from '../kernel/process.ts'
import type { AllocateOptions, RingBackend, RingHost } from '../ring/backend.ts'
import type { RingMapping } from '../ring/memory.ts'

/** Where an inline back end's memory comes from. */
export interface BackendMemory {
  /** Zeroed, from a page's boundary on. */
  allocate(bytes: number, options?: AllocateOptions): Uint8Array
  reaches(bytes: Uint8Array): boolean
}

/** Every array of the process: the kernel is on the same thread. */
export class ProcessMemory implements BackendMemory {
  readonly #area: (bytes: number) => Uint8Array

  /** @param area memory for an area of so many bytes */
  constructor(area: (bytes: number) => Uint8Array) {
    this.#area = area
  }

  allocate(bytes: number, { area = false }: AllocateOptions = {}): Uint8Array {
    return area ? this.#area(bytes) : sharedPages(bytes)
  }

  reaches(): boolean {
    return true
  }
}

/** This package's stack as the kernel, on the thread of the application: system calls are calls. */
export class InlineBackend implements RingBackend, Diagnostics {
  readonly #kernel: Kernel
  readonly #memory: BackendMemory
  readonly #process: Process
  #context: RingContext | null = null
  #refusal: ZcrxError | null = null

  /** @param process whose ring it is; default the kernel's own */
  constructor(
    kernel: Kernel,
    memory: BackendMemory = new ProcessMemory(sharedPages),
    process: Process = kernel.process,
  ) {
    this.#kernel = kernel
    this.#memory = memory
    this.#process = process
  }

  get diagnostics(): Diagnostics {
    return this
  }

  /** Whoever sleeps on this ring has something to wake for; not while he is entering it. */
  readonly wakes = (): boolean => this.#context?.wakes === true

  /** The kernel's side of the ring. @throws ArgumentError before `open` */
  get context(): RingContext {
    if (this.#context === null)
      throw new ArgumentError('the ring was not set up', 'make it with Ring.queueInit')
    return this.#context
  }

  open(entries: number, params: UringParams): RingMapping | number {
    const allocate = (bytes: number): Uint8Array => this.#memory.allocate(bytes)
    const context = this.#kernel.setup(entries, params, allocate, this.#process)
    if ('errno' in context) {
      const { errno, why, remedy } = context
      this.#refusal = new ArgumentError(`${why} (${errnoName(errno)})`, remedy)
      return -errno
    }
    this.#context = context
    return { rings: context.memory.bytes, sqes: context.memory.sqes }
  }

  get fd(): number {
    return this.context.ringFd
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    return this.context.enter(toSubmit, minComplete, flags, timeoutMs)
  }

  /** There is nobody else to do the work; but data may be completed when others have it done. */
  attend(): boolean {
    this.context.kernel.deliver(this.context.direct, true)
    return false
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return this.context.registerAt(opcode, arg === null ? 0 : this.addressOf(arg), nrArgs)
  }

  mmap(offset: number, length: number): Uint8Array | number {
    return this.context.mmap(offset, length)
  }

  allocate(bytes: number, options?: AllocateOptions): Uint8Array {
    return this.#memory.allocate(bytes, options)
  }

  addressOf(bytes: Uint8Array): number {
    if (!this.#memory.reaches(bytes)) {
      throw new ArgumentError(
        'the memory is none that the other side of the ring reaches',
        'take it from Ring.arena',
      )
    }
    return this.#process.space.addressOf(bytes)
  }

  reaches(bytes: Uint8Array): boolean {
    return this.#memory.reaches(bytes)
  }

  arm(callback: (() => void) | null): void {
    this.#kernel.arm(callback, this)
  }

  keepAlive(on: boolean): void {
    this.#kernel.keepAlive(on, this)
  }

  close(): void {
    this.#kernel.keepAlive(true, this)
    this.#context?.close()
  }

  census(zcrxId: number): Census {
    return this.#ifq(zcrxId).census()
  }

  ifqStats(zcrxId: number): IfqStats {
    return this.#ifq(zcrxId).stats
  }

  watchHeld(zcrxId: number, afterMs: number, report: ((report: HeldReport) => void) | null): void {
    this.#kernel.watchHeld(this.#ifq(zcrxId), afterMs, report)
  }

  refusal(): ZcrxError | null {
    return this.#refusal ?? this.#kernel.nicError
  }

  #ifq(zcrxId: number): RingContext['ifqs'][number] {
    const ifq = this.context.ifqs[zcrxId]
    if (ifq === undefined) throw new ArgumentError(`zcrx id ${zcrxId} is none of this ring's`)
    return ifq
  }
}

/** A kernel whose rings are on its own thread: `Ring.queueInit` takes it. */
export class InlineKernel extends Kernel implements RingHost {
  ringBackend(): InlineBackend {
    return new InlineBackend(this)
  }
}
