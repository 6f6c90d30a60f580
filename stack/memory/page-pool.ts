import type { Census } from '../../diagnostics.ts'
import type { NicMemory } from '../../driver/nic.ts'

/**
 * The buffers of one area, and who holds each. Fixed-size pieces ("niovs", as the kernel's net_iov) are handed to the NIC,
 * come back with data, are referenced by receive queues (`stackRefs`) and by completions the user has not given back
 * (`userRefs`). A niov is free again when both counts are zero.
 *
 * Free niovs form a stack, as Linux keeps them (docs/conformance.md, A6): a fresh area is handed out from the highest niov
 * down, what came back last goes out first, which also keeps the working set in the CPU's cache.
 */
export class PagePool {
  /** Small number that names the pool in `Fragments`. */
  readonly id: number
  /** What the pool is made of. */
  readonly memory: NicMemory
  /** The area, byte by byte and in 32-bit words, unsigned and signed. */
  readonly bytes: Uint8Array
  /** The area in unsigned 32-bit words. */
  readonly words: Uint32Array
  /** The area in signed 32-bit words. */
  readonly ints: Int32Array
  /** Niovs in all. */
  readonly total: number
  /** log2 of the niov size. */
  readonly shift: number
  /** Bytes of a niov. */
  readonly niovSize: number
  /** Niovs 0..freeCount-1 of this stack are free. */
  readonly free: Uint32Array
  /** Niovs that are free. */
  freeCount: number
  /** References by receive queues, reassembly queues and the packing buffer. */
  readonly stackRefs: Uint16Array
  /** Completions handed to the user and not yet returned. */
  readonly userRefs: Uint32Array
  /** Sum of `userRefs`: completions out with the user. */
  userOut = 0
  /** No NIC fills from this pool any more; it ends when its last niov is free. */
  retired = false
  /** When each niov was last handed to the user, and by whom; kept by who looks for those that stay away, null else. */
  heldSince: Int32Array | null = null
  /** By whom each niov was last handed out; kept with `heldSince`. */
  heldBy: Int32Array | null = null
  /** Whoever registered the area: its data is for nobody else. Null for the stack's own memory. */
  readonly owner: object | null
  /** The area's number among those of its owner. */
  readonly areaId: number

  constructor(id: number, memory: NicMemory, owner: object | null = null, areaId = 0) {
    this.id = id
    this.owner = owner
    this.areaId = areaId
    this.memory = memory
    this.bytes = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.words = new Uint32Array(memory.buffer, memory.areaOffset, memory.areaLength >>> 2)
    this.ints = new Int32Array(memory.buffer, memory.areaOffset, memory.areaLength >>> 2)
    this.shift = 31 - Math.clz32(memory.chunkSize)
    this.niovSize = memory.chunkSize
    this.total = memory.areaLength / memory.chunkSize
    this.free = new Uint32Array(this.total)
    for (let i = 0; i < this.total; i++) this.free[i] = i
    this.freeCount = this.total
    this.stackRefs = new Uint16Array(this.total)
    this.userRefs = new Uint32Array(this.total)
  }

  /** A free niov, now the caller's; -1 when there is none. */
  take(): number {
    if (this.freeCount === 0) return -1
    return this.free[--this.freeCount]!
  }

  /** Gives back a niov that nobody references. */
  put(niov: number): void {
    this.free[this.freeCount++] = niov
  }

  /** One more reference by the stack. */
  hold(niov: number): void {
    this.stackRefs[niov]!++
  }

  /** Drops a reference of the stack; the last one frees the niov unless the user holds it. */
  drop(niov: number): void {
    if (--this.stackRefs[niov]! === 0 && this.userRefs[niov] === 0) this.put(niov)
  }

  /** The stack's reference becomes the user's: a completion was posted. */
  handToUser(niov: number): void {
    this.stackRefs[niov]!--
    this.userRefs[niov]!++
    this.userOut++
  }

  /** A completion for a part of the niov was posted; the stack keeps its own reference to the rest. */
  shareWithUser(niov: number): void {
    this.userRefs[niov]!++
    this.userOut++
  }

  /**
   * The user returns one completion's buffer. False, and nothing happens, when the niov does not exist or the user holds
   * no reference to it: each completion can be returned once.
   */
  returnFromUser(niov: number): boolean {
    if (niov >= this.total || this.userRefs[niov] === 0) return false
    this.userOut--
    if (--this.userRefs[niov]! === 0 && this.stackRefs[niov] === 0) this.put(niov)
    return true
  }

  /** Entries of the last `returnRun` that named a buffer the user does not hold. */
  refused = 0

  /**
   * `returnFromUser` for entries of a refill queue, four words each, from ring position `from` on: up to the first that is not
   * plainly one of this area's (another area, a bad offset, padding that is not zero). Returns how many that were; `refused` of
   * them were not held. @param mask of the ring's positions
   */
  returnRun(entries: Uint32Array, from: number, count: number, mask: number): number {
    const { userRefs, stackRefs, free, shift, total } = this
    let top = this.freeCount
    let refused = 0
    let i = 0
    for (; i < count; i++) {
      const at = ((from + i) & mask) << 2
      const niov = entries[at]! >>> shift
      if (entries[at + 1] !== 0 || entries[at + 3] !== 0 || niov >= total) break
      const refs = userRefs[niov]!
      if (refs === 0) {
        refused++
        continue
      }
      userRefs[niov] = refs - 1
      if (refs === 1 && stackRefs[niov] === 0) free[top++] = niov
    }
    this.freeCount = top
    this.userOut -= i - refused
    this.refused = refused
    return i
  }

  /** Nobody references the niov. */
  isFree(niov: number): boolean {
    return this.userRefs[niov] === 0 && this.stackRefs[niov] === 0
  }

  /** Takes back everything the user holds (teardown). Returns how many references that were. */
  scrub(): number {
    let taken = 0
    for (let niov = 0; niov < this.total; niov++) {
      const refs = this.userRefs[niov]!
      if (refs === 0) continue
      taken += refs
      this.userRefs[niov] = 0
      if (this.stackRefs[niov] === 0) this.put(niov)
    }
    this.userOut = 0
    return taken
  }

  /** Niovs on the free stack. */
  countFree(): number {
    return this.freeCount
  }

  /** Niovs that the stack references (also those that the user references too). */
  countQueued(): number {
    let count = 0
    for (let niov = 0; niov < this.total; niov++) if (this.stackRefs[niov] !== 0) count++
    return count
  }

  /** Niovs that only the user references. */
  countUser(): number {
    let count = 0
    for (let niov = 0; niov < this.total; niov++) {
      if (this.userRefs[niov] !== 0 && this.stackRefs[niov] === 0) count++
    }
    return count
  }
}

export function takeCensus(pool: PagePool, chunksHeld: number): Census {
  const free = pool.countFree()
  const fill = pool.retired ? 0 : chunksHeld
  const queued = pool.countQueued()
  const user = pool.countUser()
  const total = pool.total
  return { total, free, fill, rx: 0, queued, user, lost: total - free - fill - queued - user }
}
