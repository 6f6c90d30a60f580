import { readFileSync } from 'node:fs'
import { ArgumentError, NicError } from '../../errors.ts'
import { checkAddress, checkPort, Flows } from '../flows.ts'
import { FollowedLink } from '../followed.ts'
import { type Guard, textOf } from '../guard/guard.ts'
import { type GuardKind, openGuard } from '../guard/index.ts'
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
import { SideNic } from '../side-nic.ts'
import { ERRNO, inNamespace, interfaceDown, linkInfo, systemFailure } from '../system.ts'
import { ReadWatch } from '../watch.ts'
import { buildFilter, nothingFilter } from './filter.ts'
import { ReceivePath } from './receive.ts'
import { type FanoutOptions, openSocket, type PacketRing } from './socket.ts'
import { TransmitPath } from './transmit.ts'

/** What `PacketNic.open` is told. */
export interface PacketNicOptions {
  /** Interface name. */
  device: string
  /** Path of the network namespace the interface is in, such as `/run/netns/blue`; default: the thread's. */
  netns?: string
  /** Shape of the receive ring. Default: 64 blocks of 256 KiB, handed over after 1 ms. */
  ring?: Partial<PacketRing>
  /** Share the interface's frames with other sockets of the group. All of its members steer and claim the same. */
  fanout?: FanoutOptions
  /** Frames go straight to the device, past the queueing discipline of the interface. Default false. */
  qdiscBypass?: boolean
  /** What keeps the host's kernel from answering on steered ports. Default `auto`. */
  guard?: GuardKind | 'none'
}

const DEFAULT_RING: PacketRing = { blockBytes: 1 << 18, blocks: 64, retireMs: 1 }
const POLLIN = 1
/** How long `wait` sleeps at a time while a block that was read makes the descriptor readable. */
const NAP_MS = 1
/** The largest frame: it says nothing of chunks, payload is copied into them. */
const CHUNK_PAYLOAD = 4096
/** Few large pieces are copied faster than many small ones: 64 KiB frames in pages take 1.6 times the time. */
const CHUNK_BYTES = 32_768
/** RFC 2464 section 7, RFC 4291 2.7.1: all nodes. */
const ALL_NODES_MAC = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1)

/** What the queue holds of the system; apart from the `PacketNic`, so that it can be given back when that is collected. */
interface Holdings {
  readonly native: Native
  fd: number
  readonly ring: Uint8Array
  readonly watch: ReadWatch
  readonly guard: Guard | null
}

const abandoned = new FinalizationRegistry<Holdings>(release)

/** The ring first: it keeps the socket alive. The guard last: frames that still arrive are not answered. */
function release(holdings: Holdings): void {
  if (holdings.fd < 0) return
  holdings.watch.close()
  holdings.native.release(holdings.ring)
  holdings.native.close(holdings.fd)
  holdings.fd = -1
  holdings.guard?.close()
}

/**
 * A network interface through an AF_PACKET socket with a mapped ring (packet(7), `TPACKET_V3`): for interfaces and systems
 * without AF_XDP. The kernel copies each frame into the ring, where the stack reads it (`NicRoles.sideMemory`) and copies its
 * payload on. Super-frames come whole, with what the kernel knows of their checksum.
 *
 * The kernel's own stack gets the same frames. An address that the stack has alone means nothing to it; where the host
 * forwards IP (`net.ipv4.conf.*.forwarding`), it would send packets for such an address on, which `notes` tells. On an address of the
 * host a guard holds each steered port.
 */
export class PacketNic extends SideNic implements Nic, Steering {
  readonly roles: NicRoles
  readonly info: NicInfo
  /** What a user should know of this interface, for people. */
  readonly notes: string[] = []
  readonly #options: PacketNicOptions
  readonly #holdings: Holdings
  readonly #flows = new Flows()
  protected override readonly received: ReceivePath
  protected override readonly slots: TransmitPath
  readonly #kernel = new Float64Array(3)
  #ringFull = 0
  readonly #link: FollowedLink
  #armed: (() => void) | null = null
  readonly #fire = (failed: boolean): void => {
    this.#askWhyWoken(failed)
    const callback = this.#armed
    this.#armed = null
    callback?.()
  }

  /**
   * Opens the socket and its ring. Nothing arrives before `attach`, and `steer` or `claim`.
   * @throws NicError with what is missing and what to do about it
   */
  static open(options: PacketNicOptions): PacketNic {
    const native = loadNative()
    return inNamespace(native, options.netns, () => new PacketNic(native, options))
  }

  private constructor(native: Native, options: PacketNicOptions) {
    const { device, fanout } = options
    super(native)
    this.#options = options
    const facts = linkInfo(native, device)
    if (!facts.up) throw interfaceDown(device)
    checkEthernet(device, facts)
    const ring = { ...DEFAULT_RING, ...options.ring }
    const socket = openSocket(native, {
      device,
      ifIndex: facts.index,
      ring,
      fanout,
      qdiscBypass: options.qdiscBypass ?? false,
    })
    this.received = new ReceivePath(socket.ring, ring.blockBytes)
    let guard: Guard | null = null
    try {
      const kind = options.guard ?? 'auto'
      if (kind !== 'none')
        guard = openGuard(kind, native, device, facts.index, options.netns, fanout !== undefined)
    } catch (error) {
      native.release(this.sideMemory)
      native.close(socket.fd)
      throw error
    }
    this.#holdings = {
      native,
      fd: socket.fd,
      ring: this.sideMemory,
      watch: new ReadWatch(() => new native.Watcher(socket.fd)),
      guard,
    }
    this.#link = new FollowedLink(native, facts.index, facts.mac, () => this.#lost())
    this.slots = new TransmitPath(native, socket.fd, facts.mtu, () => this.#link.linkGone())
    this.info = {
      driver: 'packet',
      mode: `tpacket_v3 vnet_hdr copy${fanout === undefined ? '' : ` fanout ${fanout.group}`}`,
      name: device,
      ifIndex: facts.index,
      queue: 0,
      mac: facts.mac,
      mtu: facts.mtu,
      chunkPayload: CHUNK_PAYLOAD,
      tailBytes: 0,
      fillEntries: 0,
      ringPackets: 0,
      // Told of each frame that has one.
      partialChecksums: false,
      placement: 'side',
      anyMemory: true,
      chunkBytes: CHUNK_BYTES,
      system: { netns: options.netns },
    }
    this.roles = { ...NO_ROLES, steering: this, macChanges: this.#link, sideMemory: this.sideMemory }
    abandoned.register(this, this.#holdings, this)
  }

  get gone(): boolean {
    return this.#link.gone
  }

  override receive(burst: RxBurst): number {
    this.#link.count()
    return super.receive(burst)
  }

  /** The memory is not touched: the stack copies into it. */
  attach(_memory: NicMemory): void {
    this.#fd()
    this.attached = true
    this.#refilter()
  }

  detach(): void {
    if (!this.attached) return
    this.attached = false
    this.native.attachFilter(this.#fd(), nothingFilter())
    this.received.flush()
  }

  steer(address: Uint8Array, port: number, everyQueue = false): void {
    checkPort(port)
    if (everyQueue && this.#options.fanout !== undefined && !this.#flows.claimed(address)) {
      this.note(
        `answers to connections from ${textOf(address)}, an address of the host's, are lost when they come to another socket of the fanout group: give the stacks an address of their own to connect from`,
      )
    }
    const fresh = this.#add(address, port)
    if (!fresh) return
    const { guard } = this.#holdings
    try {
      if (!this.#flows.claimed(address)) guard?.hold(address, port)
      this.#refilter()
    } catch (error) {
      this.#flows.remove(address, port)
      guard?.release(address, port)
      throw error
    }
  }

  unsteer(address: Uint8Array, port: number): void {
    if (!this.#flows.remove(address, checkPort(port)) || this.#holdings.fd < 0) return
    this.#refilter()
    this.#holdings.guard?.release(address, port)
  }

  claim(address: Uint8Array): void {
    if (!this.#add(address, 0)) return
    try {
      this.#groups(address, true)
      this.#refilter()
    } catch (error) {
      this.#flows.remove(address, 0)
      throw error
    }
    if (this.#forwards(address.length === 4 ? 'ipv4' : 'ipv6')) {
      this.note(
        `the host forwards IP and sends packets for the stack's own addresses on too: sysctl -w net.${
          address.length === 4 ? 'ipv4' : 'ipv6'
        }.conf.${this.info.name}.forwarding=0`,
      )
    }
  }

  unclaim(address: Uint8Array): void {
    if (!this.#flows.remove(address, 0) || this.#holdings.fd < 0) return
    this.#refilter()
    this.#groups(address, false)
  }

  /** True at once, too, when nothing can arrive before `receive` gives the ring back to the kernel. */
  wait(timeoutMs: number): boolean {
    const receive = this.received
    const { fd } = this.#holdings
    if (!this.attached || this.gone) {
      if (Number.isFinite(timeoutMs)) this.native.poll(-1, 0, timeoutMs)
      return false
    }
    if (receive.full) return true
    const deadline = performance.now() + timeoutMs
    for (let left = timeoutMs; !receive.pending() && left > 0; left = deadline - performance.now()) {
      if (receive.holding) this.native.poll(-1, 0, Math.min(NAP_MS, left))
      else {
        const nap = this.#link.nap(left)
        const ready = this.native.poll(fd, POLLIN, nap)
        this.#link.look()
        if (ready !== 0 || nap === left || this.gone) break
      }
    }
    this.#askWhyWoken()
    return receive.pending()
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    if (this.#holdings.fd >= 0) this.#holdings.watch.arm(callback === null || this.gone ? null : this.#fire)
  }

  keepAlive(on: boolean): void {
    this.#holdings.watch.keepAlive(on)
  }

  stats(): NicStats {
    const stats = new NicStats()
    this.received.addCounters(stats)
    this.slots.addCounters(stats)
    this.#readKernel()
    stats.rxRingFull += this.#ringFull
    return stats
  }

  close(): void {
    if (this.#holdings.fd < 0) return
    this.#readKernel()
    this.attached = false
    this.#armed = null
    this.#link.close()
    abandoned.unregister(this)
    release(this.#holdings)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #add(address: Uint8Array, port: number): boolean {
    this.#fd()
    return this.#flows.add(checkAddress(address), port)
  }

  /** The filter is replaced at once: no frame meets half of one. Before `attach` it takes nothing. */
  #refilter(): void {
    const filter = buildFilter(this.#flows.addresses)
    if (!this.attached) return
    const attached = this.native.attachFilter(this.#fd(), filter)
    if (attached < 0) throw systemFailure(attached, 'SO_ATTACH_FILTER', this.info.name)
  }

  /** The groups at which others ask for the hardware address of an IPv6 address (RFC 4861 7.2.1). */
  #groups(address: Uint8Array, join: boolean): void {
    if (address.length !== 16) return
    const solicited = Uint8Array.of(0x33, 0x33, 0xff, address[13]!, address[14]!, address[15]!)
    for (const mac of [solicited, ALL_NODES_MAC]) {
      const result = this.native.packetGroup(this.#fd(), this.info.ifIndex, mac, join)
      if (result < 0 && join) throw systemFailure(result, 'PACKET_ADD_MEMBERSHIP', this.info.name)
    }
  }

  #forwards(version: 'ipv4' | 'ipv6'): boolean {
    const path = `/proc/sys/net/${version}/conf/${this.info.name}/forwarding`
    try {
      return inNamespace(this.native, this.#options.netns, () => readFileSync(path, 'latin1').trim() === '1')
    } catch {
      // No such protocol, or no /proc: then there is nothing to say.
      return false
    }
  }

  /** A descriptor that is ready without a frame has an error to tell, once: that the interface is down, or gone. */
  #askWhyWoken(failed = false): void {
    if (this.#holdings.fd < 0) return
    if (!failed && (this.received.pending() || this.received.holding)) return
    if (this.native.packetState(this.#holdings.fd) === -ERRNO.ENXIO) this.#link.linkGone()
  }

  /** Whoever waits for frames hears of it; not within a call of theirs. */
  #lost(): void {
    setImmediate(() => {
      const callback = this.#armed
      this.arm(null)
      callback?.()
    })
  }

  #readKernel(): void {
    const { fd } = this.#holdings
    if (fd >= 0 && this.native.packetStatistics(fd, this.#kernel) === 0) this.#ringFull += this.#kernel[1]!
  }

  #fd(): number {
    const { fd } = this.#holdings
    if (fd < 0) throw new ArgumentError(`${this.info.name} is closed`, 'open it again')
    return fd
  }

  /** Adds to `notes`, once. */
  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text)
  }
}

/** Frames of other interfaces begin with something else. */
function checkEthernet(device: string, { loopback, mac }: LinkInfo): void {
  if (loopback || mac.some((byte) => byte !== 0)) return
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `${device} has no Ethernet address`,
    'take an Ethernet interface',
  )
}
