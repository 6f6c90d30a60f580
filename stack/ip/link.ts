import { IpAddress } from '../../address.ts'
import type { Nic } from '../../driver/nic.ts'
import { ArgumentError } from '../../errors.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import type { Segment } from '../tcp/segment.ts'
import { Timer, type TimerWheel } from '../timers.ts'
import { Arp } from './arp.ts'
import { Broadcasts } from './broadcasts.ts'
import { Dad, type DadOwner, type DadResult } from './dad.ts'
import type { DiscoveryOwner, InterfaceAddress } from './discovery.ts'
import { FrameOutput } from './frame-output.ts'
import { Ndp } from './ndp.ts'
import { Neighbour, Neighbours, REACHABLE, type Solicitor } from './neighbours.ts'
import type { IpConfig } from './options.ts'
import { PathMtus } from './path-mtus.ts'
import { Routes } from './routes.ts'

// RFC 4861 section 10: MAX_NEIGHBOR_ADVERTISEMENT, RETRANS_TIMER; microseconds.
const ANNOUNCEMENTS = 3
const ANNOUNCE_EVERY_US = 1_000_000

/** Earlier hardware addresses that frames are still taken at. */
const FORMER_MACS = 4

/** What became of an address of the interface. */
export interface AddressEvent {
  /** Which address. */
  readonly address: IpAddress
  /**
   * `usable` from now on; `taken`: somebody else has it and it is not used; `lost`: it was used and is no longer, because
   * somebody else insists on it or its lifetime is over.
   */
  readonly what: 'usable' | 'taken' | 'lost'
  /** Six bytes: the hardware address of who has it; null when nobody else has. */
  readonly holder: Uint8Array | null
}

/** Finds neighbours on behalf of addresses that are the host's: its kernel, asked in its own way. */
export interface Resolver {
  /** Looks for the neighbour; what is found is told with `Neighbours.install` and `withdraw`. */
  solicit(neighbour: Neighbour): void
}

/** Addresses, routes and neighbours of the interface: where frames go, and which are ours. */
export class Link implements Solicitor, DiscoveryOwner, DadOwner {
  readonly nic: Nic
  /** The NIC's own array: it has the address as it is now. */
  readonly mac: Uint8Array
  /**
   * Hardware addresses before it changed, the latest first. Neighbours send to them until they have heard of the new one, which
   * those of an address of the host's have to find out for themselves.
   */
  readonly formerMacs: Uint8Array[] = []
  readonly addresses: InterfaceAddress[] = []
  readonly routes: Routes = new Routes()
  readonly broadcasts: Broadcasts = new Broadcasts()
  readonly neighbours: Neighbours
  readonly pathMtus: PathMtus
  readonly dad: Dad
  readonly arp: Arp
  readonly ndp: Ndp
  readonly frames: FrameOutput
  /** Bytes of the largest IP packet on this link; at most the NIC's. */
  mtu: number
  /** Whom live connections are with. */
  livePeers: () => Iterable<IpAddress> = () => []
  /** Who finds neighbours for addresses of the host's; null: ARP and neighbour discovery from here. */
  resolver: Resolver | null = null
  /** Bytes of the largest IPv6 packet: less where a router says so. */
  mtu6: number
  /** Of addresses that are being tested, how their claims are undone. */
  readonly #unclaims = new Map<string, () => void>()
  readonly #tests: boolean
  readonly #announcement: Announcement
  #lastMac: Uint8Array
  readonly #counters: Counters
  /** Who leads everywhere, on a NIC behind which the kernel finds the way; else null. */
  readonly #everywhere: Neighbour | null
  /** Called when a neighbour's hardware address becomes known. */
  onResolved: (neighbour: Neighbour, now: number) => void = () => {}
  /** Called when a neighbour was asked for in vain. */
  onUnreachable: (neighbour: Neighbour, now: number) => void = () => {}

  /** Called when an address becomes usable after its test, and when it can't be used or no longer is. */
  onAddress: (event: AddressEvent, now: number) => void = () => {}
  /** Called when a neighbour that is a router does not answer. */
  onRouterLost: (router: IpAddress) => void = () => {}

  constructor(nic: Nic, counters: Counters, wheel: TimerWheel, config: IpConfig, entropy: Entropy) {
    this.nic = nic
    this.mac = nic.info.mac
    this.#lastMac = this.mac.slice()
    this.#announcement = new Announcement(this, wheel)
    this.mtu = nic.info.mtu
    this.mtu6 = nic.info.mtu
    this.#counters = counters
    if (config.vlan.length > 2 || config.vlan.some((id) => !Number.isInteger(id) || id < 1 || id > 4094)) {
      throw new ArgumentError(
        `no VLAN tags [${config.vlan.join(', ')}]`,
        'give at most two ids from 1 to 4094',
      )
    }
    this.frames = new FrameOutput(nic, counters, config.vlan)
    this.neighbours = new Neighbours(wheel, this, config.maxNeighbours, config.neighbourSolicits)
    this.#everywhere = nic.info.routed === true ? everywhere(this.neighbours) : null
    this.pathMtus = new PathMtus(config.maxPathMtus, config.pathMtuLifeUs)
    this.dad = new Dad(this, wheel, counters, config, entropy)
    this.dad.onLost = (address, holder, now) => this.remove(address, holder, now)
    this.#tests = config.dad
    this.arp = new Arp(this, this.frames, counters)
    this.ndp = new Ndp(this, this.frames, counters)
  }

  // ---- addresses ------------------------------------------------------------------------------------------------

  /**
   * Adds an address; nothing changes when it is there. One of our own is claimed from the NIC and, if that is configured,
   * tested first.
   * @param tested what became of the test; default: `onAddress` tells. Not called without a test @throws NicError
   */
  add(address: IpAddress, own: boolean, now: number, tested?: DadResult): void {
    if (this.isLocal(address) || this.dad.tests(address)) return
    const { steering } = this.nic.roles
    // Who has a tested address may say so to another queue, whose stack has not got it yet, and tells.
    const everyQueue = own && this.#tests && this.ndp.shared
    if (own) steering?.claim(address.bytes(), everyQueue)
    if (!own || !this.#tests) {
      this.addresses.push({ address, own })
      if (own) this.onAddress({ address, what: 'usable', holder: null }, now)
      return
    }
    const unclaim = (): void => steering?.unclaim(address.bytes(), everyQueue)
    this.#unclaims.set(address.toString(), unclaim)
    const done: DadResult = (holder, at) => {
      this.#unclaims.delete(address.toString())
      if (holder === null) {
        this.addresses.push({ address, own })
        if (everyQueue) steering?.claim(address.bytes())
      } else this.broadcasts.forget(address)
      if (holder !== null || everyQueue) unclaim()
      if (tested !== undefined) tested(holder, at)
      else this.onAddress({ address, what: holder === null ? 'usable' : 'taken', holder }, at)
    }
    this.dad.begin(address, done, now)
  }

  /** Takes an address away. @param holder see `AddressEvent` */
  remove(address: IpAddress, holder: Uint8Array | null, now: number): void {
    this.dad.forget(address)
    this.broadcasts.forget(address)
    this.#unclaims.get(address.toString())?.()
    this.#unclaims.delete(address.toString())
    const at = this.addresses.findIndex((entry) => entry.address.equals(address))
    if (at < 0) return
    const [entry] = this.addresses.splice(at, 1)
    if (entry!.own) this.nic.roles.steering?.unclaim(address.bytes())
    this.onAddress({ address, what: 'lost', holder }, now)
  }

  /** Whether frames to this address are for us. */
  isLocal(address: IpAddress): boolean {
    return this.isLocalWords(address.w0, address.w1, address.w2, address.w3)
  }

  /** The same for an IPv4 address as an integer. */
  isLocal4(address: number): boolean {
    const { addresses } = this
    for (let i = 0; i < addresses.length; i++) {
      const own = addresses[i]!.address
      if (own.w3 === address && own.version === 4) return true
    }
    return false
  }

  /** The same for an address in words. */
  isLocalWords(w0: number, w1: number, w2: number, w3: number): boolean {
    const { addresses } = this
    for (let i = 0; i < addresses.length; i++) {
      const { address } = addresses[i]!
      if (address.w3 === w3 && address.w2 === w2 && address.w1 === w1 && address.w0 === w0) return true
    }
    return false
  }

  /** The interface's object for the address a segment came to, which all its connections share. */
  localOf(segment: Segment): IpAddress {
    for (const { address } of this.addresses) {
      if (
        address.w3 === segment.destination3 &&
        address.w2 === segment.destination2 &&
        address.w1 === segment.destination1 &&
        address.w0 === segment.destination0
      ) {
        return address
      }
    }
    return segment.destination()
  }

  /**
   * The address of ours that a connection to `remote` begins at; null when we have none of its version. Of RFC 6724 section
   * 5, rules 2 (scope), 3 (deprecated ones last) and 8 (longest common prefix).
   */
  localFor(remote: IpAddress): IpAddress | null {
    let best: IpAddress | null = null
    let score = -1
    for (const { address, deprecated } of this.addresses) {
      if (address.version !== remote.version) continue
      const scope = address.linkLocal === remote.linkLocal ? 512 : 0
      const common = commonBits(address, remote) + scope + (deprecated === true ? 0 : 256)
      if (common <= score) continue
      best = address
      score = common
    }
    return best
  }

  /** Whether we, not the host's kernel, speak ARP and neighbour discovery for this address of ours. */
  isOwn(address: IpAddress): boolean {
    for (const entry of this.addresses) if (entry.address.equals(address)) return entry.own
    return false
  }

  /** Whether the next hop of what this address sends can be asked for: by us, or by the host's kernel. */
  asks(address: IpAddress): boolean {
    return this.resolver !== null || this.isOwn(address)
  }

  /** The hardware address is another one: everybody is told for each address that is our own. @param now microseconds */
  macChanged(now: number): void {
    this.formerMacs.unshift(this.#lastMac)
    this.formerMacs.length = Math.min(this.formerMacs.length, FORMER_MACS)
    this.#lastMac = this.mac.slice()
    this.#announcement.begin(now)
  }

  /** Whether one host can have the address: see `IpAddress.unicast`, and it is no broadcast address of a network of ours. */
  isUnicast(address: IpAddress): boolean {
    return address.unicast && !(address.version === 4 && this.broadcasts.has(address.w3))
  }

  // ---- ways -----------------------------------------------------------------------------------------------------

  /** Where frames to this address go next: itself, or a gateway; null when no route leads there. */
  nextHop(remote: IpAddress): IpAddress | null {
    const route = this.routes.find(remote)
    if (route !== null) return route.gateway ?? remote
    return remote.linkLocal || !this.routes.has(remote.version) ? remote : null
  }

  /** Bytes of the largest packet of a version on this link. */
  mtuOf(version: number): number {
    return version === 6 ? Math.min(this.mtu, this.mtu6) : this.mtu
  }

  /** Bytes of the largest IP packet that gets to this address, as far as we know. @param now microseconds */
  mtuTo(remote: IpAddress, now: number): number {
    const route = this.routes.find(remote)
    const most = this.mtuOf(remote.version)
    const mtu = route === null || route.mtu === 0 ? most : Math.min(route.mtu, most)
    return Math.min(mtu, this.pathMtus.get(remote, now))
  }

  /** Finds the hardware address that leads to `remote`, or asks for it and returns null. */
  resolve(local: IpAddress, remote: IpAddress, now: number): Neighbour | null {
    if (this.#everywhere !== null) return this.#everywhere
    const hop = this.nextHop(remote)
    const neighbour = hop === null ? null : this.neighbours.use(hop, local, now)
    if (neighbour === null) this.#counters.noNeighbour++
    return neighbour
  }

  /** Nothing comes back from `remote`: asks again where its next hop is. `onResolved` follows when the answer is news. */
  ask(local: IpAddress, remote: IpAddress, now: number): void {
    if (this.#everywhere !== null) return
    const hop = this.nextHop(remote)
    if (hop !== null) this.neighbours.suspect(hop, local, now)
  }

  /** The peer has answered what we sent: its next hop hears us (RFC 4861 7.3.1). Not for every packet. */
  confirm(remote: IpAddress, now: number): void {
    const hop = this.nextHop(remote)
    if (hop !== null) this.neighbours.confirm(hop, now)
  }

  solicit(neighbour: Neighbour, unicast: boolean): void {
    if (this.resolver !== null && !this.isOwn(neighbour.local)) this.resolver.solicit(neighbour)
    else if (neighbour.address.version === 4) this.arp.solicit(neighbour, unicast)
    else this.ndp.solicit(neighbour, unicast)
  }

  resolved(neighbour: Neighbour, now: number): void {
    this.onResolved(neighbour, now)
  }

  *hopsInUse(): Iterable<IpAddress> {
    for (const remote of this.livePeers()) {
      const hop = this.nextHop(remote)
      if (hop !== null) yield hop
    }
  }

  failed(neighbour: Neighbour, now: number): void {
    this.#counters.neighbourFailed++
    if (neighbour.router) this.onRouterLost(neighbour.address)
    this.onUnreachable(neighbour, now)
  }
}

/** Tells the neighbours of our own addresses of another hardware address, again in case a frame was lost. */
class Announcement extends Timer {
  readonly #link: Link
  readonly #wheel: TimerWheel
  #left = 0

  constructor(link: Link, wheel: TimerWheel) {
    super()
    this.#link = link
    this.#wheel = wheel
  }

  begin(now: number): void {
    this.#left = ANNOUNCEMENTS
    this.fire(now)
  }

  override fire(now: number): void {
    const { addresses, arp, ndp } = this.#link
    for (const { address, own } of addresses) {
      if (own) (address.version === 4 ? arp : ndp).announce(address)
    }
    if (--this.#left > 0) this.#wheel.arm(this, now + ANNOUNCE_EVERY_US)
  }
}

/** A neighbour that needs no asking. Its hardware address means nothing; it is a locally administered one. */
function everywhere(table: Neighbours): Neighbour {
  const neighbour = new Neighbour(IpAddress.any4, IpAddress.any4, table)
  neighbour.state = REACHABLE
  neighbour.macHigh = 0x0200
  neighbour.macLow = 2
  return neighbour
}

function commonBits(a: IpAddress, b: IpAddress): number {
  if (a.w0 !== b.w0) return Math.clz32(a.w0 ^ b.w0)
  if (a.w1 !== b.w1) return 32 + Math.clz32(a.w1 ^ b.w1)
  if (a.w2 !== b.w2) return 64 + Math.clz32(a.w2 ^ b.w2)
  return 96 + Math.clz32(a.w3 ^ b.w3)
}
