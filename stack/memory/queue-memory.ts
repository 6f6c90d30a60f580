import type { Census } from '../../diagnostics.ts'
import { type Nic, type NicMemory, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import { PagePool, takeCensus } from './page-pool.ts'

/** Niovs with the NIC beyond what windows promise: two bursts of frames that no window accounts for. */
export const FILL_MARGIN = 512
/**
 * Payload no longer than this part of a niov is small: it is packed together with its neighbours when memory is short, or when the
 * connection holds many niovs with little in them. So, in the long run, a niov holds at least that much.
 */
const PACK_FRACTION = 4
/** Niovs that a connection may hold with however little in them: this part of the area, as a shift, and at least so many. */
const THIN_SHARE = 4
const THIN_NIOVS = 64
/** Niovs for payload that comes beside the area of a NIC that puts it there otherwise, and the memory they may take. */
const LINEAR_NIOVS = 1024
const LINEAR_BYTES = 16 << 20
/** Most pools alive at once: the current one and those that wait for their last niov. */
const MAX_POOLS = 65_535

/**
 * The memory behind one receive queue: the pool it is filled from now, and earlier pools whose niovs are still referenced.
 * Registering an area restarts the queue over it; data received before stays where it was until read.
 */
export class QueueMemory {
  /** Pools by id; shared with `Fragments`. Retired pools that ended are replaced. */
  readonly pools: PagePool[] = []
  /** The pool the NIC fills from, the first if there are several. */
  pool: PagePool
  /** Pools by area: where a NIC can write to several, those that were added follow `pool`; null where one was taken away. */
  areas: (PagePool | null)[] = []
  /** Niovs of all of them. */
  total = 0
  /** Most bytes of a frame that one chunk takes. */
  chunkPayload = 0
  /** Packets, and niovs, that the path in front of the stack can hold; 0 = any number. */
  readonly ringPackets: number
  readonly ringNiovs: number
  /** Most bytes of a payload that counts as small, and niovs that a connection may hold with however little in them. */
  smallBytes = 0
  thinNiovs = 0
  /** Small payloads may be packed together: not where the NIC, as the kernel's do, places them itself. */
  readonly packs: boolean
  /**
   * Niovs that no window promises: room for ACKs, RSTs, ARP and window probes, so that they always find a buffer.
   */
  reserve = 0
  /** Below this many available niovs small payloads are packed together. */
  packBelow = 0
  /**
   * Measured once per burst: there is enough for it without packing or refusing anything. What the burst itself brought is
   * already taken off, so it can't become untrue before the burst is done.
   */
  roomy = true
  /** Niovs the NIC should hold: what the windows promise, and a margin for what nobody was promised. */
  fillTarget = FILL_MARGIN
  /** Niovs of the burst being processed that nobody has looked at yet: they hold what was promised, or come back. */
  arriving = 0
  /**
   * Where payload that came beside the area is kept, if the NIC puts it into the area otherwise: it is copied into an area when
   * it is delivered. Null where it is copied into the area at once.
   */
  readonly linear: PagePool | null
  /** Called before a NIC that pulls is given free niovs: whoever is called returns some to the pool, if there are any. */
  beforeSupply: (() => void) | null = null
  /** A NIC that pulls has asked for niovs since the poll began, and there were none. */
  denied = false
  /** The number that each area's first niov has for the NIC, and the next one to be given. */
  #first: number[] = []
  #next = 0
  /**
   * By area: niovs that were never taken from the free stack's top since a NIC that pulls asked last: what lies above came
   * back since.
   */
  #untouched: number[] = []
  /** The areas of what the application returned since, in order. */
  readonly #returned: number[] = []
  /** The niov that a NIC packs payloads into; a stack reference keeps it from being free. */
  #open = -1
  /** Frames without a buffer are dropped, and no window waits for buffers. */
  readonly #drop: boolean
  /** Niovs kept from the NIC, so that the copy fallback finds some; fewer than `reserve`, or the NIC would starve. */
  #keepForCopies = 0
  readonly #nic: Nic

  /** @param drop `TcpConfig.backpressure` is `drop` */
  constructor(nic: Nic, memory: NicMemory, drop = false) {
    this.#nic = nic
    this.#drop = drop
    this.packs = nic.info.pulls !== true && !(nic.info.placement === 'split' && nic.openChunk !== undefined)
    this.ringPackets = nic.info.ringPackets
    this.ringNiovs = nic.info.fillEntries
    this.pool = this.#begin(memory, null)
    this.linear = nic.info.placement === 'split' ? this.#beginLinear() : null
    if (nic.info.pulls === true) nic.demand = (chunks) => this.#supply(chunks)
    this.fillNic()
  }

  /** Restarts the queue over other memory. Returns the new pool. @throws NicError and goes on with the old memory */
  restart(memory: NicMemory, owner: object | null = null): PagePool {
    const old = this.areas
    // The NIC lets go of what it packed payloads into; only now may it be free.
    this.#followOpen(-1)
    const held = old.map((pool) => (pool === null ? [] : this.#heldChunks(pool)))
    try {
      this.pool = this.#begin(memory, owner)
      this.beforeSupply = null
      for (const pool of old) if (pool !== null) pool.retired = true
    } catch (error) {
      // A refused restart may have stopped the queue.
      this.#nic.attach(this.pool.memory)
      for (let area = 1; area < old.length; area++) {
        const pool = old[area]!
        if (pool !== null) this.#nic.addArea!(pool.memory, area, this.#first[area]!)
      }
      throw error
    } finally {
      for (const [area, niovs] of held.entries()) for (const niov of niovs) old[area]!.put(niov)
      this.fillNic()
    }
    return this.pool
  }

  /** Whether the NIC can write to further areas. */
  get extensible(): boolean {
    return this.#nic.addArea !== undefined
  }

  /** Lets the NIC write to a further area too. Its number is `areas.length`. */
  addArea(memory: NicMemory, owner: object): PagePool {
    const area = this.areas.length
    const pool = new PagePool(this.#freeId(), memory, owner, area)
    this.#nic.addArea!(memory, area, this.#next)
    this.pools[pool.id] = pool
    this.#append(pool)
    return pool
  }

  /** Undoes it: what the NIC held is free, and what is in use comes back to a pool that nothing is taken from any more. */
  removeArea(pool: PagePool): void {
    const area = this.areas.indexOf(pool)
    if (area < 1) return
    const back = new Uint32Array(pool.total)
    const count = this.#nic.removeArea!(area, back)
    this.#followOpen()
    for (let i = 0; i < count; i++) pool.put(back[i]! - this.#first[area]!)
    pool.retired = true
    this.areas[area] = null
    this.#size()
  }

  /** The application has returned a niov that is free now. */
  cameBack(area: number): void {
    if (this.#nic.info.pulls === true && this.#returned.length < this.total) this.#returned.push(area)
  }

  /** Niovs that could take data: free, with the NIC, or in the part of a burst that is still to come. */
  available(): number {
    const free = this.areas.length === 1 ? this.pool.freeCount : this.#freeInAll()
    return free + this.#nic.chunksHeld() + this.arriving
  }

  #freeInAll(): number {
    let free = 0
    for (const pool of this.areas) free += pool?.freeCount ?? 0
    return free
  }

  measure(): void {
    this.roomy = this.available() >= this.packBelow
  }

  /**
   * Gives free niovs to the NIC, up to `fillTarget`, except a few kept for copies. The rest stays on the free stack: the
   * ring is first in, first out, so every niov in it is one more that goes cold before it is used again. For the same reason
   * further areas are used when earlier ones run short.
   */
  fillNic(): void {
    if (this.linear !== null) this.#followOpen()
    if (this.#nic.info.pulls === true) {
      this.#observe()
      return
    }
    let wanted = this.fillTarget - this.#nic.chunksHeld()
    if (wanted <= 0) return
    wanted = Math.min(wanted, this.#nic.fillSpace())
    for (let area = 0; area < this.areas.length && wanted > 0; area++) {
      const pool = this.areas[area]!
      if (pool === null) continue
      const count = Math.min(wanted, pool.freeCount - (area === 0 ? this.#keepForCopies : 0))
      if (count > 0) wanted -= this.#fillFrom(pool, this.#first[area]!, count)
    }
  }

  /** Gives the top of a free stack to the NIC's ring. */
  #fillFrom(pool: PagePool, first: number, count: number): number {
    const from = pool.freeCount - count
    const { free } = pool
    const taken =
      first === 0
        ? this.#nic.fill(free, from, count)
        : this.#nic.fill(
            free.subarray(from, from + count).map((niov) => first + niov),
            0,
            count,
          )
    // The ring took a prefix of the slice; what it left moves down over the hole.
    if (taken < count) free.copyWithin(from, from + taken, pool.freeCount)
    pool.freeCount -= taken
    return taken
  }

  /** The NIC has no buffer left after it was given what there is: a frame that comes now is dropped. */
  starved(): boolean {
    if (this.#nic.info.pulls === true) return this.denied
    if (this.#nic.info.placement === 'side') return this.pool.freeCount === 0
    return this.#nic.chunksHeld() === 0
  }

  /** Before a `split` NIC's burst is looked at: each payload keeps its niov until all are. */
  holdBurst(burst: RxBurst): void {
    const { areas } = this
    for (let i = 0; i < burst.count; i++) {
      if ((burst.flags[i]! & RX_SIDE) !== 0) continue
      const pool = areas[burst.area[i]!]!
      pool.hold(burst.offset[i]! >>> pool.shift)
    }
  }

  /** After it: niovs that nobody has taken payload from are free, unless the NIC goes on writing to them. */
  dropBurst(burst: RxBurst): void {
    const { areas } = this
    this.#followOpen()
    for (let i = 0; i < burst.count; i++) {
      if ((burst.flags[i]! & RX_SIDE) !== 0) continue
      const pool = areas[burst.area[i]!]!
      pool.drop(burst.offset[i]! >>> pool.shift)
    }
  }

  census(pool: PagePool = this.pool): Census {
    const area = this.areas.indexOf(pool)
    if (area < 0) return takeCensus(pool, 0)
    return takeCensus(pool, this.areas.length === 1 ? this.#nic.chunksHeld() : this.#nic.chunksHeld(area))
  }

  #begin(memory: NicMemory, owner: object | null): PagePool {
    const id = this.#freeId()
    const pool = new PagePool(id, memory, owner)
    this.#nic.attach(memory)
    this.pools[id] = pool
    this.chunkPayload = this.#nic.info.chunkPayload
    this.areas = []
    this.#first = []
    this.#untouched = []
    this.#returned.length = 0
    this.#next = 0
    this.#append(pool)
    return pool
  }

  #append(pool: PagePool): void {
    this.areas.push(pool)
    this.#first.push(this.#next)
    this.#untouched.push(pool.total)
    this.#next += pool.total
    this.#size()
  }

  #size(): void {
    let total = 0
    for (const pool of this.areas) total += pool?.total ?? 0
    this.total = total
    this.smallBytes = this.packs ? this.areas[0]!.niovSize / PACK_FRACTION : 0
    this.thinNiovs = Math.max(THIN_NIOVS, total >>> THIN_SHARE)
    this.reserve = Math.min(64, total >>> 2)
    // Above the reserve, so that packing begins before there is nothing left to pack into.
    this.packBelow = Math.max(total >>> 2, 2 * this.reserve)
    this.#keepForCopies = Math.min(16, this.areas[0]!.total >>> 3)
    if (this.#drop) this.reserve = this.packBelow = this.#keepForCopies = 0
  }

  #beginLinear(): PagePool {
    const chunkSize = 2 ** Math.ceil(Math.log2(this.#nic.txSlotBytes))
    const areaLength = Math.min(LINEAR_NIOVS * chunkSize, LINEAR_BYTES)
    const id = this.#freeId()
    const pool = new PagePool(id, {
      buffer: new ArrayBuffer(areaLength),
      areaOffset: 0,
      areaLength,
      chunkSize,
    })
    this.pools[id] = pool
    return pool
  }

  /** The NIC has begun to pack payloads into another niov, or stopped. */
  #followOpen(open = this.#nic.openChunk?.() ?? -1): void {
    const before = this.#open
    if (open === before) return
    this.#open = open
    if (open >= 0) {
      const area = this.#areaOf(open)
      this.areas[area]!.hold(open - this.#first[area]!)
    }
    if (before >= 0) {
      const area = this.#areaOf(before)
      this.areas[area]!.drop(before - this.#first[area]!)
    }
  }

  #areaOf(chunk: number): number {
    let area = this.#first.length - 1
    while (chunk < this.#first[area]!) area--
    return area
  }

  /**
   * What a NIC that pulls is given: what came back since it asked last, oldest first; if nothing did, what the user returns
   * now; or else the tops of the free stacks, area by area. It is emptied from its end, so that of small areas the latest is
   * written to first, as on Linux (docs/conformance.md, A12).
   */
  #supply(chunks: Uint32Array): number {
    if (!this.#observe()) {
      this.beforeSupply?.()
      this.#observe()
    }
    let count = this.#supplyReturned(chunks)
    if (count > 0) return count
    for (let area = 0; area < this.areas.length; area++) {
      const pool = this.areas[area]!
      if (pool === null) continue
      const first = this.#first[area]!
      while (count < chunks.length && pool.freeCount > 0)
        chunks[count++] = first + pool.free[--pool.freeCount]!
      this.#untouched[area] = pool.freeCount
    }
    if (count === 0) this.denied = true
    return count
  }

  /** Takes note of what was taken from the free stacks. Returns whether anything came back. */
  #observe(): boolean {
    let came = false
    for (let area = 0; area < this.areas.length; area++) {
      const free = this.areas[area]?.freeCount ?? 0
      if (this.#untouched[area]! >= free) this.#untouched[area] = free
      else came = true
    }
    return came
  }

  /** What the application returned, in its order; then what came back otherwise. */
  #supplyReturned(chunks: Uint32Array): number {
    const taken = new Uint32Array(this.areas.length)
    let count = 0
    const take = (area: number): boolean => {
      const pool = this.areas[area] ?? null
      if (pool === null || count === chunks.length) return false
      const at = this.#untouched[area]! + taken[area]!
      if (at >= pool.freeCount) return false
      taken[area]!++
      chunks[count++] = this.#first[area]! + pool.free[at]!
      return true
    }
    let seen = 0
    while (seen < this.#returned.length && count < chunks.length) take(this.#returned[seen++]!)
    this.#returned.splice(0, seen)
    for (let area = 0; area < this.areas.length; area++) while (take(area));
    for (const [area, pool] of this.areas.entries()) {
      if (pool === null || taken[area] === 0) continue
      const from = this.#untouched[area]!
      pool.free.copyWithin(from, from + taken[area]!, pool.freeCount)
      pool.freeCount -= taken[area]!
    }
    return count
  }

  #freeId(): number {
    for (let id = 0; id < this.pools.length; id++) {
      const pool = this.pools[id]!
      if (pool.retired && pool.freeCount === pool.total) return id
    }
    if (this.pools.length >= MAX_POOLS) throw new RangeError('too many memory pools are still referenced')
    return this.pools.length
  }

  /** Niovs of the pool that are nowhere else, hence with the NIC. */
  #heldChunks(pool: PagePool): number[] {
    const elsewhere = new Uint8Array(pool.total)
    for (let i = 0; i < pool.freeCount; i++) elsewhere[pool.free[i]!] = 1
    const held: number[] = []
    for (let niov = 0; niov < pool.total; niov++) {
      if (elsewhere[niov] === 0 && pool.isFree(niov)) held.push(niov)
    }
    return held
  }
}
