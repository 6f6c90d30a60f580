import { IpAddress } from '../../address.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import { Timer, type TimerWheel } from '../timers.ts'
import { eui64Address, stableAddress } from './interface-id.ts'
import type { Link } from './link.ts'
import type { RouterAdvertTaker } from './ndp.ts'
import { ALL_NODES, sendRouterSolicit } from './ndp-output.ts'
import { LEARN_CREATE, LEARN_OVERRIDE } from './neighbours.ts'
import { type PrefixInformation, readRouterAdvert } from './router-advert.ts'

// RFC 4861 section 10.
const MAX_SOLICITS = 3
const SOLICIT_INTERVAL_US = 4_000_000
const MAX_SOLICIT_DELAY_US = 1_000_000
/** RFC 4862 5.5.3 (e): who is not authenticated does not shorten a life below this. */
const TWO_HOURS_US = 7_200_000_000
/** RFC 7217 section 6. */
const MAX_ADDRESS_TRIES = 3
/** RFC 8200 section 5. */
const MIN_MTU6 = 1280
/** What is remembered of routers that say much. */
const MAX_PREFIXES = 16
const MAX_ADDRESSES = 8
const MAX_ROUTERS = 8
const INTERFACE_ID_BITS = 64

const LINK_LOCAL = new IpAddress(0xfe800000, 0, 0, 0)

interface Prefix {
  readonly prefix: IpAddress
  readonly prefixLength: number
  /** Microseconds; -Infinity: it is not on the link. */
  onLinkUntil: number
}

interface Configured {
  readonly prefix: IpAddress
  address: IpAddress
  /** It has passed its test. */
  usable: boolean
  tries: number
  preferredUntil: number
  validUntil: number
}

interface Router {
  readonly address: IpAddress
  until: number
}

class Action extends Timer {
  readonly #act: (now: number) => void

  constructor(act: (now: number) => void) {
    super()
    this.#act = act
  }

  override fire(now: number): void {
    this.#act(now)
  }
}

/**
 * IPv6 addresses and routes from what routers say: stateless address autoconfiguration (RFC 4862) and the host's side of
 * router discovery (RFC 4861 6.3). Begins with a link-local address, then asks for routers.
 */
export class Slaac implements RouterAdvertTaker {
  /** Called when routers were asked in vain; they may still come. */
  onNoRouter: (now: number) => void = () => {}
  readonly #link: Link
  readonly #wheel: TimerWheel
  readonly #counters: Counters
  readonly #entropy: Entropy
  /** Null: addresses are made of the hardware address. */
  readonly #secret: Uint8Array | null
  readonly #prefixes: Prefix[] = []
  readonly #addresses: Configured[] = []
  #routers: Router[] = []
  /** The router that the default route leads to now. */
  #gateway: IpAddress | null = null
  #linkLocal: IpAddress | null = null
  #solicits = 0
  #heard = false
  /** Addresses come from elsewhere. */
  #follows = false
  readonly #solicit = new Action((now) => this.#askRouters(now))
  readonly #expiry = new Action((now) => this.#expire(now))

  /** @param secret of RFC 7217, 16 bytes; null: EUI-64 */
  constructor(
    link: Link,
    wheel: TimerWheel,
    counters: Counters,
    entropy: Entropy,
    secret: Uint8Array | null,
  ) {
    this.#link = link
    this.#wheel = wheel
    this.#counters = counters
    this.#entropy = entropy
    this.#secret = secret
    link.ndp.routers = this
    link.onRouterLost = (router) => this.#nextRouter(router)
  }

  /** Takes a link-local address and asks for routers. @throws NicError */
  begin(now: number): void {
    this.#link.nic.roles.steering?.claim(ALL_NODES.bytes())
    this.#takeLinkLocal(0, now)
  }

  /**
   * Takes routes from routers, and whether addresses are still preferred; which addresses there are, the stack of another queue
   * finds out, and asks. @throws NicError
   */
  follow(): void {
    this.#follows = true
    this.#link.nic.roles.steering?.claim(ALL_NODES.bytes())
  }

  /** RFC 4861 6.1.2, 6.3.4. */
  advertised(bytes: Uint8Array, at: number, length: number, source: IpAddress, now: number): boolean {
    const advert = source.linkLocal ? readRouterAdvert(bytes, at, length) : null
    if (advert === null) return false
    this.#counters.routerAdvertsTaken++
    this.#heard = true
    this.#wheel.cancel(this.#solicit)
    const link = this.#link
    const local = this.#follows ? link.localFor(source) : this.#linkLocal
    if (advert.mac !== null && local !== null) {
      const news = link.neighbours.learn(source, advert.mac, local, LEARN_CREATE | LEARN_OVERRIDE, now)
      const entry = link.neighbours.lookup(source)
      if (entry !== null) entry.router = true
      if (news !== null) link.onResolved(news, now)
    }
    if (advert.mtu >= MIN_MTU6 && advert.mtu <= link.nic.info.mtu) link.mtu6 = advert.mtu
    this.#takeRouter(source, advert.lifetimeUs, now)
    for (const prefix of advert.prefixes) {
      if (prefix.onLink) this.#takePrefix(prefix, now)
      if (prefix.autonomous) this.#takeAddress(prefix, now)
    }
    this.#armExpiry(now)
    return true
  }

  #takeLinkLocal(tries: number, now: number): void {
    const address = this.#addressIn(LINK_LOCAL, tries)
    this.#link.add(address, true, now, (holder, at) => {
      if (holder === null) {
        this.#linkLocal = address
        this.#link.onAddress({ address, what: 'usable', holder }, at)
        this.#startSolicits(at)
      } else if (this.#secret !== null && tries + 1 < MAX_ADDRESS_TRIES) this.#takeLinkLocal(tries + 1, at)
      else this.#link.onAddress({ address, what: 'taken', holder }, at)
    })
    // Without a test it is usable at once, and nobody calls back.
    if (this.#link.isLocal(address) && this.#linkLocal === null) {
      this.#linkLocal = address
      this.#startSolicits(now)
    }
  }

  #startSolicits(now: number): void {
    // An advertisement that came by itself while the address was tested has said everything.
    if (this.#heard) return
    this.#wheel.arm(this.#solicit, now + ((this.#entropy() >>> 0) / 2 ** 32) * MAX_SOLICIT_DELAY_US)
  }

  /** RFC 4861 6.3.7. */
  #askRouters(now: number): void {
    if (this.#linkLocal === null) return
    if (this.#solicits === MAX_SOLICITS) {
      this.onNoRouter(now)
      return
    }
    this.#solicits++
    this.#counters.routerSolicitsSent++
    sendRouterSolicit(this.#link.frames, this.#linkLocal)
    this.#wheel.arm(this.#solicit, now + SOLICIT_INTERVAL_US)
  }

  #takeRouter(address: IpAddress, lifetimeUs: number, now: number): void {
    const known = this.#routers.find((router) => router.address.equals(address))
    if (lifetimeUs === 0) this.#routers = this.#routers.filter((router) => router !== known)
    else if (known !== undefined) known.until = now + lifetimeUs
    else if (this.#routers.length < MAX_ROUTERS) this.#routers.push({ address, until: now + lifetimeUs })
    this.#route()
  }

  /** RFC 4861 6.3.6: a router that does not answer is tried last. */
  #nextRouter(address: IpAddress): void {
    const at = this.#routers.findIndex((router) => router.address.equals(address))
    if (at < 0) return
    this.#routers.push(...this.#routers.splice(at, 1))
    this.#route()
  }

  #route(): void {
    const next = this.#routers[0]?.address ?? null
    if (next === this.#gateway) return
    this.#gateway = next
    const { routes } = this.#link
    if (next === null) routes.remove(IpAddress.any6, 0)
    else routes.add({ prefix: IpAddress.any6, prefixLength: 0, gateway: next, mtu: 0 })
  }

  /** RFC 4861 6.3.4: a prefix whose addresses are on the link. */
  #takePrefix({ prefix, prefixLength, validUs }: PrefixInformation, now: number): void {
    const { routes } = this.#link
    const known = this.#prefixes.find(
      (other) => other.prefixLength === prefixLength && other.prefix.equals(prefix),
    )
    if (validUs === 0) {
      if (known === undefined) return
      this.#prefixes.splice(this.#prefixes.indexOf(known), 1)
      routes.remove(prefix, prefixLength)
    } else if (known !== undefined) known.onLinkUntil = now + validUs
    else if (this.#prefixes.length < MAX_PREFIXES) {
      this.#prefixes.push({ prefix, prefixLength, onLinkUntil: now + validUs })
      routes.add({ prefix, prefixLength, gateway: null, mtu: 0 })
    }
  }

  /** RFC 4862 5.5.3. */
  #takeAddress({ prefix, prefixLength, validUs, preferredUs }: PrefixInformation, now: number): void {
    // (c), (d): lifetimes that contradict each other, and prefixes that leave no room for 64 bits or too much.
    if (preferredUs > validUs || prefixLength !== 128 - INTERFACE_ID_BITS) return
    const known = this.#addresses.find((configured) => configured.prefix.equals(prefix))
    if (known === undefined) {
      if (validUs === 0 || this.#addresses.length >= MAX_ADDRESSES) return
      const configured: Configured = {
        prefix,
        address: this.#addressIn(prefix, 0),
        usable: false,
        tries: 0,
        preferredUntil: now + preferredUs,
        validUntil: now + validUs,
      }
      this.#addresses.push(configured)
      this.#configure(configured, now)
      return
    }
    known.preferredUntil = now + preferredUs
    this.#markDeprecated(known, now)
    // (e): a forged advertisement must not end an address within two hours.
    const remaining = known.validUntil - now
    if (validUs > TWO_HOURS_US || validUs > remaining) known.validUntil = now + validUs
    else if (remaining > TWO_HOURS_US) known.validUntil = now + TWO_HOURS_US
  }

  #configure(configured: Configured, now: number): void {
    const { address } = configured
    if (this.#follows) {
      this.#markDeprecated(configured, now)
      return
    }
    const usable = (at: number): void => {
      configured.usable = true
      this.#markDeprecated(configured, at)
    }
    const tested = (holder: Uint8Array | null, at: number): void => {
      if (holder === null) {
        usable(at)
        this.#link.onAddress({ address, what: 'usable', holder }, at)
        return
      }
      if (this.#secret !== null && ++configured.tries < MAX_ADDRESS_TRIES) {
        configured.address = this.#addressIn(configured.prefix, configured.tries)
        this.#configure(configured, at)
      } else this.#link.onAddress({ address, what: 'taken', holder }, at)
    }
    try {
      this.#link.add(address, true, now, tested)
      if (this.#link.isLocal(address)) usable(now)
    } catch {
      // The NIC can take no more addresses: this one is never usable, those there are stay.
    }
  }

  #addressIn(prefix: IpAddress, tries: number): IpAddress {
    const { mac } = this.#link
    return this.#secret === null ? eui64Address(prefix, mac) : stableAddress(prefix, mac, tries, this.#secret)
  }

  #markDeprecated({ address, prefix, preferredUntil }: Configured, now: number): void {
    for (const entry of this.#link.addresses) {
      const { w0, w1, version } = entry.address
      // An address of another's choice is known by its prefix.
      const followed = this.#follows && version === 6 && w0 === prefix.w0 && w1 === prefix.w1
      if (followed || entry.address.equals(address)) entry.deprecated = preferredUntil <= now
    }
  }

  /** Something's time is over. */
  #expire(now: number): void {
    this.#routers = this.#routers.filter(({ until }) => until > now)
    this.#route()
    for (const gone of this.#prefixes.filter(({ onLinkUntil }) => onLinkUntil <= now)) {
      this.#prefixes.splice(this.#prefixes.indexOf(gone), 1)
      this.#link.routes.remove(gone.prefix, gone.prefixLength)
    }
    for (const configured of [...this.#addresses]) {
      this.#markDeprecated(configured, now)
      if (configured.validUntil > now) continue
      this.#addresses.splice(this.#addresses.indexOf(configured), 1)
      if (!this.#follows) this.#link.remove(configured.address, null, now)
    }
    this.#armExpiry(now)
  }

  #armExpiry(now: number): void {
    let next = Number.POSITIVE_INFINITY
    for (const { until } of this.#routers) next = Math.min(next, until)
    for (const { onLinkUntil } of this.#prefixes) next = Math.min(next, onLinkUntil)
    for (const { preferredUntil, validUntil } of this.#addresses) {
      next = Math.min(next, preferredUntil > now ? preferredUntil : validUntil)
    }
    if (next === Number.POSITIVE_INFINITY) this.#wheel.cancel(this.#expiry)
    else this.#wheel.arm(this.#expiry, next)
  }
}
