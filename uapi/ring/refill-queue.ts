import { RQE_SIZE } from '../abi/structs.ts'

/** Where a registration put the parts of the refill queue, bytes from the start of the region. */
export interface RefillOffsets {
  readonly head: number
  readonly tail: number
  readonly rqes: number
}

/**
 * The user's side of a refill queue (`struct io_uring_zcrx_rq`): entries name buffers that the application has finished with.
 * Push as many as you like, then `advance` once.
 */
export class RefillQueue {
  readonly #head: Int32Array
  readonly #tailWord: Int32Array
  readonly #entries: Uint32Array
  readonly #mask: number
  readonly #lock: Int32Array | null
  #tail: number
  /** The kernel's head when it was last looked at: it may have gone on, which matters when the queue looks full. */
  #headSeen: number
  /** How many it holds: a power of two. */
  readonly entries: number
  /** Where it lies, for whoever is to push to it from another thread. */
  readonly region: Uint8Array
  /** Where its words lie in `region`. */
  readonly offsets: RefillOffsets

  /**
   * @param region memory of the registration's region @param entries the rounded count the registration wrote back
   * @param lock a word that all share who push, where several do: then nothing but `pushAll` is to be used
   */
  constructor(region: Uint8Array, offsets: RefillOffsets, entries: number, lock: Int32Array | null = null) {
    this.entries = entries
    this.region = region
    this.offsets = offsets
    this.#lock = lock
    this.#mask = entries - 1
    this.#head = new Int32Array(region.buffer, region.byteOffset + offsets.head, 1)
    this.#tailWord = new Int32Array(region.buffer, region.byteOffset + offsets.tail, 1)
    this.#entries = new Uint32Array(region.buffer, region.byteOffset + offsets.rqes, (entries * RQE_SIZE) / 4)
    this.#tail = Atomics.load(this.#tailWord, 0)
    this.#headSeen = Atomics.load(this.#head, 0)
  }

  /** Several threads push to it: there is one queue, whoever holds the instance. */
  get shared(): boolean {
    return this.#lock !== null
  }

  /**
   * Pushes the last of these offsets, takes them off the list, and so on until the list is empty or the queue full; then shows the
   * kernel what was pushed. Where others push as well, they wait meanwhile.
   */
  pushAll(areaId: number, offsets: number[]): void {
    if (this.#lock !== null) {
      acquire(this.#lock)
      this.#tail = Atomics.load(this.#tailWord, 0)
      this.#headSeen = Atomics.load(this.#head, 0)
    }
    while (offsets.length > 0 && this.push(areaId, offsets[offsets.length - 1]!, 0)) offsets.pop()
    this.advance()
    if (this.#lock !== null) release(this.#lock)
  }

  /** Entries that `push` would still take. */
  space(): number {
    return this.entries - ((this.#tail - Atomics.load(this.#head, 0)) | 0)
  }

  /**
   * Writes one entry: the buffer that byte `offset` of area `areaId` lies in has been read. False when the queue is full:
   * enter the ring (or flush) and push again. The kernel does not see it before `advance`.
   */
  push(areaId: number, offset: number, length: number): boolean {
    if (((this.#tail - this.#headSeen) | 0) >= this.entries) {
      this.#headSeen = Atomics.load(this.#head, 0)
      if (((this.#tail - this.#headSeen) | 0) >= this.entries) return false
    }
    const at = (this.#tail & this.#mask) * 4
    const entries = this.#entries
    entries[at] = offset
    entries[at + 1] = (areaId << 16) | Math.floor(offset / 4_294_967_296)
    entries[at + 2] = length
    entries[at + 3] = 0
    this.#tail = (this.#tail + 1) | 0
    return true
  }

  /** Shows the kernel everything pushed so far (store-release of the tail). */
  advance(): void {
    Atomics.store(this.#tailWord, 0, this.#tail)
  }
}

/** So long (milliseconds) somebody may have a lock whose thread may have ended with it: what it guards takes microseconds. */
const PATIENCE_MS = 1000

function acquire(lock: Int32Array): void {
  while (Atomics.compareExchange(lock, 0, 0, 1) !== 0) {
    // An entry that was being written when its thread ended was not shown to the kernel: the lock is simply taken over.
    if (Atomics.wait(lock, 0, 1, PATIENCE_MS) === 'timed-out') return
  }
}

function release(lock: Int32Array): void {
  Atomics.store(lock, 0, 0)
  Atomics.notify(lock, 0, 1)
}
