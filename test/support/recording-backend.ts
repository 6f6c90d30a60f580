import type { Diagnostics } from '../../diagnostics.ts'
import type { ZcrxError } from '../../errors.ts'
import { PAGE } from '../../pages.ts'
import { UringParams } from '../../uapi/abi/params.ts'
import { type BackendMemory, InlineBackend } from '../../uapi/backend/inline.ts'
import type { Kernel } from '../../uapi/kernel/kernel.ts'
import type { AllocateOptions, RingBackend } from '../../uapi/ring/backend.ts'
import type { RingMapping } from '../../uapi/ring/memory.ts'

/** Pages of 64 KiB. */
const WASM_PAGE = 65_536

/** One memory that everything lies in which both sides of a ring share: nothing else has an address. */
export class WasmMemory implements BackendMemory {
  readonly buffer: SharedArrayBuffer
  readonly #tailBytes: number
  #used = PAGE

  /** @param tailBytes room behind an area */
  constructor(bytes: number, tailBytes = 0) {
    const pages = Math.ceil(bytes / WASM_PAGE)
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.buffer = memory.buffer as unknown as SharedArrayBuffer
    this.#tailBytes = tailBytes
  }

  get used(): number {
    return this.#used
  }

  allocate(bytes: number, { area = false }: AllocateOptions = {}): Uint8Array {
    const at = this.#used
    this.#used += Math.ceil((bytes + (area ? this.#tailBytes : 0)) / PAGE) * PAGE
    if (this.#used > this.buffer.byteLength) throw new RangeError('the memory of the back end is used up')
    return new Uint8Array(this.buffer, at, bytes)
  }

  reaches(bytes: Uint8Array): boolean {
    return bytes.buffer === (this.buffer as ArrayBufferLike)
  }
}

/** A call across the boundary: numbers, and what they come to. */
export interface Call {
  readonly name: 'open' | 'enter' | 'register' | 'mmap' | 'allocate' | 'close'
  readonly args: readonly number[]
  result: number
  /** Bytes of the shared memory that were others when it was called than after the call before, and when it had returned. */
  before: Change[]
  after: Change[]
}

type Change = readonly [at: number, bytes: Uint8Array]

/**
 * A second back end. Each call is written down as numbers, and only what was written down reaches the kernel; memory lies in a
 * `WebAssembly.Memory`, and what lies elsewhere can't be named. So whatever works on it needs nothing but ring words, shared memory
 * and the four calls.
 */
export class RecordingBackend implements RingBackend {
  /** Calls on all back ends of this kind. */
  static crossed = 0
  readonly memory: WasmMemory
  /** Every call, when `keeps`. */
  readonly calls: Call[] = []
  /** `struct io_uring_params` as `open` was answered. */
  answer: Uint8Array = new Uint8Array(0)
  /** Calls that answer -EINTR before they do anything, one in so many; 0 = none. */
  interrupts = 0
  readonly #inline: InlineBackend
  readonly #shadow: Uint8Array | null
  #entered = 0

  /** @param keeps the calls and what they changed are kept, for `ReplayingBackend` */
  constructor(kernel: Kernel, memory: WasmMemory, keeps = false) {
    this.memory = memory
    this.#inline = new InlineBackend(kernel, memory)
    this.#shadow = keeps ? new Uint8Array(memory.buffer.byteLength) : null
  }

  get diagnostics(): Diagnostics {
    return this.#inline.diagnostics
  }

  refusal(): ZcrxError | null {
    return this.#inline.refusal()
  }

  open(entries: number, params: UringParams): RingMapping | number {
    const { flags, sqEntries, cqEntries } = params
    const opened: (RingMapping | number)[] = []
    this.#cross('open', [entries, flags, sqEntries, cqEntries], (...args) => {
      const asked = new UringParams(new Uint8Array(UringParams.SIZE))
      asked.flags = args[1]!
      asked.sqEntries = args[2]!
      asked.cqEntries = args[3]!
      const mapping = this.#inline.open(args[0]!, asked)
      params.bytes.set(asked.bytes)
      this.answer = asked.bytes
      opened.push(mapping)
      return typeof mapping === 'number' ? mapping : mapping.rings.byteOffset
    })
    return opened[0]!
  }

  get fd(): number {
    return this.#inline.fd
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    if (this.interrupts > 0 && ++this.#entered % this.interrupts === 0) return -4
    return this.#cross('enter', [toSubmit, minComplete, flags, timeoutMs], (...args) =>
      this.#inline.enter(args[0]!, args[1]!, args[2]!, args[3]!),
    )
  }

  attend(): boolean {
    return false
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    const address = arg === null ? 0 : this.addressOf(arg)
    return this.#cross('register', [opcode, address, nrArgs], (...args) =>
      this.#inline.context.registerAt(args[0]!, args[1]!, args[2]!),
    )
  }

  mmap(offset: number, length: number): Uint8Array | number {
    let mapped: Uint8Array | number = 0
    this.#cross('mmap', [offset, length], (...args) => {
      mapped = this.#inline.mmap(args[0]!, args[1]!)
      return typeof mapped === 'number' ? mapped : mapped.byteOffset
    })
    return mapped
  }

  allocate(bytes: number, options: AllocateOptions = {}): Uint8Array {
    let memory: Uint8Array = new Uint8Array(0)
    this.#cross('allocate', [bytes, options.area === true ? 1 : 0], (...args) => {
      memory = this.#inline.allocate(args[0]!, { area: args[1] === 1 })
      return memory.byteOffset
    })
    return memory
  }

  addressOf(bytes: Uint8Array): number {
    return this.#inline.addressOf(bytes)
  }

  reaches(bytes: Uint8Array): boolean {
    return this.#inline.reaches(bytes)
  }

  arm(callback: (() => void) | null): void {
    this.#inline.arm(callback)
  }

  keepAlive(on: boolean): void {
    this.#inline.keepAlive(on)
  }

  close(): void {
    this.#cross('close', [], () => {
      this.#inline.close()
      return 0
    })
  }

  #cross(name: Call['name'], args: number[], call: (...args: number[]) => number): number {
    RecordingBackend.crossed++
    const written = JSON.stringify({ name, args: args.map(finite), result: 0, before: [], after: [] })
    const record: Call = JSON.parse(written)
    record.before = this.#changes()
    record.result = call(...record.args.map(infinite))
    record.after = this.#changes()
    if (this.#shadow !== null) this.calls.push(record)
    return record.result
  }

  /** Where the memory is another than when this was called last, in runs of words. */
  #changes(): Change[] {
    const shadow = this.#shadow
    if (shadow === null) return []
    const now = new Uint8Array(this.memory.buffer)
    const words = new Int32Array(this.memory.buffer)
    const before = new Int32Array(shadow.buffer)
    const changes: Change[] = []
    for (let at = 0; at < words.length; at++) {
      if (words[at] === before[at]) continue
      const first = at
      while (at < words.length && words[at] !== before[at]) at++
      changes.push([first * 4, now.slice(first * 4, at * 4)])
    }
    for (const [at, bytes] of changes) shadow.set(bytes, at)
    return changes
  }
}

/** JSON has no Infinity. */
const finite = (value: number): number => (Number.isFinite(value) ? value : -1e300)
const infinite = (value: number): number => (value === -1e300 ? Number.POSITIVE_INFINITY : value)

/**
 * What was recorded, without any kernel: the same calls are answered as they were, in the same order, by writing to memory what was
 * written then. Another call, or the same one with other numbers, is an error.
 */
export class ReplayingBackend implements RingBackend {
  readonly diagnostics = null
  readonly fd = 3
  readonly #memory: WasmMemory
  readonly #calls: readonly Call[]
  readonly #base: number
  readonly #answer: Uint8Array
  #next = 0
  /** Where the submission entries lie. */
  #sqes = 0
  #sqesEnd = 0

  constructor(recorded: RecordingBackend) {
    this.#calls = recorded.calls
    this.#answer = recorded.answer
    this.#memory = new WasmMemory(recorded.memory.buffer.byteLength)
    this.#base = recorded.addressOf(new Uint8Array(recorded.memory.buffer))
  }

  /** Calls that have not come yet. */
  get left(): number {
    return this.#calls.length - this.#next
  }

  open(entries: number, params: UringParams): RingMapping | number {
    const { flags, sqEntries, cqEntries } = params
    const at = this.#play('open', [entries, flags, sqEntries, cqEntries])
    params.bytes.set(this.#answer)
    // The kernel allocates the rings, then the entries behind them.
    const bytes = params.cqOff.cqes + params.cqEntries * 32
    this.#sqes = Math.ceil((at + bytes) / PAGE) * PAGE
    this.#sqesEnd = this.#sqes + params.sqEntries * 64
    return {
      rings: new Uint8Array(this.#memory.buffer, at, bytes),
      sqes: new Uint8Array(this.#memory.buffer, this.#sqes, params.sqEntries * 64),
    }
  }

  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number {
    return this.#play('enter', [toSubmit, minComplete, flags, finite(timeoutMs)])
  }

  refusal(): null {
    return null
  }

  attend(): boolean {
    return false
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return this.#play('register', [opcode, arg === null ? 0 : this.addressOf(arg), nrArgs])
  }

  mmap(offset: number, length: number): Uint8Array | number {
    const at = this.#play('mmap', [offset, length])
    return at < 0 ? at : new Uint8Array(this.#memory.buffer, at, length)
  }

  allocate(bytes: number, options: AllocateOptions = {}): Uint8Array {
    const at = this.#play('allocate', [bytes, options.area === true ? 1 : 0])
    return new Uint8Array(this.#memory.buffer, at, bytes)
  }

  addressOf(bytes: Uint8Array): number {
    return this.#base + bytes.byteOffset
  }

  reaches(bytes: Uint8Array): boolean {
    return this.#memory.reaches(bytes)
  }

  arm(callback: (() => void) | null): void {
    // Whatever it waited for then has come.
    if (callback !== null) setImmediate(callback)
  }

  keepAlive(): void {}

  close(): void {
    this.#play('close', [])
  }

  #play(name: Call['name'], args: number[]): number {
    const call = this.#calls[this.#next++]
    const said = `${name}(${args})`
    if (call === undefined) throw new Error(`${said} where nothing was recorded any more`)
    if (said !== `${call.name}(${call.args})`)
      throw new Error(`call ${this.#next}: ${said}, recorded was ${call.name}(${call.args})`)
    const bytes = new Uint8Array(this.#memory.buffer)
    for (const [at, changed] of call.before) {
      const entries = at >= this.#sqes && at < this.#sqesEnd
      if (entries && Buffer.compare(bytes.subarray(at, at + changed.length), changed) !== 0)
        throw new Error(`call ${this.#next}, ${said}: the entries are not those that were recorded`)
      // What a device writes between two calls.
      bytes.set(changed, at)
    }
    for (const [at, changed] of call.after) bytes.set(changed, at)
    return call.result
  }
}
