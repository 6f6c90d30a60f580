import { place } from '../../counting.ts'
import { NicError } from '../../errors.ts'
import {
  type FurtherAreas,
  type Nic,
  type NicInfo,
  type NicMemory,
  type NicRoles,
  NicStats,
  NO_ROLES,
  RX_MORE,
  RX_SIDE,
  type RxBurst,
} from '../nic.ts'
import { AreaTable } from './areas.ts'
import { ChunkStore } from './chunks.ts'
import type { LinkDirection } from './direction.ts'
import { SplitPlacement, type SplitSettings } from './split.ts'
import { sumOf } from './sum.ts'

export interface MemoryNicShape {
  readonly mtu: number
  readonly slotBytes: number
  readonly headroom: number
  readonly placement: 'area' | 'side' | 'split'
  readonly split: SplitSettings
  /** Chunks asked for at once; 0 = the NIC is filled. */
  readonly cache: number
  /** Interface index and queue; 0 = an index of its own. */
  readonly ifIndex: number
  readonly queue: number
  readonly maxChunk: number
  readonly partialChecksums: boolean
  readonly now: () => number
}

const TX_SLOTS = 64
const RX_FRAMES = place(NicStats, 'rxFrames')
const RX_FRAGMENTS = place(NicStats, 'rxFragments')
const RX_BYTES = place(NicStats, 'rxBytes')

/** Frames that a `side` or `split` NIC can show at a time. */
const SIDE_SLOTS = 64

let nextIfIndex = 1

/** One end of a `MemoryLink`: writes arriving frames into the chunks it was given, as a NIC's DMA would. */
export class MemoryNic implements Nic, FurtherAreas {
  readonly info: NicInfo
  /** Set it to take the device away. */
  gone = false
  readonly sideMemory: Uint8Array | null
  readonly txMemory: Uint8Array
  readonly txSlotBytes: number
  readonly roles: NicRoles
  readonly #in: LinkDirection
  readonly #out: LinkDirection
  readonly #shape: MemoryNicShape
  readonly #stats = new NicStats()
  #area: Uint8Array | null = null
  readonly #areas = new AreaTable()
  #chunkSize = 4096
  readonly #chunks: ChunkStore
  readonly #split: SplitPlacement
  #nextSlot = 0
  #armed: (() => void) | null = null
  #wake: NodeJS.Timeout | NodeJS.Immediate | null = null

  constructor(
    name: string,
    macByte: number,
    incoming: LinkDirection,
    outgoing: LinkDirection,
    shape: MemoryNicShape,
  ) {
    this.#in = incoming
    this.#out = outgoing
    this.#shape = shape
    this.txSlotBytes = shape.slotBytes
    this.txMemory = new Uint8Array(TX_SLOTS * shape.slotBytes)
    this.sideMemory = shape.placement === 'area' ? null : new Uint8Array(SIDE_SLOTS * shape.slotBytes)
    this.#chunks = new ChunkStore(shape.cache)
    this.#split = new SplitPlacement(this.#areas, this.#chunks, shape.split)
    const split = shape.placement === 'split'
    this.roles = {
      ...NO_ROLES,
      areas: split ? this : null,
      pulling: shape.cache > 0 ? this.#chunks : null,
      packing: split ? this.#split : null,
      sideMemory: this.sideMemory,
    }
    this.info = {
      driver: 'memory',
      mode: 'memory',
      name,
      ifIndex: shape.ifIndex || nextIfIndex++,
      queue: shape.queue,
      mac: Uint8Array.of(2, 0, 0, 0, 0, macByte),
      mtu: shape.mtu,
      chunkPayload: 4096 - shape.headroom,
      tailBytes: 0,
      fillEntries: 0,
      ringPackets: 0,
      partialChecksums: shape.partialChecksums,
      placement: shape.placement,
    }
    incoming.onFrame = (due) => this.#schedule(due)
  }

  attach(memory: NicMemory): void {
    if (memory.chunkSize <= this.#shape.headroom) {
      throw new NicError(
        'ZCRX_NIC_MEMORY',
        `chunks of ${memory.chunkSize} bytes leave no room behind ${this.#shape.headroom} bytes of headroom`,
        'use larger chunks or less headroom',
      )
    }
    if (memory.chunkSize > this.#shape.maxChunk) {
      throw new NicError(
        'ZCRX_NIC_MEMORY',
        `chunks of ${memory.chunkSize} bytes are larger than ${this.#shape.maxChunk}, the most this NIC takes`,
        'use smaller chunks',
      )
    }
    this.#areas.reset(memory)
    this.#area = this.#areas.bytes[0]!
    this.#chunkSize = memory.chunkSize
    this.#chunks.reset(memory.areaLength / memory.chunkSize)
    this.#split.reset(memory.chunkSize)
  }

  detach(): void {
    this.#area = null
    this.#areas.reset(null)
    this.#chunks.reset(0)
    this.#split.reset(this.#chunkSize)
  }

  addArea(memory: NicMemory, area: number, firstChunk: number): void {
    this.#areas.add(memory, area, firstChunk)
    this.#chunks.grow(this.#areas.total)
  }

  removeArea(area: number, chunks: Uint32Array): number {
    const first = this.#areas.first[area]!
    const end = this.#areas.end[area]!
    this.#areas.remove(area)
    this.#split.leave(first, end)
    return this.#chunks.withdraw(first, end, chunks)
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    if (this.#area === null) return 0
    let sideSlot = 0
    for (;;) {
      const length = this.#in.peek()
      if (length < 0) break
      if (this.sideMemory !== null) {
        // A payload has at most as many pieces as chunks that the largest frame fills.
        if (sideSlot === SIDE_SLOTS || burst.count + this.#mostPieces() > burst.capacity) break
        if (this.#shape.placement === 'side') this.#receiveSide(burst, length, sideSlot++)
        else if (this.#receiveSplit(burst, length, sideSlot)) sideSlot++
        continue
      }
      const room = this.#chunkSize - this.#shape.headroom
      const chunks = Math.ceil(length / room)
      if (burst.count + chunks > burst.capacity) break
      if (chunks > this.#chunks.held) {
        this.#stats.rxFillEmpty++
        this.#in.drop()
        continue
      }
      this.#receiveFrame(burst, this.#in.frame(), length, room)
      this.#in.drop()
    }
    return burst.count
  }

  #receiveFrame(burst: RxBurst, frame: Uint8Array, length: number, room: number): void {
    const area = this.#area!
    for (let from = 0; from < length; from += room) {
      const part = Math.min(room, length - from)
      const chunk = this.#chunks.take()
      const offset = chunk * this.#chunkSize + this.#shape.headroom
      area.set(frame.subarray(from, from + part), offset)
      this.#put(burst, offset, part, from + part < length ? RX_MORE : 0)
    }
    this.#stats.cells[RX_FRAMES]! += 1
    this.#stats.cells[RX_BYTES]! += length
  }

  #receiveSide(burst: RxBurst, length: number, slot: number): void {
    const offset = slot * this.#shape.slotBytes
    this.sideMemory!.set(this.#in.frame().subarray(0, length), offset)
    this.#in.drop()
    this.#put(burst, offset, length, RX_SIDE)
    this.#stats.cells[RX_FRAMES]! += 1
    this.#stats.cells[RX_BYTES]! += length
  }

  /** Headers beside the area, payload in chunks of it. False when the frame was dropped for want of chunks. */
  #receiveSplit(burst: RxBurst, length: number, slot: number): boolean {
    const frame = this.#in.frame()
    const headers = this.#split.sideBytes(frame, length)
    if (headers === length) {
      this.#receiveSide(burst, length, slot)
      return true
    }
    if (!this.#split.place(length - headers)) {
      this.#stats.rxFillEmpty++
      this.#in.drop()
      return false
    }
    const { areas, offsets, lengths } = this.#split
    const beside = slot * this.#shape.slotBytes
    this.sideMemory!.set(frame.subarray(0, headers), beside)
    this.#put(burst, beside, headers, RX_SIDE | RX_MORE)
    let from = headers
    for (let i = 0; i < offsets.length; i++) {
      const bytes = lengths[i]!
      burst.area[burst.count] = areas[i]!
      this.#areas.bytes[areas[i]!]!.set(frame.subarray(from, from + bytes), offsets[i]!)
      this.#put(burst, offsets[i]!, bytes, i + 1 < offsets.length ? RX_MORE : 0)
      from += bytes
    }
    this.#in.drop()
    this.#split.frames++
    this.#stats.cells[RX_FRAMES]! += 1
    this.#stats.cells[RX_BYTES]! += length
    return true
  }

  #put(burst: RxBurst, offset: number, length: number, flags: number): void {
    burst.put(offset, length, flags)
    this.#stats.cells[RX_FRAGMENTS]! += 1
  }

  #mostPieces(): number {
    return this.#shape.placement === 'side' ? 1 : 2 + Math.ceil(this.#shape.slotBytes / this.#chunkSize)
  }

  /** How a `split` NIC places payload from now on. */
  place(settings: SplitSettings): void {
    this.#split.change(settings)
  }

  /** Frames whose payload was put into the area apart from its headers. */
  get splitFrames(): number {
    return this.#split.frames
  }

  fillSpace(): number {
    return this.#shape.placement === 'side' ? 0 : this.#chunks.space()
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    return this.#shape.placement === 'side' ? 0 : this.#chunks.fill(chunks, from, count)
  }

  chunksHeld(): number {
    return this.#chunks.held
  }

  chunksHeldIn(area: number): number {
    return this.#chunks.countOf(this.#areas.first[area]!, this.#areas.end[area]!)
  }

  sumFragments(burst: RxBurst): void {
    for (let i = 0; i < burst.count; i++) {
      const side = (burst.flags[i]! & RX_SIDE) !== 0
      const bytes = side ? this.sideMemory! : this.#areas.bytes[burst.area[i]!]!
      burst.sum[i] = sumOf(bytes, burst.offset[i]!, burst.length[i]!)
    }
  }

  txReserve(): number {
    return this.#nextSlot * this.#shape.slotBytes
  }

  txCommit(offset: number, length: number): void {
    if (length === 0) return
    this.#nextSlot = (this.#nextSlot + 1) % TX_SLOTS
    this.#stats.txFrames++
    this.#stats.txBytes += length
    this.#out.send(this.txMemory, offset, length)
  }

  txFlush(): void {}

  /** Puts a frame of a test's own making on the wire towards the other end. */
  inject(frame: Uint8Array): void {
    this.#out.send(frame, 0, frame.length)
  }

  /** Never blocks: with a virtual clock, time stands still meanwhile. */
  wait(): boolean {
    return this.#in.peek() >= 0
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    if (callback === null) this.#cancelWake()
    else if (this.#in.nextArrival() !== Number.POSITIVE_INFINITY) this.#schedule(this.#in.nextArrival())
  }

  stats(): NicStats {
    this.#stats.rxRingFull = this.#in.overflow
    return this.#stats
  }

  close(): void {
    this.detach()
    this.#armed = null
    this.#cancelWake()
  }

  #schedule(due: number): void {
    if (this.#armed === null || this.#wake !== null) return
    const delay = due - this.#shape.now()
    const fire = (): void => {
      this.#wake = null
      const callback = this.#armed
      this.#armed = null
      callback?.()
    }
    this.#wake = delay <= 0 ? setImmediate(fire) : setTimeout(fire, delay / 1000)
  }

  #cancelWake(): void {
    if (this.#wake === null) return
    clearTimeout(this.#wake as NodeJS.Timeout)
    clearImmediate(this.#wake as NodeJS.Immediate)
    this.#wake = null
  }
}
