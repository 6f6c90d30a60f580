import { ArgumentError, NicError } from '../../errors.ts'
import { loadNative, type Native } from '../native/index.ts'
import {
  type LargeSends,
  type Nic,
  type NicInfo,
  type NicMemory,
  type NicRoles,
  NicStats,
  NO_ROLES,
  RX_SIDE,
  type RxBurst,
} from '../nic.ts'
import { EBADFD, inNamespace } from '../system.ts'
import { ReadWatch } from '../watch.ts'
import { openTap, ourHardwareAddress, type TapDeviceOptions } from './device.ts'
import { LARGE_BYTES, TapTransmit } from './transmit.ts'

/** What `TapNic.open` is told. */
export interface TapNicOptions extends TapDeviceOptions {
  /** Six bytes; default made from the device's own address. Queues of one device have the same. */
  mac?: Uint8Array
  /** Path of the network namespace the device is in, such as `/run/netns/blue`; default: the thread's. */
  netns?: string
}

/** Slots for headers and what follows them beside the area; behind them room for a frame that finds no chunk. */
const SIDE_SLOTS = 64
const SIDE_SLOT_BYTES = 528
const OVERFLOW_BYTES = 65_558
/** Ethernet, IPv4, TCP with timestamps: what bulk data has in front. */
const USUAL_HEADER_BYTES = 66
/** Ethernet header and two VLAN tags. */
const LINK_HEADER = 22
const SMALLEST_CHUNK = 1024
/** For frames of 64 KiB: few large pieces are copied faster than many small ones, and make fewer completions. */
const LARGE_FRAME_CHUNK = 32_768
const POLLIN = 1
/** Elements of the state shared with `Native.tapReceive`. */
const HELD = 0
const GUESS = 1
const FRAMES = 3
const BYTES = 4
const INVALID = 5
const STATE_LENGTH = 6

const abandoned = new FinalizationRegistry<{ native: Native; fd: number }>(({ native, fd }) =>
  native.close(fd),
)

/**
 * One queue of a TAP device (Documentation/networking/tuntap.rst): the other end of a wire whose near end is the kernel's. What the
 * kernel sends through the interface comes here, as whole as it was given to the interface: with segmentation offload frames
 * of 64 KiB, whose checksums nobody has computed. The read puts headers beside the area and payload into it, so the only copy
 * is the kernel's.
 *
 * The kernel has addresses of its own on the interface; ours are others, claimed by the stack.
 */
export class TapNic implements Nic, LargeSends {
  readonly roles: NicRoles
  /** 0 without offload. */
  readonly txLargeBytes: number
  readonly sideMemory: Uint8Array
  /** The device was made by this NIC. */
  readonly created: boolean
  readonly #native: Native
  readonly #fd: number
  readonly #watch: ReadWatch
  readonly #transmit: TapTransmit
  #info: NicInfo
  readonly #state = new Float64Array(STATE_LENGTH)
  /** Chunks held; the one used next is the last. */
  #chunks = new Uint32Array(0)
  #area: Uint8Array = new Uint8Array(0)
  #chunkSize = 4096
  #attached = false
  #open = true
  #gone = false
  #fragments = 0
  /** Where and how long the fragments in one memory are, for sums. */
  readonly #sumOffset = new Uint32Array(1024)
  readonly #sumLength = new Uint32Array(1024)
  readonly #sums = new Uint32Array(1024)

  /** Makes the device or joins it. @throws NicError with what is missing and what to do about it */
  static open(options: TapNicOptions): TapNic {
    const native = loadNative()
    return inNamespace(native, options.netns, () => new TapNic(native, options))
  }

  private constructor(native: Native, options: TapNicOptions) {
    const { mac } = options
    if (mac !== undefined && (mac.length !== 6 || (mac[0]! & 1) !== 0))
      throw new ArgumentError('a hardware address has six bytes and is no group')
    const { fd, facts, created, offload } = openTap(native, options)
    this.#native = native
    this.#fd = fd
    this.created = created
    this.#watch = new ReadWatch(() => new native.Watcher(fd))
    this.sideMemory = new Uint8Array((SIDE_SLOTS * SIDE_SLOT_BYTES + OVERFLOW_BYTES + 3) & ~3)
    this.#transmit = new TapTransmit(native, fd, facts.mtu + LINK_HEADER)
    this.#state[GUESS] = USUAL_HEADER_BYTES
    this.#info = {
      driver: 'tap',
      mode: offload ? 'vnet_hdr tso' : 'vnet_hdr',
      name: options.device,
      ifIndex: facts.index,
      queue: 0,
      mac: mac?.slice() ?? ourHardwareAddress(facts),
      mtu: facts.mtu,
      chunkPayload: 4096,
      tailBytes: 0,
      fillEntries: 0,
      ringPackets: 0,
      partialChecksums: false,
      placement: 'split',
      anyMemory: true,
      ...(offload ? { chunkBytes: LARGE_FRAME_CHUNK } : {}),
      farEnd: true,
    }
    this.txLargeBytes = offload ? LARGE_BYTES : 0
    this.roles = { ...NO_ROLES, largeSends: offload ? this : null, sideMemory: this.sideMemory }
    abandoned.register(this, { native, fd }, this)
  }

  get info(): NicInfo {
    return this.#info
  }

  get gone(): boolean {
    return this.#gone
  }

  get txMemory(): Uint8Array {
    return this.#transmit.memory
  }

  get txSlotBytes(): number {
    return this.#info.mtu + LINK_HEADER
  }

  attach(memory: NicMemory): void {
    if (!this.#open) throw new ArgumentError(`${this.#info.name} is closed`, 'open it again')
    const { buffer, areaOffset, areaLength, chunkSize } = memory
    if (!(chunkSize >= SMALLEST_CHUNK) || areaLength % chunkSize !== 0)
      throw new NicError(
        'ZCRX_NIC_MEMORY',
        `${areaLength} bytes are not a whole number of chunks of ${chunkSize}`,
        `chunks have ${SMALLEST_CHUNK} bytes or more`,
      )
    this.#area = new Uint8Array(buffer, areaOffset, areaLength)
    this.#chunkSize = chunkSize
    this.#chunks = new Uint32Array(areaLength / chunkSize)
    this.#state[HELD] = 0
    this.#attached = true
    this.#info = { ...this.#info, chunkPayload: chunkSize }
  }

  detach(): void {
    this.#attached = false
    this.#area = new Uint8Array(0)
    this.#chunks = new Uint32Array(0)
    this.#state[HELD] = 0
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    if (!this.#attached || this.#gone) return 0
    const { offset, length, flags } = burst
    const entries = this.#native.tapReceive(
      this.#fd,
      this.#area,
      this.sideMemory,
      this.#chunks,
      offset,
      length,
      flags,
      this.#state,
      this.#chunkSize,
    )
    if (entries <= 0) {
      if (entries === -EBADFD) this.#gone = true
      return 0
    }
    this.#fragments += entries
    burst.count = entries
    return entries
  }

  fillSpace(): number {
    return this.#chunks.length - this.#state[HELD]!
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    const held = this.#state[HELD]!
    const own = this.#chunks
    const taken = Math.max(0, Math.min(count, own.length - held, chunks.length - from))
    for (let i = 0; i < taken; i++) {
      const chunk = chunks[from + i]!
      if (chunk >= own.length)
        throw new ArgumentError(`chunk ${chunk} is outside the area of ${own.length} chunks`)
      own[held + i] = chunk
    }
    this.#state[HELD] = held + taken
    return taken
  }

  chunksHeld(): number {
    return this.#state[HELD]!
  }

  /** Rare: with offload, checksums are the device's business. */
  sumFragments(burst: RxBurst): void {
    this.#sumIn(burst, this.#area, 0)
    this.#sumIn(burst, this.sideMemory, RX_SIDE)
  }

  #sumIn(burst: RxBurst, memory: Uint8Array, where: number): void {
    for (let done = 0; done < burst.count; ) {
      const from = done
      let count = 0
      for (; done < burst.count && count < this.#sums.length; done++) {
        if ((burst.flags[done]! & RX_SIDE) !== where) continue
        this.#sumOffset[count] = burst.offset[done]!
        this.#sumLength[count++] = burst.length[done]!
      }
      this.#native.sumFragments(memory, this.#sumOffset, this.#sumLength, this.#sums, count, 0)
      let next = 0
      for (let i = from; i < done; i++)
        if ((burst.flags[i]! & RX_SIDE) === where) burst.sum[i] = this.#sums[next++]!
    }
  }

  txReserve(): number {
    return this.#transmit.reserve()
  }

  txCommit(offset: number, length: number): void {
    this.#transmit.commit(offset, length)
  }

  txCommitLarge(
    offset: number,
    length: number,
    tcpAt: number,
    headerBytes: number,
    segmentBytes: number,
  ): void {
    this.#transmit.commitLarge(offset, length, tcpAt, headerBytes, segmentBytes)
  }

  txFlush(): void {
    if (this.#open && this.#transmit.flush() === EBADFD) this.#gone = true
  }

  wait(timeoutMs: number): boolean {
    // The queue of a deleted device is ready for ever.
    if (!this.#attached || this.#gone) {
      if (Number.isFinite(timeoutMs)) this.#native.poll(-1, 0, timeoutMs)
      return false
    }
    return this.#native.poll(this.#fd, POLLIN, timeoutMs) !== 0
  }

  arm(callback: (() => void) | null): void {
    if (this.#open) this.#watch.arm(this.#gone ? null : callback)
  }

  keepAlive(on: boolean): void {
    this.#watch.keepAlive(on)
  }

  stats(): NicStats {
    const stats = new NicStats()
    stats.rxFrames = this.#state[FRAMES]!
    stats.rxBytes = this.#state[BYTES]!
    stats.rxInvalid = this.#state[INVALID]!
    stats.rxFragments = this.#fragments
    this.#transmit.addCounters(stats)
    return stats
  }

  /** Gives the queue back; a device that is not persistent goes with its last queue. Idempotent. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.detach()
    this.#watch.close()
    abandoned.unregister(this)
    this.#native.close(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
