import { ArgumentError, NicError } from '../../errors.ts'
import { checkPort } from '../flows.ts'
import { FollowedLink } from '../followed.ts'
import { type LinkInfo, loadNative, type Native } from '../native/index.ts'
import {
  type Nic,
  type NicInfo,
  type NicMemory,
  type NicRoles,
  NicStats,
  NO_ROLES,
  type RxBurst,
  type Steering,
} from '../nic.ts'
import { ERRNO, inNamespace, interfaceDown, linkInfo } from '../system.ts'
import { type BusyPolling, checkBusyPolling, preferBusyPolling } from './busy-poll.ts'
import { XdpHook, type XdpHookHandle, type XdpMode } from './hook.ts'
import { ReceivePath } from './receive.ts'
import { type BindMode, openSocket, type RingSizes, XskSocket } from './socket.ts'
import { TransmitPath } from './transmit.ts'

/** What `XdpNic.open` is told. */
export interface XdpNicOptions {
  /** Interface name. */
  device: string
  /** Receive queue. Default 0. */
  queue?: number
  /** Default `auto`: native where the driver has it, generic on a veth and elsewhere. */
  mode?: XdpMode | 'auto'
  /** Default `auto`: zero-copy where the driver has it. */
  copy?: 'auto' | 'copy' | 'zerocopy'
  /** Ring sizes in entries, powers of two. */
  rings?: Partial<RingSizes>
  /** Who looks for frames has the kernel take them from the device meanwhile; a refusal is in `notes`. Default: interrupts do. */
  preferBusyPoll?: BusyPolling
  /** Hook of an `XdpNic` on another queue of the same interface (`shareHook`); `mode` is then that one's. */
  hook?: XdpHookHandle
  /** Path of the network namespace the interface is in, such as `/run/netns/blue`; default: the thread's. */
  netns?: string
}

const DEFAULT_RINGS: RingSizes = { fill: 8192, completion: 256, rx: 8192, tx: 256 }
const PAGE = 4096
const DEFAULT_CHUNK = 4096
/** The kernel leaves this much in front of each fragment (`XDP_PACKET_HEADROOM`). */
const HEADROOM = 256
const TX_SLOT = 4096
const VETH_RING = 256
/** Ring addresses are read as 32 bits. */
const LARGEST_UMEM = 2 ** 32
/** Ethernet header and two VLAN tags. */
const LINK_HEADER = 22
/** Interfaces whose frames come from this machine's own stacks, with checksums left to a device that isn't there. */
const SOFTWARE_DRIVERS = new Set(['veth', 'virtio_net', 'tun', 'lo'])

/** What the queue holds of the system; apart from the `XdpNic`, so that it can be given back when that is collected. */
interface Holdings {
  hook: XdpHook | null
  socket: XskSocket | null
}

const abandoned = new FinalizationRegistry<Holdings>(release)

/** The kernel releases the queue first, then the hook, so that nothing is redirected into nowhere. */
function release(holdings: Holdings): void {
  try {
    holdings.socket?.close()
  } catch {
    // Nobody is left to be told; the memory is kept.
  }
  holdings.socket = null
  holdings.hook?.close()
  holdings.hook = null
}

/**
 * One queue of a network interface over AF_XDP (Documentation/networking/af_xdp.rst).
 *
 * The memory handed to `attach` is registered with the kernel, pinned, from the start of the area to the end of the
 * transmit slots behind it. Its buffer must not be detached or moved while it is attached; growing a
 * `WebAssembly.Memory` does that.
 */
export class XdpNic implements Nic, Steering {
  readonly roles: NicRoles
  readonly #notes: string[] = []
  /** Receive queues of the interface whose frames may be missed, when it was opened; 0 with the hook of another one, which tells of them. */
  readonly #queues: number
  readonly #native: Native
  readonly #options: XdpNicOptions
  readonly #rings: RingSizes
  readonly #holdings: Holdings = { hook: null, socket: null }
  readonly #counters = new NicStats()
  #info: NicInfo
  #socket: XskSocket | null = null
  #receive: ReceivePath | null = null
  #transmit: TransmitPath | null = null
  #area: Uint8Array = new Uint8Array(0)
  #txMemory: Uint8Array = new Uint8Array(0)
  #slotBytes = TX_SLOT
  /** Frames come when the kernel is called. */
  #polls = false
  /** Outlives a restart of the queue: who waits for frames waits for those of the next memory too. */
  #armed: (() => void) | null = null
  #keepsAlive = true
  readonly #fire = (failed: boolean): void => {
    this.#askWhyWoken(failed)
    const callback = this.#armed
    this.#armed = null
    callback?.()
  }
  readonly #link: FollowedLink

  /**
   * Takes the XDP hook of the interface. Nothing is redirected before `attach` and `steer` or `claim`.
   * @throws NicError with what is missing and what to do about it
   */
  static open(options: XdpNicOptions): XdpNic {
    const native = loadNative()
    return inNamespace(native, options.netns, () => new XdpNic(native, options))
  }

  private constructor(native: Native, options: XdpNicOptions) {
    const { device, queue = 0 } = options
    this.#native = native
    this.#options = options
    this.#rings = checkRings({ ...DEFAULT_RINGS, ...options.rings })
    checkBusyPolling(options.preferBusyPoll)
    const facts = linkInfo(native, device)
    checkQueue(device, queue, facts.rxQueues)
    if (!facts.up) throw interfaceDown(device)
    native.close(openSocket(native, device))
    const hook =
      options.hook === undefined
        ? XdpHook.open(native, device, queue, options.mode ?? 'auto', this.#notes)
        : XdpHook.adopt(native, device, queue, options.hook)
    // Generic XDP sees what comes to a veth at queue 0, all of it.
    const one = hook.mode === 'generic' && facts.driver === 'veth'
    this.#queues = options.hook !== undefined || one ? 0 : facts.rxQueues
    this.#holdings.hook = hook
    this.#info = describe(device, queue, facts, hook.mode, this.#rings, options.netns)
    this.#link = new FollowedLink(native, facts.index, facts.mac, () => this.#lost())
    this.roles = { ...NO_ROLES, steering: this, macChanges: this.#link }
    abandoned.register(this, this.#holdings, this)
  }

  /** Why something other than the first choice was taken, and which queues are left to the kernel now; for people. */
  get notes(): readonly string[] {
    const others = this.#holdings.hook?.unopened(this.#queues) ?? 0
    if (others === 0) return this.#notes
    const queues = others === 1 ? 'receive queue' : 'receive queues'
    return [
      ...this.#notes,
      `frames of the other ${others} ${queues} go to the kernel until they have an XdpNic too: ` +
        `ethtool -L ${this.#info.name} combined 1 leaves one queue`,
    ]
  }

  get info(): NicInfo {
    return this.#info
  }

  get gone(): boolean {
    return this.#link.gone
  }

  get txMemory(): Uint8Array {
    return this.#txMemory
  }

  get txSlotBytes(): number {
    return this.#slotBytes
  }

  attach(memory: NicMemory): void {
    const hook = this.#hook()
    const { areaLength, chunkSize } = memory
    const tail = checkMemory(memory, this.#info.tailBytes)
    const slots = Math.min(tail / chunkSize, this.#rings.tx, this.#rings.completion)
    const umem = new Uint8Array(memory.buffer, memory.areaOffset, areaLength + slots * chunkSize)
    if (this.#native.addressOf(umem) % PAGE !== 0) {
      const remedy = 'allocatePages or WebAssembly.Memory'
      throw new NicError('ZCRX_NIC_MEMORY', "the area doesn't begin on a page", remedy)
    }
    const start = (): XskSocket => this.#start(hook, umem, chunkSize)
    const socket = this.#socket === null ? start() : hook.restarting(start)
    this.#receive = new ReceivePath(socket.rx, socket.fill, areaLength, chunkSize, () => socket.kickRx())
    const { tx, completion, zeroCopy } = socket
    const sending = { tx, completion, base: areaLength, slots, slotBytes: chunkSize, zeroCopy }
    this.#transmit = new TransmitPath({ ...sending, kick: () => this.#notice(socket.kickTx()) })
    this.#area = umem.subarray(0, areaLength)
    this.#txMemory = umem.subarray(areaLength)
    this.#slotBytes = chunkSize
    this.#info = {
      ...this.#info,
      mode: `${hook.mode} ${socket.zeroCopy ? 'zero-copy' : 'copy'}`,
      chunkPayload: chunkSize - HEADROOM,
    }
    socket.keepAlive(this.#keepsAlive)
    if (this.#armed !== null) socket.arm(this.#fire)
  }

  detach(): void {
    const socket = this.#socket
    if (socket === null) return
    this.#holdings.hook?.clearSocket()
    this.#addCounters(this.#counters)
    this.#socket = this.#holdings.socket = null
    this.#receive = null
    this.#transmit = null
    this.#area = this.#txMemory = new Uint8Array(0)
    socket.close()
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    this.#link.count()
    const receive = this.#receive
    if (receive === null) return 0
    if (this.#polls && !receive.pending()) this.#notice(this.#socket!.kickRx())
    return receive.receive(burst)
  }

  fillSpace(): number {
    return this.#receive === null ? 0 : this.#receive.space()
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    return this.#receive === null ? 0 : this.#receive.fill(chunks, from, count)
  }

  chunksHeld(): number {
    return this.#receive === null ? 0 : this.#receive.held
  }

  sumFragments(burst: RxBurst): void {
    if (burst.count > 0)
      this.#native.sumFragments(this.#area, burst.offset, burst.length, burst.sum, burst.count, 0)
  }

  txReserve(): number {
    if (this.#transmit !== null) return this.#transmit.reserve()
    this.#counters.txNoSlot++
    return -1
  }

  txCommit(offset: number, length: number): void {
    this.#transmit?.commit(offset, length)
  }

  txFlush(): void {
    this.#transmit?.flush()
  }

  steer(address: Uint8Array, port: number, everyQueue = false): void {
    this.#hook().add(address, checkPort(port), everyQueue)
  }

  unsteer(address: Uint8Array, port: number, everyQueue = false): void {
    this.#holdings.hook?.remove(address, checkPort(port), everyQueue)
  }

  claim(address: Uint8Array, everyQueue = false): void {
    this.#hook().add(address, 0, everyQueue)
  }

  unclaim(address: Uint8Array, everyQueue = false): void {
    this.#holdings.hook?.remove(address, 0, everyQueue)
  }

  wait(timeoutMs: number): boolean {
    const receive = this.#receive
    // The descriptor of a deleted interface is ready for ever.
    if (receive === null || this.#socket === null || this.gone) {
      if (Number.isFinite(timeoutMs)) this.#native.poll(-1, 0, timeoutMs)
      return false
    }
    const deadline = performance.now() + timeoutMs
    for (let left = timeoutMs; !receive.pending(); left = deadline - performance.now()) {
      const nap = this.#link.nap(left)
      const ready = this.#socket.wait(nap)
      this.#link.look()
      if (ready || nap === left || this.gone) break
    }
    this.#askWhyWoken()
    return receive.pending()
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    this.#socket?.arm(callback === null || this.gone ? null : this.#fire)
  }

  keepAlive(on: boolean): void {
    this.#keepsAlive = on
    this.#socket?.keepAlive(on)
  }

  stats(): NicStats {
    return this.#addCounters(Object.assign(new NicStats(), this.#counters))
  }

  /** The hook, for an `XdpNic` on another queue, in this thread or another. @throws ArgumentError when closed */
  shareHook(): XdpHookHandle {
    return this.#hook().handle
  }

  close(): void {
    try {
      this.detach()
    } finally {
      this.#armed = null
      this.#link.close()
      abandoned.unregister(this)
      release(this.#holdings)
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** A descriptor that is ready without a frame has an error to tell: of a deleted interface, that its socket is unbound. */
  #askWhyWoken(failed = false): void {
    if (this.#socket === null || (!failed && this.#receive?.pending() !== false)) return
    this.#notice(this.#socket.kickRx())
  }

  #notice(status: number): number {
    if (status === -ERRNO.ENXIO) this.#link.linkGone()
    return status
  }

  /** Whoever waits for frames hears of it; not within a call of theirs. */
  #lost(): void {
    setImmediate(() => {
      const callback = this.#armed
      this.arm(null)
      callback?.()
    })
  }

  /** Those since the last attach; `#counters` has what was before. */
  #addCounters(stats: NicStats): NicStats {
    this.#receive?.addCounters(stats)
    this.#transmit?.addCounters(stats)
    this.#socket?.addStatistics(stats)
    return stats
  }

  #hook(): XdpHook {
    const hook = this.#holdings.hook
    if (hook === null) throw new ArgumentError(`${this.#info.name} is closed`, 'open it again')
    return hook
  }

  /** Replaces the socket. */
  #start(hook: XdpHook, umem: Uint8Array, chunkSize: number): XskSocket {
    this.detach()
    const socket = inNamespace(this.#native, this.#options.netns, () => this.#bind(umem, chunkSize))
    try {
      hook.setSocket(socket.fd)
    } catch (error) {
      socket.close()
      throw error
    }
    this.#socket = this.#holdings.socket = socket
    const { preferBusyPoll } = this.#options
    this.#polls = preferBusyPolling(this.#native, socket.fd, preferBusyPoll, (text) => this.note(text))
    return socket
  }

  /** A socket in the best way that the device, the kernel and the options allow. */
  #bind(umem: Uint8Array, chunkSize: number): XskSocket {
    const { name: device, queue } = this.#info
    const facts = linkInfo(this.#native, device)
    if (facts.index !== this.#info.ifIndex) {
      throw new NicError('ZCRX_NIC_NO_DEVICE', `${device} is another interface than it was`, 'open it again')
    }
    if (!facts.up) throw interfaceDown(device)
    const fits = facts.mtu + LINK_HEADER <= chunkSize - HEADROOM
    let refusal: NicError | null = null
    for (const bind of this.#choices(fits)) {
      try {
        const ifIndex = facts.index
        const socket = new XskSocket(this.#native, {
          device,
          ifIndex,
          queue,
          umem,
          chunkSize,
          sizes: this.#rings,
          bind,
        })
        // That frames must fit in a chunk for zero-copy is no news: they do.
        if (refusal !== null && !socket.zeroCopy) this.note(refusal.message)
        if (!bind.multiBuffer && !fits) {
          this.note(
            `frames of more than ${chunkSize - HEADROOM} bytes are dropped: Linux 6.6 can take them apart`,
          )
        }
        return socket
      } catch (error) {
        if (!(error instanceof NicError) || error.code !== 'ZCRX_NIC_UNSUPPORTED') throw error
        refusal ??= error
      }
    }
    throw refusal!
  }

  /** Ways to bind, best first. A driver may have zero-copy for frames of one chunk only. */
  #choices(fits: boolean): BindMode[] {
    const copy = this.#options.copy ?? 'auto'
    const native = this.#holdings.hook?.mode === 'native'
    const choices: BindMode[] = []
    if (copy === 'zerocopy' && !native)
      this.note('copy instead of zero-copy, which generic XDP does not have')
    if (copy !== 'copy' && native) {
      choices.push({ zeroCopy: true, multiBuffer: true })
      if (fits) choices.push({ zeroCopy: true, multiBuffer: false })
    }
    choices.push({ zeroCopy: false, multiBuffer: true }, { zeroCopy: false, multiBuffer: false })
    return choices
  }

  /** Adds to `notes`, once. */
  note(text: string): void {
    if (!this.#notes.includes(text)) this.#notes.push(text)
  }
}

function describe(
  device: string,
  queue: number,
  facts: LinkInfo,
  mode: XdpMode,
  rings: RingSizes,
  netns: string | undefined,
): NicInfo {
  const driver = facts.loopback ? 'lo' : facts.driver
  return {
    driver: 'xdp',
    mode: mode === 'generic' ? 'generic copy' : 'native',
    name: device,
    ifIndex: facts.index,
    queue,
    mac: facts.mac,
    mtu: facts.mtu,
    chunkPayload: DEFAULT_CHUNK - HEADROOM,
    tailBytes: rings.tx * TX_SLOT,
    fillEntries: Math.min(rings.fill, rings.rx),
    ringPackets: driver === 'veth' && mode === 'native' ? VETH_RING : 0,
    partialChecksums: SOFTWARE_DRIVERS.has(driver),
    placement: 'area',
    system: { netns },
  }
}

function checkQueue(device: string, queue: number, queues: number): void {
  if (Number.isInteger(queue) && queue >= 0 && queue < queues) return
  throw new NicError(
    'ZCRX_NIC_NO_QUEUE',
    `${device} has ${queues === 1 ? 'one receive queue, number 0' : `${queues} receive queues, 0 to ${queues - 1}`}; not ${queue}`,
    `take another, or ethtool -L ${device} combined <n> for more`,
  )
}

function checkRings(sizes: RingSizes): RingSizes {
  for (const name of ['fill', 'completion', 'rx', 'tx'] as const) {
    const entries = sizes[name]
    if (!Number.isInteger(entries) || entries < 2 || entries > 1 << 20 || (entries & (entries - 1)) !== 0) {
      throw new ArgumentError(
        `ring ${name} can't have ${entries} entries`,
        'take a power of two, 2 to 1048576',
      )
    }
  }
  return sizes
}

/** Bytes behind the area that slots may take; whole chunks. */
function checkMemory({ buffer, areaOffset, areaLength, chunkSize }: NicMemory, tailBytes: number): number {
  const wrong = (message: string, remedy = ''): NicError => new NicError('ZCRX_NIC_MEMORY', message, remedy)
  if (!Number.isInteger(chunkSize) || chunkSize < 2048 || (chunkSize & (chunkSize - 1)) !== 0) {
    throw wrong(`AF_XDP has no chunks of ${chunkSize} bytes`, 'take 2048 or 4096')
  }
  if (!(areaOffset >= 0) || areaOffset % PAGE !== 0)
    throw wrong(`the area begins at ${areaOffset}, not on a page`)
  if (!(areaLength > 0) || areaLength % chunkSize !== 0) {
    throw wrong(`${areaLength} bytes are not a whole number of chunks of ${chunkSize}`)
  }
  if (areaLength + tailBytes >= LARGEST_UMEM) throw wrong(`${areaLength + tailBytes} bytes are 4 GiB or more`)
  const missing = areaOffset + areaLength + tailBytes - buffer.byteLength
  if (missing > 0) {
    throw wrong(
      `${tailBytes} bytes are needed behind the area for frames to send`,
      `${missing} bytes are missing`,
    )
  }
  return tailBytes - (tailBytes % chunkSize)
}
