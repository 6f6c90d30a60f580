import { type Nic, type NicMemory, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import { type Census, PagePool, takeCensus } from './page-pool.ts'

/** Niovs with the NIC beyond what windows promise: two bursts of frames that no window accounts for. */
export const FILL_MARGIN = 512
/** Niovs for payload that comes beside the area of a NIC that puts it there otherwise. */
const LINEAR_NIOVS = 1024
/** Most pools alive at once: the current one and those that wait for their last niov. */
const MAX_POOLS = 65_535

/**
 * The memory behind one receive queue: the pool it is filled from now, and earlier pools whose niovs are still referenced.
 * Registering an area restarts the queue over it; data received before stays where it was until read.
 */
export class QueueMemory {
  /** Pools by id; shared with `Fragments`. Retired pools that ended are replaced. */
  readonly pools: PagePool[] = []
  /** The pool the NIC fills from. */
  pool: PagePool
  /** Most bytes of a frame that one chunk takes. */
  chunkPayload = 0
  readonly ringPackets: number
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
  /** Niovs that were never taken from the free stack's top since a NIC that pulls asked last: what lies above came back since. */
  #untouched = 0
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
    this.ringPackets = nic.info.ringPackets
    this.pool = this.#begin(memory, null)
    this.linear = nic.info.placement === 'split' ? this.#beginLinear() : null
    if (nic.info.pulls === true) nic.demand = (chunks) => this.#supply(chunks)
    this.fillNic()
  }

  /** Restarts the queue over other memory. Returns the new pool. @throws NicError and goes on with the old memory */
  restart(memory: NicMemory, owner: object | null = null): PagePool {
    const old = this.pool
    // The NIC lets go of what it packed payloads into; only now may it be free.
    if (this.#open >= 0) old.drop(this.#open)
    this.#open = -1
    const held = this.#heldChunks(old)
    try {
      this.pool = this.#begin(memory, owner)
      this.beforeSupply = null
      old.retired = true
    } catch (error) {
      // A refused restart may have stopped the queue.
      this.#nic.attach(old.memory)
      throw error
    } finally {
      for (const niov of held) old.put(niov)
      this.fillNic()
    }
    return this.pool
  }

  /** Niovs that could take data: free, with the NIC, or in the part of a burst that is still to come. */
  available(): number {
    return this.pool.freeCount + this.#nic.chunksHeld() + this.arriving
  }

  measure(): void {
    this.roomy = this.available() >= this.packBelow
  }

  /** Niovs that can be in use for receiving at a time: the area, or what the NIC's rings hold. */
  capacity(): number {
    const { fillEntries } = this.#nic.info
    return fillEntries === 0 ? this.pool.total : Math.min(this.pool.total, fillEntries)
  }

  /**
   * Gives free niovs to the NIC, up to `fillTarget`, except a few kept for copies. The rest stays on the free stack: the
   * ring is first in, first out, so every niov in it is one more that goes cold before it is used again.
   */
  fillNic(): void {
    if (this.linear !== null) this.#followOpen()
    if (this.#nic.info.pulls === true) {
      this.#untouched = Math.min(this.#untouched, this.pool.freeCount)
      return
    }
    const pool = this.pool
    const wanted = this.fillTarget - this.#nic.chunksHeld()
    if (wanted <= 0) return
    const count = Math.min(wanted, this.#nic.fillSpace(), pool.freeCount - this.#keepForCopies)
    if (count <= 0) return
    const taken = this.#nic.fill(pool.free, pool.freeCount - count, count)
    // The ring took a prefix of the slice; what it left moves down over the hole.
    if (taken < count) {
      const from = pool.freeCount - count
      pool.free.copyWithin(from, from + taken, pool.freeCount)
    }
    pool.freeCount -= taken
  }

  /** The NIC has no buffer left after it was given what there is: a frame that comes now is dropped. */
  starved(): boolean {
    if (this.#nic.info.pulls === true) return this.denied
    if (this.#nic.info.placement === 'side') return this.pool.freeCount === 0
    return this.#nic.chunksHeld() === 0
  }

  /** Before a `split` NIC's burst is looked at: each payload keeps its niov until all are. */
  holdBurst(burst: RxBurst): void {
    const { pool } = this
    for (let i = 0; i < burst.count; i++) {
      if ((burst.flags[i]! & RX_SIDE) === 0) pool.hold(burst.offset[i]! >>> pool.shift)
    }
  }

  /** After it: niovs that nobody has taken payload from are free, unless the NIC goes on writing to them. */
  dropBurst(burst: RxBurst): void {
    const { pool } = this
    this.#followOpen()
    for (let i = 0; i < burst.count; i++) {
      if ((burst.flags[i]! & RX_SIDE) === 0) pool.drop(burst.offset[i]! >>> pool.shift)
    }
  }

  census(pool: PagePool = this.pool): Census {
    return takeCensus(pool, pool === this.pool ? this.#nic.chunksHeld() : 0)
  }

  #begin(memory: NicMemory, owner: object | null): PagePool {
    const id = this.#freeId()
    const pool = new PagePool(id, memory, owner)
    this.#nic.attach(memory)
    this.pools[id] = pool
    this.chunkPayload = this.#nic.info.chunkPayload
    this.#untouched = pool.total
    this.reserve = Math.min(64, pool.total >>> 2)
    // Above the reserve, so that packing begins before there is nothing left to pack into.
    this.packBelow = Math.max(pool.total >>> 2, 2 * this.reserve)
    this.#keepForCopies = Math.min(16, pool.total >>> 3)
    if (this.#drop) this.reserve = this.packBelow = this.#keepForCopies = 0
    return pool
  }

  #beginLinear(): PagePool {
    const chunkSize = 2 ** Math.ceil(Math.log2(this.#nic.txSlotBytes))
    const areaLength = LINEAR_NIOVS * chunkSize
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
  #followOpen(): void {
    const open = this.#nic.openChunk?.() ?? -1
    if (open === this.#open) return
    if (open >= 0) this.pool.hold(open)
    if (this.#open >= 0) this.pool.drop(this.#open)
    this.#open = open
  }

  /**
   * What a NIC that pulls is given: what came back since it asked last, oldest first; if nothing did, what the user returns
   * now; or else the top of the free stack.
   */
  #supply(chunks: Uint32Array): number {
    const { pool } = this
    this.#untouched = Math.min(this.#untouched, pool.freeCount)
    if (pool.freeCount === this.#untouched) this.beforeSupply?.()
    const { free } = pool
    const returned = Math.min(chunks.length, pool.freeCount - this.#untouched)
    if (returned > 0) {
      const end = this.#untouched + returned
      chunks.set(free.subarray(this.#untouched, end))
      free.copyWithin(this.#untouched, end, pool.freeCount)
      pool.freeCount -= returned
      return returned
    }
    const count = Math.min(chunks.length, pool.freeCount)
    for (let i = 0; i < count; i++) chunks[i] = free[--pool.freeCount]!
    this.#untouched = pool.freeCount
    if (count === 0) this.denied = true
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
      if (elsewhere[niov] === 0 && pool.stackRefs[niov] === 0 && pool.userRefs[niov] === 0) held.push(niov)
    }
    return held
  }
}
