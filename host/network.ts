import { IpAddress } from '../address.ts'
import { nativeOrNull } from '../driver/native/index.ts'
import {
  type AddressMessage,
  AF_INET,
  AF_INET6,
  addressesOf,
  IFA_F_DADFAILED,
  IFA_F_TENTATIVE,
  linkOf,
  type NeighbourMessage,
  type NetlinkMessage,
  NLM_F_REPLACE,
  NUD_FAILED,
  NUD_VALID,
  neighbourAt,
  neighboursOn,
  ROUTE_GROUPS,
  type RouteMessage,
  RouteSocket,
  RT_TABLE_MAIN,
  readRoute,
  routesThrough,
  useNeighbour,
} from '../driver/netlink/index.ts'
import type { Nic } from '../driver/nic.ts'
import { ERRNO, inNamespace } from '../driver/system.ts'
import type { Clock } from '../stack/clock.ts'
import type { Link, Resolver } from '../stack/ip/link.ts'
import type { Neighbour } from '../stack/ip/neighbours.ts'
import type { Route } from '../stack/ip/routes.ts'

/** Scopes of addresses (linux/rtnetlink.h): good everywhere, and within the machine. */
const SCOPE_UNIVERSE = 0
const SCOPE_HOST = 254
/** A sleeping thread looks this often while a question is open, and otherwise. Milliseconds. */
const ASKING_NAP_MS = 10
const QUIET_NAP_MS = 1000
/** How long a question counts as open, microseconds: the kernel asks three times, a second apart. */
const OPEN_QUESTION_US = 4_000_000

/** An address that the host's kernel has on the interface. */
export interface HostAddress {
  /** The address itself. */
  readonly address: IpAddress
  /** Bits that the addresses on the link share with it. */
  readonly prefixLength: number
  /** It is good beyond the link. */
  readonly global: boolean
}

/**
 * What the host's kernel knows of the interface, followed over rtnetlink as it changes: its addresses, its routes (main
 * table), its MTU, and the neighbours that the stack asks for. A stack that uses an address of the host's asks no ARP and no
 * neighbour solicitation of its own, because the answers would go to the kernel: it has the kernel ask.
 */
export class HostNetwork implements Resolver {
  /** Called when something was learned outside the stack's own work: what waited for it can leave. */
  onNews: () => void = () => {}
  /** Called when the addresses of the interface have changed. */
  onAddresses: () => void = () => {}
  /** Times that events were lost and everything was asked for anew. */
  resyncs = 0
  readonly #ifIndex: number
  readonly #clock: Clock
  readonly #requests: RouteSocket
  readonly #events: RouteSocket
  readonly #addresses = new Map<string, HostAddress>()
  readonly #routes = new Map<string, RouteMessage>()
  #up = true
  #link: Link | null = null
  #mtu = 0
  #routesChanged = false
  #addressesChanged = false
  /** The kernel has dropped routes without a word: with an address, or when the interface went down. */
  #stale = false
  #askedAt = Number.NEGATIVE_INFINITY
  #news = false

  /**
   * Null for a NIC whose interface is not the operating system's, and where netlink is not to be had: then everything is as
   * the caller configures it.
   */
  static open(nic: Nic, clock: Clock): HostNetwork | null {
    const { system, ifIndex } = nic.info
    const native = nativeOrNull()
    if (system === undefined || native === null) return null
    try {
      return inNamespace(native, system.netns, () => {
        // Events first, so that nothing happens unseen between the dumps and them.
        const events = new RouteSocket(native, ROUTE_GROUPS)
        let requests: RouteSocket | null = null
        try {
          requests = new RouteSocket(native, 0)
          const network = new HostNetwork(ifIndex, clock, requests, events)
          if (network.#dump() === 0) return network
        } catch {
          // A kernel or a sandbox without rtnetlink; sockets are given back below.
        }
        requests?.close()
        events.close()
        return null
      })
    } catch {
      return null
    }
  }

  private constructor(ifIndex: number, clock: Clock, requests: RouteSocket, events: RouteSocket) {
    this.#ifIndex = ifIndex
    this.#clock = clock
    this.#requests = requests
    this.#events = events
    // The socket's watcher must not keep alive whoever forgot to close this.
    const weak = new WeakRef(this)
    events.watch(() => weak.deref()?.look())
  }

  /** Addresses that the kernel has on the interface, good beyond the link and not in doubt, in its order. */
  get addresses(): readonly HostAddress[] {
    return this.everyAddress.filter(({ global }) => global)
  }

  /** The same with those that are good on the link only. */
  get everyAddress(): readonly HostAddress[] {
    return [...this.#addresses.values()]
  }

  /** The interface is switched on. */
  get up(): boolean {
    return this.#up
  }

  /** From now on this link's routes, MTU and neighbours are the kernel's. */
  attach(link: Link): void {
    this.#link = link
    link.resolver = this
    link.broadcasts.setHost(this.everyAddress)
    if (this.#mtu > 0) this.#setMtu(this.#mtu)
    this.#setRoutes()
  }

  /** Asks the kernel for a neighbour; what it knows already is noted at once. */
  solicit(neighbour: Neighbour): void {
    const link = this.#link
    if (link === null) return
    const now = this.#clock.now()
    const address = neighbour.address.bytes()
    let known: NeighbourMessage | null = null
    this.#requests.ask(neighbourAt(this.#ifIndex, address), false, (message) => {
      const read = readRoute(message)
      if (read?.kind === 'neighbour') known = read
    })
    const mac = macOf(known)
    if (mac !== null) {
      const news = link.neighbours.install(neighbour.address, mac)
      if (news !== null) link.neighbours.announce(news, now)
    }
    // What it knows may be old: asked to use it, the kernel verifies it.
    this.#requests.tell(useNeighbour(this.#ifIndex, address))
    this.#askedAt = now
  }

  /** Longest time (milliseconds) to sleep without a look. */
  get napMs(): number {
    return this.#clock.now() - this.#askedAt < OPEN_QUESTION_US ? ASKING_NAP_MS : QUIET_NAP_MS
  }

  /** Takes the events that wait. Called from the event loop, and by who sleeps without one. */
  look(): void {
    const whole = this.#events.receive((message) => this.#take(message))
    if (!whole) this.resyncs++
    if (!whole || this.#stale) this.#askAgain()
    if (this.#routesChanged) this.#setRoutes()
    // As long as not everything is known again, what is missing may be there.
    if (this.#addressesChanged && !this.#stale) {
      this.#addressesChanged = false
      this.#link?.broadcasts.setHost(this.everyAddress)
      this.onAddresses()
    }
    if (!this.#news) return
    this.#news = false
    this.onNews()
  }

  /** Stops following. Idempotent. */
  close(): void {
    this.#requests.close()
    this.#events.close()
  }

  /** Forgets everything and asks for it; what could not be told whole is asked for again at the next look. */
  #askAgain(): void {
    const known = new Set<string>()
    this.#stale = false
    this.#addresses.clear()
    this.#routes.clear()
    const failed =
      this.#dump() ||
      this.#requests.ask(neighboursOn(this.#ifIndex), true, (message) => {
        const read = readRoute(message)
        if (read?.kind !== 'neighbour' || read.ifIndex !== this.#ifIndex) return
        if (macOf(read) !== null) known.add(IpAddress.from(read.address).toString())
        this.#takeNeighbour(read)
      })
    this.#addressesChanged = true
    this.#routesChanged = true
    if (failed === 0) this.#link?.neighbours.keepManaged(known, this.#clock.now())
    // Of an interface that is gone nothing can be asked any more.
    this.#stale = failed === -ERRNO.EINTR || failed === -ERRNO.ETIMEDOUT
  }

  /** Asks for everything. Returns 0 or a negative errno. */
  #dump(): number {
    const take = (message: NetlinkMessage): void => this.#take(message)
    const failed =
      this.#requests.ask(linkOf(this.#ifIndex), false, take) ||
      this.#requests.ask(addressesOf(this.#ifIndex), true, take) ||
      this.#requests.ask(routesThrough(this.#ifIndex, AF_INET), true, take)
    // A kernel without IPv6 refuses: it has no such routes.
    if (failed === 0) this.#requests.ask(routesThrough(this.#ifIndex, AF_INET6), true, take)
    return failed
  }

  #take(message: NetlinkMessage): void {
    const read = readRoute(message)
    if (read === null || read.ifIndex !== this.#ifIndex) return
    if (read.kind === 'link') {
      const up = read.up && !read.gone
      this.#stale ||= up !== this.#up
      this.#up = up
      if (read.mtu !== undefined) this.#setMtu(read.mtu)
    } else if (read.kind === 'address') this.#takeAddress(read)
    else if (read.kind === 'route') this.#takeRoute(read, (message.flags & NLM_F_REPLACE) !== 0)
    else this.#takeNeighbour(read)
  }

  #takeAddress(read: AddressMessage): void {
    const address = IpAddress.from(read.address)
    const key = `${address}/${read.prefixLength}`
    const doubtful = (read.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) !== 0
    this.#stale ||= read.gone
    this.#addressesChanged = true
    if (read.gone || doubtful) this.#addresses.delete(key)
    else if (read.scope < SCOPE_HOST) {
      const global = read.scope === SCOPE_UNIVERSE
      this.#addresses.set(key, { address, prefixLength: read.prefixLength, global })
    }
  }

  /** @param replaces it takes the place of what there was to its destinations; of that nothing more is said */
  #takeRoute(read: RouteMessage, replaces: boolean): void {
    if (read.table !== RT_TABLE_MAIN || !read.unicast) return
    const way = `${read.prefix}/${read.prefixLength} ${read.priority} `
    const key = way + (read.gateway ?? '')
    if (replaces)
      for (const other of this.#routes.keys()) if (other.startsWith(way)) this.#routes.delete(other)
    if (read.gone) this.#routes.delete(key)
    else this.#routes.set(key, read)
    this.#routesChanged = true
  }

  #takeNeighbour(read: NeighbourMessage): void {
    const link = this.#link
    if (link === null) return
    const address = IpAddress.from(read.address)
    const now = this.#clock.now()
    const mac = macOf(read)
    if (mac !== null && !read.gone) {
      const news = link.neighbours.install(address, mac)
      if (news === null) return
      link.onResolved(news, now)
      this.#news = true
    } else if (read.gone || (read.state & NUD_FAILED) !== 0) {
      const failed = (read.state & NUD_FAILED) !== 0
      link.neighbours.withdraw(address, failed, now)
      this.#news ||= failed
    }
  }

  #setMtu(mtu: number): void {
    this.#mtu = mtu
    const link = this.#link
    if (link !== null) link.mtu = Math.min(mtu, Math.max(link.nic.info.mtu, mtuOfSlots(link)))
  }

  #setRoutes(): void {
    this.#routesChanged = false
    const link = this.#link
    if (link === null) return
    const best = new Map<string, RouteMessage>()
    for (const route of this.#routes.values()) {
      const key = `${route.prefix}/${route.prefixLength}`
      const other = best.get(key)
      if (other === undefined || route.priority < other.priority) best.set(key, route)
    }
    const routes: Route[] = []
    for (const { prefix, prefixLength, gateway, mtu } of best.values()) {
      routes.push({
        prefix: IpAddress.from(prefix),
        prefixLength,
        gateway: gateway === null ? null : IpAddress.from(gateway),
        mtu,
      })
    }
    link.routes.setHost(routes)
    this.#news = true
  }
}

/** The hardware address that a neighbour entry of the kernel's vouches for. */
function macOf(read: NeighbourMessage | null): Uint8Array | null {
  return read === null || (read.state & NUD_VALID) === 0 ? null : read.mac
}

/** Before the queue is attached, the NIC has no slots and says 0. */
function mtuOfSlots({ nic, frames }: Link): number {
  return nic.txSlotBytes - frames.linkBytes
}
