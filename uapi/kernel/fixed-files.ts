import { EBADF, EINVAL, EMFILE, ENFILE, ENXIO } from '../abi/errno.ts'
import { IORING_FILE_INDEX_ALLOC } from '../abi/io-uring.ts'
import type { FileTable, OpenFile } from './files.ts'

/** A `user_data`, in halves. */
export interface UserData {
  readonly userDataLow: number
  readonly userDataHigh: number
}

/** The ring that has fixed files, for completions of no request: see `RingContext.postAux`. */
export interface TagPort {
  postAux(of: UserData, res: number, flags: number): void
}

/** Of files that were registered without one, and whose end nobody is told of. */
export const NO_TAG: UserData = { userDataLow: 0, userDataHigh: 0 }

/** What a slot holds; lives on while requests that were made through the slot do. */
export class FixedFile {
  readonly file: OpenFile
  readonly #port: TagPort
  /** `user_data` of the completion that tells that nothing uses it any more; 0 = none. */
  readonly #tag: UserData
  /** Letting go of the slot lets go of the file. */
  readonly #owned: boolean
  #references = 1

  constructor(port: TagPort, file: OpenFile, owned: boolean, tag: UserData = NO_TAG) {
    this.#port = port
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
    if (this.#owned) this.file.release()
    const { userDataLow, userDataHigh } = this.#tag
    if (userDataLow !== 0 || userDataHigh !== 0) this.#port.postAux(this.#tag, 0, 0)
  }
}

/** A ring's fixed files: what IOSQE_FIXED_FILE and direct descriptors count in. */
export class FixedFiles {
  readonly #port: TagPort
  #slots: (FixedFile | null)[] = []
  /** What IORING_FILE_INDEX_ALLOC may take, and where it looks first. */
  #allocFrom = 0
  #allocTo = 0
  #hint = 0

  constructor(port: TagPort) {
    this.#port = port
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
    this.set(slot, new FixedFile(this.#port, file, true))
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

/** The two places that files have numbers in. */
interface InstallPort {
  readonly process: { readonly files: FileTable }
  readonly files: FixedFiles
}

/** Gives a new file a number: a descriptor, or the slot that `file_index` asks for. It is let go where there is none. */
export function install(port: InstallPort, file: OpenFile, fileIndex: number): number {
  const number = fileIndex === 0 ? port.process.files.open(file) : port.files.install(file, fileIndex)
  if (number >= 0) return number
  file.release()
  return fileIndex === 0 ? -EMFILE : number
}
