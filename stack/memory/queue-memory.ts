import type { Census } from '../../diagnostics.ts'
import {
  type FurtherAreas,
  type Nic,
  type NicMemory,
  type Packing,
  RX_SIDE,
  type RxBurst,
} from '../../driver/nic.ts'
import { PagePool, takeCensus } from './page-pool.ts'
import { type MemoryProvider, providerFor } from './provider.ts'
import { QueueAreas } from './queue-areas.ts'

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
  /** The niov that a NIC packs payloads into; a stack reference keeps it from being free. */
  #open = -1
  /** Frames without a buffer are dropped, and no window waits for buffers. */
  readonly #drop: boolean
  #areas = new QueueAreas()
  readonly #provider: MemoryProvider
  readonly #nic: Nic
  readonly #further: FurtherAreas | null
  readonly #packing: Packing | null

  /** @param drop `TcpConfig.backpressure` is `drop` */
  constructor(nic: Nic, memory: NicMemory, drop = false) {
    this.#nic = nic
    this.#drop = drop
    this.#further = nic.roles.areas
    this.#packing = nic.roles.packing
    this.packs = nic.roles.pulling === null && nic.roles.packing === null
    this.ringPackets = nic.info.ringPackets
    this.ringNiovs = nic.info.fillEntries
    this.#provider = providerFor(nic, this.#areas, drop)
    this.pool = this.#begin(memory, null)
    this.linear = nic.info.placement === 'split' ? this.#beginLinear() : null
    this.fillNic()
  }

  /** Restarts the queue over other memory. Returns the new pool. @throws NicError and goes on with the old memory */
  restart(memory: NicMemory, owner: object | null = null): PagePool {
    const old = this.areas
    const { first } = this.#areas
    // The NIC lets go of what it packed payloads into; only now may it be free.
    this.#followOpen(-1)
    const held = old.map((pool) => (pool === null ? [] : this.#heldChunks(pool)))
    try {
      this.pool = this.#begin(memory, owner)
      for (const pool of old) if (pool !== null) pool.retired = true
    } catch (error) {
      // A refused restart may have stopped the queue.
      this.#nic.attach(this.pool.memory)
      for (let area = 1; area < old.length; area++) {
        const pool = old[area]!
        if (pool !== null) this.#further!.addArea(pool.memory, area, first[area]!)
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
    return this.#further !== null
  }

  /** Lets the NIC write to a further area too. Its number is `areas.length`. */
  addArea(memory: NicMemory, owner: object): PagePool {
    const area = this.areas.length
    const pool = new PagePool(this.#freeId(), memory, owner, area)
    this.#further!.addArea(memory, area, this.#areas.next)
    this.pools[pool.id] = pool
    this.#areas.add(pool)
    this.#provider.added(pool)
    this.#size()
    return pool
  }

  /** Undoes it: what the NIC held is free, and what is in use comes back to a pool that nothing is taken from any more. */
  removeArea(pool: PagePool): void {
    const area = this.areas.indexOf(pool)
    if (area < 1) return
    const back = new Uint32Array(pool.total)
    const count = this.#further!.removeArea(area, back)
    this.#followOpen()
    for (let i = 0; i < count; i++) pool.put(back[i]! - this.#areas.first[area]!)
    pool.retired = true
    this.#areas.remove(area)
    this.#size()
  }

  /** The application has returned a niov that is free now. */
  cameBack(area: number): void {
    this.#provider.cameBack(area)
  }

  /** What a NIC that pulls is to wait for before it is given free niovs: see `MemoryProvider`. Until the next restart. */
  set beforeSupply(callback: (() => void) | null) {
    this.#provider.beforeSupply = callback
  }

  pollBegins(): void {
    this.#provider.pollBegins()
  }

  /** Niovs that could take data: free, with the NIC, or in the part of a burst that is still to come. */
  available(): number {
    const free = this.areas.length === 1 ? this.pool.freeCount : this.#areas.free()
    return free + this.#nic.chunksHeld() + this.arriving
  }

  /** Niovs that the application has got in this poll, which count as the stack's until its end (`TcpBulk.settle`). */
  handed = 0

  /** Niovs that the application has, at the most: of one it may have several parts. */
  withUser(): number {
    const out = this.areas.length === 1 ? this.pool.userOut : this.#areas.withUser()
    return Math.min(this.total, out - this.handed)
  }

  measure(): void {
    this.roomy = this.available() >= this.packBelow
  }

  /** Gives free niovs to the NIC, up to `fillTarget`, except a few kept for copies. */
  fillNic(): void {
    if (this.#packing !== null) this.#followOpen()
    this.#provider.provide(this.fillTarget)
  }

  /** The NIC has no buffer left after it was given what there is: a frame that comes now is dropped. */
  starved(): boolean {
    return this.#provider.starved()
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
    return takeCensus(
      pool,
      this.#areas.pools.length === 1 ? this.#nic.chunksHeld() : this.#further!.chunksHeldIn(area),
    )
  }

  #begin(memory: NicMemory, owner: object | null): PagePool {
    const id = this.#freeId()
    const pool = new PagePool(id, memory, owner)
    this.#nic.attach(memory)
    this.pools[id] = pool
    this.chunkPayload = this.#nic.info.chunkPayload
    this.#areas = new QueueAreas()
    this.areas = this.#areas.pools
    this.#areas.add(pool)
    this.#provider.begin(this.#areas)
    this.#size()
    return pool
  }

  #size(): void {
    const { total } = this.#areas
    this.total = total
    this.smallBytes = this.packs ? this.areas[0]!.niovSize / PACK_FRACTION : 0
    this.thinNiovs = Math.max(THIN_NIOVS, total >>> THIN_SHARE)
    this.reserve = Math.min(64, total >>> 2)
    // Above the reserve, so that packing begins before there is nothing left to pack into.
    this.packBelow = Math.max(total >>> 2, 2 * this.reserve)
    if (this.#drop) this.reserve = this.packBelow = 0
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
  #followOpen(open = this.#packing?.openChunk() ?? -1): void {
    const before = this.#open
    if (open === before) return
    this.#open = open
    if (open >= 0) {
      const area = this.#areas.areaOf(open)
      this.areas[area]!.hold(open - this.#areas.first[area]!)
    }
    if (before >= 0) {
      const area = this.#areas.areaOf(before)
      this.areas[area]!.drop(before - this.#areas.first[area]!)
    }
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
