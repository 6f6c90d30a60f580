import { networkInterfaces } from 'node:os'
import { ArgumentError, NicError } from '../../errors.ts'
import { checkAddress, checkPort, Flows } from '../flows.ts'
import { FollowedLink } from '../followed.ts'
import type { Guard } from '../guard/guard.ts'
import { openGuard } from '../guard/index.ts'
import { loadNative, type Native } from '../native/index.ts'
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
import { inNamespace, linkInfo } from '../system.ts'
import { ReadWatch } from '../watch.ts'
import { AddressCache, bytesOf, textOf } from './address.ts'
import { loadRawSocket, type RawPackage } from './package.ts'
import { OUR_MAC, protocolsOf, ReceivePath } from './receive.ts'
import { RawIpSocket } from './socket.ts'
import { TransmitPath } from './transmit.ts'

/** What `RawNic.open` is told. */
export interface RawNicOptions {
  /** Address of this host that the stack is to use, or one of each IP version. */
  address: string | readonly string[]
  /** Path of the network namespace the address is in, such as `/run/netns/blue`; default: the thread's. */
  netns?: string
  /** What keeps the host's kernel from answering on steered ports. Default `socket`. */
  guard?: 'socket' | 'none'
}

/** How long `wait` sleeps between two looks at the sockets, which it can't wait for. */
const NAP_MS = 1
/** Payload is copied into chunks, of whatever size. */
const CHUNK_PAYLOAD = 4096
/** Few large pieces are copied faster than many small ones: 64 KiB frames in pages take 1.6 times the time. */
const CHUNK_BYTES = 32_768

/** What a raw NIC knows of its addresses. */
interface Place {
  readonly name: string
  readonly ifIndex: number
  readonly mtu: number
}

/**
 * The host's own addresses through raw sockets (raw(7)), for systems where nothing better can be had. On the package
 * `raw-socket`, in the main thread only. The kernel routes what is sent and reassembles what is received; there is
 * no Ethernet, so frames get and lose a header that means nothing (`NicInfo.routed`).
 *
 * Every TCP segment to the host is copied to the sockets and looked at, whoever it is for. An IPv6 socket tells neither the
 * traffic class nor the hop limit of a packet, nor which of the host's addresses it came to: those to another one fail
 * the checksum. Only `arm` waits; `wait` looks again every millisecond.
 */
export class RawNic extends SideNic implements Nic, Steering {
  readonly roles: NicRoles
  readonly info: NicInfo
  /** Why this way in was taken, for people. */
  readonly notes: string[] = []
  readonly #addresses: readonly Uint8Array[]
  readonly #sockets: readonly RawIpSocket[]
  readonly #flows = new Flows()
  readonly #guard: Guard | null
  protected override readonly received: ReceivePath
  protected override readonly slots: TransmitPath
  readonly #watch: ReadWatch
  /** The interfaces that had the addresses when it was opened. */
  readonly #links: readonly FollowedLink[]
  #armed: (() => void) | null = null
  #closed = false
  #drops = 0

  /**
   * Opens the sockets. Nothing is taken before `attach` and `steer`.
   * @throws NicError with what is missing and what to do about it
   */
  static open(options: RawNicOptions): RawNic {
    const native = loadNative()
    const raw = loadRawSocket()
    return inNamespace(native, options.netns, () => new RawNic(native, raw, options))
  }

  private constructor(native: Native, raw: RawPackage, options: RawNicOptions) {
    super(native)
    const { address } = options
    this.#addresses = checkAddresses(typeof address === 'string' ? [address] : address)
    const four = this.#addresses.find(({ length }) => length === 4) ?? null
    const six = this.#addresses.find(({ length }) => length === 16) ?? null
    const places = this.#addresses.map((bytes) => placeOf(native, bytes))
    const { name, ifIndex } = places[0]!
    const mtu = Math.min(...places.map((place) => place.mtu))
    const sockets: RawIpSocket[] = []
    try {
      for (const [i, bytes] of this.#addresses.entries()) {
        const version = bytes.length === 4 ? 4 : 6
        const device = isLinkLocal(bytes) ? places[i]!.name : ''
        for (const protocol of protocolsOf(version))
          sockets.push(new RawIpSocket(raw, version, protocol, device))
      }
    } catch (error) {
      for (const socket of sockets) socket.close()
      throw error
    }
    this.#sockets = sockets
    const guarded = options.guard !== 'none'
    this.#guard = guarded ? openGuard('socket', native, name, ifIndex, options.netns, false) : null
    const indexes = new Set(places.map((place) => place.ifIndex))
    this.#links = [...indexes].map(
      (index) => new FollowedLink(native, index, new Uint8Array(6), () => this.#lost()),
    )
    const cache = new AddressCache()
    this.received = new ReceivePath(sockets, this.#flows, four, six, cache)
    const sender = (version: 4 | 6): RawIpSocket | null =>
      sockets.find((socket) => socket.version === version) ?? null
    this.slots = new TransmitPath(sender(4), sender(6), mtu, cache)
    this.#watch = new ReadWatch(() => ({
      start: (callback) => {
        for (const socket of sockets) {
          socket.onReady = () => callback(false)
          socket.watch(true)
        }
        return 0
      },
      stop: () => {
        for (const socket of sockets) socket.watch(false)
      },
      close: () => {},
    }))
    this.info = {
      driver: 'raw',
      mode: 'raw sockets copy',
      name,
      ifIndex,
      queue: 0,
      mac: OUR_MAC,
      mtu,
      chunkPayload: CHUNK_PAYLOAD,
      tailBytes: 0,
      fillEntries: 0,
      ringPackets: 0,
      partialChecksums: true,
      placement: 'side',
      anyMemory: true,
      chunkBytes: CHUNK_BYTES,
      system: { netns: options.netns },
      routed: true,
      addresses: this.#addresses,
    }
    this.roles = { ...NO_ROLES, steering: this, sideMemory: this.sideMemory }
  }

  /** No interface is left of those that had the addresses. */
  get gone(): boolean {
    return this.#links.every((link) => link.gone)
  }

  override receive(burst: RxBurst): number {
    for (const link of this.#links) link.count()
    return super.receive(burst)
  }

  /** The memory is not touched: the stack copies into it. */
  attach(_memory: NicMemory): void {
    this.#open()
    this.attached = true
  }

  detach(): void {
    this.attached = false
    this.received.clear()
  }

  /** Adds to `notes`. */
  note(text: string): void {
    this.notes.push(text)
  }

  steer(address: Uint8Array, port: number): void {
    this.#open()
    checkPort(port)
    checkAddress(address)
    if (!this.#addresses.some((ours) => Buffer.compare(ours, address) === 0)) {
      throw new NicError(
        'ZCRX_NIC_UNSUPPORTED',
        `the raw driver was not opened for ${textOf(address, 0, address.length)}`,
        'name the address when it is opened',
      )
    }
    if (!this.#flows.add(address, port)) return
    try {
      this.#guard?.hold(address, port)
    } catch (error) {
      this.#flows.remove(address, port)
      throw error
    }
  }

  unsteer(address: Uint8Array, port: number): void {
    if (this.#flows.remove(address, checkPort(port))) this.#guard?.release(address, port)
  }

  /** @throws NicError always: the kernel delivers to raw sockets what is for the host's addresses only */
  claim(address: Uint8Array): void {
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `raw sockets can't have ${textOf(checkAddress(address), 0, address.length)} for the stack alone`,
      'use an address of the host, or the packet driver',
    )
  }

  unclaim(): void {}

  /** Looks at the sockets again every millisecond: what waits for them is the event loop, see `arm`. */
  wait(timeoutMs: number): boolean {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      if (this.attached) {
        for (const socket of this.#sockets) socket.ready = true
        this.received.read()
        if (this.received.waiting > 0) return true
      }
      const left = deadline - performance.now()
      if (!(left > 0)) return false
      for (const link of this.#links) link.look()
      this.native.poll(-1, 0, Math.min(NAP_MS, left))
    }
  }

  arm(callback: (() => void) | null): void {
    this.#armed = callback
    if (this.#closed) return
    const armed = callback === null || this.gone ? null : this.#fire
    this.#watch.arm(armed)
  }

  stats(): NicStats {
    const stats = new NicStats()
    this.received.addCounters(stats)
    this.slots.addCounters(stats)
    stats.rxRingFull += this.#closed ? this.#drops : this.#kernelDrops()
    return stats
  }

  close(): void {
    if (this.#closed) return
    this.#drops = this.#kernelDrops()
    this.detach()
    this.arm(null)
    this.#watch.close()
    for (const link of this.#links) link.close()
    this.#closed = true
    for (const socket of this.#sockets) socket.close()
    this.#guard?.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  readonly #fire = (): void => {
    const callback = this.#armed
    this.#armed = null
    callback?.()
  }

  /** Whoever waits for packets hears that the last interface is gone; not within a call of theirs. */
  #lost(): void {
    setImmediate(() => {
      if (!this.gone || this.#closed) return
      this.#watch.arm(null)
      this.#fire()
    })
  }

  #kernelDrops(): number {
    let drops = 0
    for (const socket of this.#sockets) drops += socket.drops()
    return drops
  }

  #open(): void {
    if (this.#closed) throw new ArgumentError(`${this.info.name} is closed`, 'open it again')
  }
}

function checkAddresses(texts: readonly string[]): Uint8Array[] {
  const addresses = texts.map(bytesOf)
  const versions = new Set(addresses.map(({ length }) => length))
  if (addresses.length === 0 || versions.size !== addresses.length)
    throw new ArgumentError(`no addresses [${texts.join(', ')}]`, 'give one, or one of each IP version')
  return addresses
}

/** The interface that has the address. @throws NicError */
function placeOf(native: Native, address: Uint8Array): Place {
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    for (const entry of entries ?? []) {
      const [text] = entry.address.split('%')
      if (Buffer.compare(bytesOf(text!), address) !== 0) continue
      const { index, mtu } = linkInfo(native, name)
      return { name, ifIndex: index, mtu }
    }
  }
  const text = textOf(address, 0, address.length)
  throw new NicError(
    'ZCRX_NIC_NO_DEVICE',
    `no interface of this network namespace that is up has the address ${text}`,
    'ip address shows those there are',
  )
}

/** fe80::/10 (RFC 4291 2.5.6). */
function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 16 && address[0] === 0xfe && (address[1]! & 0xc0) === 0x80
}
