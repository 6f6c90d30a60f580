import { copyBytes } from '../../copies.ts'
import { place } from '../../counting.ts'
import { ArgumentError, NicError } from '../../errors.ts'
import { KeepAlive, WordWatch } from '../../waking.ts'
import { type Nic, type NicInfo, type NicMemory, NicStats, NO_ROLES, RX_MORE, type RxBurst } from '../nic.ts'
import { ChunkStore } from './chunks.ts'
import { sumOf } from './sum.ts'

/** Frames that a direction holds. */
const SLOTS = 1024
/** Bytes left free at the start of each chunk, as AF_XDP does. */
const HEADROOM = 256
const HEADER_BYTES = 256
// Words of a direction: the receiver's, and a good distance behind them the sender's.
const HEAD = 0
const ASLEEP = 1
const TAIL = 32

const RX_FRAMES = place(NicStats, 'rxFrames')
const RX_FRAGMENTS = place(NicStats, 'rxFragments')
const RX_BYTES = place(NicStats, 'rxBytes')

/** One end of a wire between threads, as plain data: to be sent to the thread that opens it with `SharedNic.open`, once. */
export interface SharedEnd {
  /** Of the interface, for people. */
  readonly name: string
  /** Interface index; ends that have the same are queues of one interface. */
  readonly ifIndex: number
  /** Receive queue number. */
  readonly queue: number
  /** Last byte of the hardware address. */
  readonly macByte: number
  /** Bytes of layer 3. */
  readonly mtu: number
  /** Frames come out of this memory, and go into that one. */
  readonly incoming: SharedArrayBuffer
  /** Frames go into this memory. */
  readonly outgoing: SharedArrayBuffer
}

/** What the wire of a `SharedLink` is like. */
export interface SharedLinkOptions {
  /** Bytes of layer 3; default 1500. */
  readonly mtu?: number
  /** Receive queue number of end b; default 0. Ends of several links can be queues of one interface. */
  readonly queue?: number
  /** Interface index of end b; default 1. */
  readonly ifIndex?: number
}

/** A wire between two NICs of one process, whichever threads they are on: a ring of frames in shared memory for each direction. */
export class SharedLink {
  /** One end, to be opened with `SharedNic.open` on any thread. */
  readonly a: SharedEnd
  /** The other end. */
  readonly b: SharedEnd

  constructor({ mtu = 1500, queue = 0, ifIndex = 1 }: SharedLinkOptions = {}) {
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > 9000)
      throw new ArgumentError(`mtu ${mtu} is not an integer from 68 to 9000`)
    const direction = (): SharedArrayBuffer =>
      new SharedArrayBuffer(HEADER_BYTES + SLOTS * 4 + SLOTS * slotBytesOf(mtu))
    const [aToB, bToA] = [direction(), direction()]
    const near = { mtu, queue: 0, ifIndex: ifIndex + 1, name: 'shared-a', macByte: 0xa + 2 * queue }
    const far = { mtu, queue, ifIndex, name: 'shared-b', macByte: 0xb }
    this.a = { ...near, incoming: bToA, outgoing: aToB }
    this.b = { ...far, incoming: aToB, outgoing: bToA }
  }
}

function slotBytesOf(mtu: number): number {
  return Math.ceil((mtu + 22) / 64) * 64
}

/** Frames on their way in one direction: one thread puts them in, one takes them out. */
class SharedFrames {
  readonly words: Int32Array
  readonly lengths: Uint32Array
  readonly slots: Uint8Array
  readonly slotBytes: number

  constructor(memory: SharedArrayBuffer, mtu: number) {
    this.slotBytes = slotBytesOf(mtu)
    this.words = new Int32Array(memory, 0, HEADER_BYTES / 4)
    this.lengths = new Uint32Array(memory, HEADER_BYTES, SLOTS)
    this.slots = new Uint8Array(memory, HEADER_BYTES + SLOTS * 4, SLOTS * this.slotBytes)
  }

  get head(): number {
    return Atomics.load(this.words, HEAD)
  }
  get tail(): number {
    return Atomics.load(this.words, TAIL)
  }
}

/** One end of a `SharedLink`: what arrives is written into the chunks it was given, as a NIC's DMA would. */
export class SharedNic implements Nic {
  readonly info: NicInfo
  readonly roles = NO_ROLES
  readonly gone = false
  readonly txMemory: Uint8Array
  readonly txSlotBytes: number
  readonly #in: SharedFrames
  readonly #out: SharedFrames
  readonly #stats = new NicStats()
  readonly #chunks = new ChunkStore(0)
  #area: Uint8Array | null = null
  #chunkSize = 4096
  /** The frame that is received next, and the one that is sent next: what the other side sees lags behind. */
  #head = 0
  #tail = 0
  #armed: (() => void) | null = null
  #keepsAlive = true
  readonly #arrivals: WordWatch
  readonly #keepAlive = new KeepAlive()

  /** Opens an end; each once. */
  static open(end: SharedEnd): SharedNic {
    return new SharedNic(end)
  }

  private constructor({ name, ifIndex, queue, macByte, mtu, incoming, outgoing }: SharedEnd) {
    this.#in = new SharedFrames(incoming, mtu)
    this.#out = new SharedFrames(outgoing, mtu)
    this.#arrivals = new WordWatch(this.#in.words, TAIL)
    this.#head = this.#in.head
    this.#tail = this.#out.tail
    this.txMemory = this.#out.slots
    this.txSlotBytes = this.#out.slotBytes
    this.info = {
      driver: 'memory',
      mode: 'shared memory',
      name,
      ifIndex,
      queue,
      mac: Uint8Array.of(2, 0, 0, 0, 0, macByte),
      mtu,
      chunkPayload: 4096 - HEADROOM,
      tailBytes: 0,
      fillEntries: 0,
      ringPackets: SLOTS,
      partialChecksums: false,
      placement: 'area',
    }
  }

  attach(memory: NicMemory): void {
    if (memory.chunkSize <= HEADROOM)
      throw new NicError(
        'ZCRX_NIC_MEMORY',
        `chunks of ${memory.chunkSize} bytes leave no room`,
        'use larger chunks',
      )
    this.#area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#chunkSize = memory.chunkSize
    this.#chunks.reset(memory.areaLength / memory.chunkSize)
  }

  detach(): void {
    this.#area = null
    this.#chunks.reset(0)
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    const area = this.#area
    const { words, lengths, slots, slotBytes } = this.#in
    const tail = Atomics.load(words, TAIL)
    if (area === null || tail === this.#head) return 0
    const room = this.#chunkSize - HEADROOM
    const cells = this.#stats.cells
    for (; this.#head !== tail; this.#head = (this.#head + 1) | 0) {
      const slot = this.#head & (SLOTS - 1)
      // The other end may be another program's: what it says is looked at once.
      const length = Math.min(lengths[slot]!, slotBytes)
      const chunks = Math.max(1, Math.ceil(length / room))
      if (burst.count + chunks > burst.capacity) break
      if (length === 0) {
        this.#stats.rxInvalid++
        continue
      }
      if (chunks > this.#chunks.held) {
        this.#stats.rxFillEmpty++
        continue
      }
      const at = slot * slotBytes
      for (let from = 0; from < length; from += room) {
        const part = Math.min(room, length - from)
        const offset = this.#chunks.take() * this.#chunkSize + HEADROOM
        copyBytes(area, offset, slots, at + from, part)
        burst.put(offset, part, from + part < length ? RX_MORE : 0)
        cells[RX_FRAGMENTS]! += 1
      }
      cells[RX_FRAMES]! += 1
      cells[RX_BYTES]! += length
    }
    Atomics.store(words, HEAD, this.#head)
    return burst.count
  }

  fillSpace(): number {
    return this.#chunks.space()
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    return this.#chunks.fill(chunks, from, count)
  }

  chunksHeld(): number {
    return this.#chunks.held
  }

  sumFragments(burst: RxBurst): void {
    for (let i = 0; i < burst.count; i++)
      burst.sum[i] = sumOf(this.#area!, burst.offset[i]!, burst.length[i]!)
  }

  txReserve(): number {
    if (((this.#tail - this.#out.head) | 0) >= SLOTS) {
      this.txFlush()
      this.#stats.txNoSlot++
      return -1
    }
    return (this.#tail & (SLOTS - 1)) * this.txSlotBytes
  }

  txCommit(_offset: number, length: number): void {
    if (length === 0) return
    this.#out.lengths[this.#tail & (SLOTS - 1)] = length
    this.#tail = (this.#tail + 1) | 0
    this.#stats.txFrames++
    this.#stats.txBytes += length
  }

  txFlush(): void {
    const { words } = this.#out
    if (Atomics.load(words, TAIL) === this.#tail) return
    Atomics.store(words, TAIL, this.#tail)
    if (Atomics.load(words, ASLEEP) === 0) return
    Atomics.store(words, ASLEEP, 0)
    Atomics.notify(words, TAIL)
  }

  wait(timeoutMs: number): boolean {
    const { words } = this.#in
    Atomics.store(words, ASLEEP, 1)
    Atomics.wait(words, TAIL, this.#head, timeoutMs)
    return this.#waits
  }

  get #waits(): boolean {
    return Atomics.load(this.#in.words, TAIL) !== this.#head
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    if (callback === null) {
      this.#keepAlive.release()
      return
    }
    if (this.#keepsAlive) this.#keepAlive.hold()
    const { words } = this.#in
    Atomics.store(words, ASLEEP, 1)
    this.#arrivals.listen(this.#head, this.#look)
  }

  readonly #look = (): void => {
    const callback = this.#armed
    if (callback === null) return
    if (!this.#waits) {
      this.arm(callback)
      return
    }
    this.#armed = null
    callback()
  }

  keepAlive(on: boolean): void {
    this.#keepsAlive = on
    if (!on) this.#keepAlive.release()
    else if (this.#armed !== null) this.#keepAlive.hold()
  }

  stats(): NicStats {
    return this.#stats
  }

  close(): void {
    this.detach()
    this.arm(null)
    this.#keepAlive.end()
  }
}

/** What a worker is told to open: a `NicModule` for these ends, one for each worker. */
export function sharedDevice(ends: readonly SharedEnd[]): {
  module: string
  data: readonly SharedEnd[]
  count: number
} {
  const here = import.meta.url
  const module = here.endsWith('.ts') ? '../../dist/driver/memory/shared-link.js' : './shared-link.js'
  return { module: new URL(module, here).href, data: ends, count: ends.length }
}

/** On a worker's thread: the end that is handed to it, or of several the one of its index. */
export function openNic(data: SharedEnd | readonly SharedEnd[], index: number): SharedNic {
  const end = Array.isArray(data) ? (data as readonly SharedEnd[])[index] : (data as SharedEnd)
  if (end === undefined) throw new ArgumentError(`there is no end of a link for worker ${index}`)
  return SharedNic.open(end)
}
