import { EBADF, EINVAL, EMFILE, ENFILE, ENXIO } from '../abi/errno.ts'
import { IORING_FILE_INDEX_ALLOC } from '../abi/ring.ts'
import type { RingContext } from './context.ts'
import { letGo, type OpenFile } from './files.ts'

/** What a slot holds; lives on while requests that were made through the slot do. */
export class FixedFile {
  readonly file: OpenFile
  readonly #context: RingContext
  /** `user_data` of the completion that tells that nothing uses it any more; 0 = none. */
  readonly #tag: { userDataLow: number; userDataHigh: number }
  /** Letting go of the slot lets go of the file. */
  readonly #owned: boolean
  #references = 1

  constructor(
    context: RingContext,
    file: OpenFile,
    owned: boolean,
    tag = { userDataLow: 0, userDataHigh: 0 },
  ) {
    this.#context = context
    this.file = file
    this.#owned = owned
    this.#tag = tag
  }

  hold(): this {
    this.#references++
    return this
  }

  drop(): void {
    if (--this.#references > 0) return
    if (this.#owned) letGo(this.file)
    const { userDataLow, userDataHigh } = this.#tag
    if (userDataLow !== 0 || userDataHigh !== 0) this.#context.postAux(this.#tag, 0, 0)
  }
}

/** A ring's fixed files: what IOSQE_FIXED_FILE and direct descriptors count in. */
export class FixedFiles {
  readonly #context: RingContext
  #slots: (FixedFile | null)[] = []
  /** What IORING_FILE_INDEX_ALLOC may take, and where it looks first. */
  #allocFrom = 0
  #allocTo = 0
  #hint = 0

  constructor(context: RingContext) {
    this.#context = context
  }

  /** Slots; 0 = none are registered. */
  get size(): number {
    return this.#slots.length
  }

  create(slots: (FixedFile | null)[]): void {
    this.#slots = slots
    this.allocRange(0, slots.length)
  }

  allocRange(from: number, length: number): void {
    this.#allocFrom = from
    this.#allocTo = from + length
    this.#hint = from
  }

  get(slot: number): FixedFile | null {
    return this.#slots[slot] ?? null
  }

  /** Puts something else, or nothing, into a slot. */
  set(slot: number, fixed: FixedFile | null): void {
    const old = this.#slots[slot] ?? null
    this.#slots[slot] = fixed
    if (fixed !== null) this.#hint = slot + 1
    else if (old !== null) this.#hint = slot
    old?.drop()
  }

  /** Gives an open file the slot that `file_index` asks for. 0, with IORING_FILE_INDEX_ALLOC the slot, or minus errno. */
  install(file: OpenFile, fileIndex: number): number {
    const allocates = fileIndex === IORING_FILE_INDEX_ALLOC
    const slot = allocates ? this.#free() : fileIndex - 1
    if (slot < 0) return allocates ? -ENFILE : -EINVAL
    if (file.kind === 'ring') return -EBADF
    if (this.size === 0) return -ENXIO
    if (slot >= this.size) return -EINVAL
    this.set(slot, new FixedFile(this.#context, file, true))
    return allocates ? slot : 0
  }

  /** CLOSE of a direct descriptor. 0 or minus errno. */
  remove(slot: number): number {
    if (this.size === 0) return -ENXIO
    if (slot >= this.size) return -EINVAL
    if (this.#slots[slot] === null) return -EBADF
    this.set(slot, null)
    return 0
  }

  /** Lets go of everything. */
  clear(): void {
    const slots = this.#slots
    this.#slots = []
    for (const fixed of slots) fixed?.drop()
  }

  /** A free slot of those that may be given out: from where the last one was on, then from the first. -1 for none. */
  #free(): number {
    for (let slot = this.#hint; slot < this.#allocTo; slot++) if (this.#slots[slot] === null) return slot
    const end = Math.min(this.#hint, this.#allocTo)
    for (let slot = this.#allocFrom; slot < end; slot++) if (this.#slots[slot] === null) return slot
    return -1
  }
}

/** Gives a new file a number: a descriptor, or the slot that `file_index` asks for. It is let go where there is none. */
export function install(context: RingContext, file: OpenFile, fileIndex: number): number {
  const fd = context.kernel.files
  const number = fileIndex === 0 ? fd.open(file) : context.files.install(file, fileIndex)
  if (number >= 0) return number
  letGo(file)
  return fileIndex === 0 ? -EMFILE : number
}
