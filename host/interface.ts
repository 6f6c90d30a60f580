import { networkInterfaces } from 'node:os'
import { IpAddress } from '../address.ts'
import { numbersOf } from '../counting.ts'
import { allocateArea, asNicMemory } from '../driver/area.ts'
import { ReservedPorts } from '../driver/guard/index.ts'
import { nativeOrNull } from '../driver/native/index.ts'
import type { Nic, NicMemory } from '../driver/nic.ts'
import { inNamespace } from '../driver/system.ts'
import { AddressError, ArgumentError, ZcrxError } from '../errors.ts'
import { OWN_AREA_BYTES } from '../pages.ts'
import { SystemClock } from '../stack/clock.ts'
import { systemEntropy } from '../stack/entropy.ts'
import type { AddressEvent } from '../stack/ip/link.ts'
import { Stack } from '../stack/stack.ts'
import { type AddressPlan, checkPrefix, planAddresses } from './addresses.ts'
import { openDevice } from './devices/index.ts'
import { refuseLoopbackAddress } from './devices/loopback.ts'
import { HostNetwork } from './network.ts'
import type { HostOptions } from './options.ts'
import { stableSecret } from './stable-secret.ts'

/** The addresses that can be used have changed. */
export interface AddressesChange {
  /** Those that can be used now. */
  readonly addresses: readonly IpAddress[]
  /** Why something that listens is not reached at a new one. */
  readonly failures: readonly unknown[]
}

/** What an interface tells whoever serves sockets on it. */
export interface Attendant {
  /** Something happened outside the queue: the stack has to work. */
  interrupt(): void
  /** The stack has an address more. Returns why something that listens is not reached there. */
  addressAdded(stack: Stack, address: IpAddress): unknown[]
  /** Nobody new is to be reached at it; connections go on. */
  addressRemoved(stack: Stack, address: IpAddress): void
}

/** What an interface is made of, opened and not begun. */
export interface InterfaceParts {
  readonly nic: Nic
  readonly stack: Stack
  readonly plan: AddressPlan
  readonly network: HostNetwork | null
}

/** What a server says of the stack it works with. */
export interface StackReport {
  /** Frames received. */
  readonly frames: number
  /** Bytes that the stack has copied, for whatever reason. */
  readonly copiedBytes: number
  /** Frames not delivered, by cause. */
  readonly drops: Record<string, number>
  /** Everything the stack counts. */
  readonly tcp: Record<string, number>
  /** Connections that nobody sends on any more, and whose last bytes were not acknowledged yet. */
  readonly unsettled: number
}

/** Connections with a FIN to send, or one that is not acknowledged. */
function unsettled({ tcp }: Stack): number {
  let count = 0
  for (const { snd } of tcp) if (snd.finQueued && !(snd.finSent && snd.una === snd.max)) count++
  return count
}

/** One NIC with a stack of its own, and the addresses that it has. What serves sockets on it is its attendant. */
export class Interface {
  /** The queue that it receives from. The host's: `close` closes it. */
  readonly nic: Nic
  /** What makes connections of its frames. */
  readonly stack: Stack
  /** What the host's kernel knows of the interface; null with addresses of our own, and without netlink. */
  readonly network: HostNetwork | null
  /**
   * Resolves when every address can be used: at once, unless they are tested for duplicates or come from routers. Something
   * has to drive the stack meanwhile. Rejects with ZcrxError `ZCRX_ADDRESS_IN_USE` or `ZCRX_NO_ROUTER`.
   */
  readonly ready: Promise<void>
  /** Called for every change of the addresses after the interface was opened. */
  onAddress: (event: AddressEvent) => void = () => {}
  /** Called when the addresses of the interface were followed. */
  onAddresses: (change: AddressesChange) => void = () => {}
  /** What a user should know of how the host can be reached, for people. */
  readonly notes: string[] = []
  /** Holds ports at addresses of the machine's, where the NIC does not; null: nobody does. */
  protected portGuard: ReservedPorts | null = null
  readonly #plan: AddressPlan
  readonly #waiting: Set<string>
  /** Addresses that the machine has lost, as text, as long as connections use them. */
  readonly #leaving = new Set<string>()
  #attendant: Attendant | null = null
  #needsRouter: boolean
  #resolve!: () => void
  #reject!: (error: ZcrxError) => void

  protected constructor({ nic, stack, plan, network }: InterfaceParts) {
    this.nic = nic
    this.stack = stack
    this.network = network
    this.#plan = plan
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Who does not wait for it is not told by the process's end either.
    this.ready.catch(() => {})
    this.#waiting = new Set(plan.addresses.map(({ address }) => address.toString()))
    this.#needsRouter = plan.auto
    stack.onAddress = (event) => this.#addressEvent(event)
  }

  /** Opens the device and makes a stack on it. @throws NicError, ArgumentError with what to do about it */
  protected static prepare(options: HostOptions): InterfaceParts {
    const nic = typeof options.device === 'string' ? openDevice(options.device) : options.device
    const clock = options.clock ?? new SystemClock()
    let network: HostNetwork | null = null
    checkNic(nic)
    try {
      const plan = planAddresses(options, nic.info.farEnd === true)
      network = plan.own ? null : HostNetwork.open(nic, clock)
      if (plan.addresses.length > 0) {
        if (network !== null) checkTheirs(nic, network, plan)
      } else if (!plan.auto) takeTheirs(nic, network, plan, options.prefixLength ?? 0)
      const dad = options.sibling === true ? false : options.dad
      const ip = { ...options.ip, ...(dad === undefined ? {} : { dad }) }
      const stack = new Stack({
        nic,
        memory: ownMemory(nic),
        clock,
        entropy: systemEntropy(),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ip,
        ...(options.burst === undefined ? {} : { burst: options.burst }),
      })
      network?.attach(stack.link)
      return { nic, stack, plan, network }
    } catch (error) {
      network?.close()
      nic.close()
      throw error
    }
  }

  /** Begins with the addresses, and tells `attendant` of them from now on. After an error everything is given back. @throws NicError */
  protected begin(options: HostOptions, attendant: Attendant): void {
    const { network, stack } = this
    this.#attendant = attendant
    try {
      if (network !== null) {
        network.onNews = () => {
          stack.kick()
          attendant.interrupt()
        }
      }
      this.#addAddresses(options)
      this.#share(options.takeOver ?? false)
    } catch (error) {
      network?.close()
      this.nic.close()
      throw error
    }
  }

  /**
   * The first address of those given, or the first that routers gave and that is good beyond the link; `::` as long as there
   * is none.
   */
  get address(): IpAddress {
    if (this.#plan.followed) return this.addresses[0] ?? IpAddress.any6
    const given = this.#plan.addresses[0]
    return given?.address ?? this.#global() ?? IpAddress.any6
  }

  /** Addresses that can be used now. */
  get addresses(): readonly IpAddress[] {
    const all = this.stack.link.addresses.map(({ address }) => address)
    return this.#leaving.size === 0 ? all : all.filter((address) => !this.#leaving.has(address.toString()))
  }

  /** Whether addresses are still tested or waited for. */
  get pending(): boolean {
    return this.#waiting.size > 0 || this.#needsRouter
  }

  /** Where a server listens: the one address, or the wildcard for several. */
  get listenAddress(): IpAddress {
    const { addresses, auto, followed } = this.#plan
    if (followed) return IpAddress.any6
    if (addresses.length === 1 && !auto) return addresses[0]!.address
    const only4 = !auto && addresses.every(({ address }) => address.version === 4)
    return only4 ? IpAddress.any4 : IpAddress.any6
  }

  /** What the stack has counted. */
  report(): StackReport {
    const { counters } = this.stack
    return {
      frames: counters.rxFrames,
      copiedBytes: counters.copiedBytes + counters.packedBytes,
      drops: this.stack.drops(),
      tcp: numbersOf(counters),
      unsettled: unsettled(this.stack),
    }
  }

  /**
   * Sends what is queued and gives the queue back. Close the rings first. Connections with data that nobody will send any more are
   * reset: their peers are not to take the end for an orderly one.
   */
  close(): void {
    this.network?.close()
    const { tcp } = this.stack
    for (const tcb of [...tcp]) if (tcb.snd.buffered > 0) tcp.abort(tcb)
    this.nic.txFlush()
    this.nic.close()
    this.portGuard?.close()
  }

  #addAddresses({ secretFile, sibling = false }: HostOptions): void {
    const { stack } = this
    const { addresses, gateways, own, auto } = this.#plan
    for (const { address, prefixLength } of addresses) {
      stack.addAddress(address, own, prefixLength)
      // What is the machine's is not tested, and nobody tells of it.
      if (stack.link.isLocal(address)) this.#waiting.delete(address.toString())
    }
    for (const gateway of gateways) stack.setGateway(gateway)
    if (auto && sibling) stack.followRouters()
    else if (auto) {
      const { secret, trouble } = stableSecret(secretFile)
      if (trouble !== '') this.notes.push(trouble)
      stack.autoconfigure(secret, () => this.#noRouter())
    }
    this.#settle()
  }

  /** Addresses of the machine's are used beside its kernel: what follows of that. */
  #share(takeOver: boolean): void {
    const { network, nic } = this
    if (network === null || this.#plan.own) return
    if (this.#plan.followed) network.onAddresses = () => this.#follow(network)
    const { driver, name, ifIndex, system } = nic.info
    if (driver === 'xdp' && !takeOver) this.portGuard = new ReservedPorts(name, ifIndex, system?.netns)
    if (driver === 'xdp' || driver === 'packet') {
      this.notes.push(
        `programs of this host itself can't connect over ${name}: its kernel takes what they send to an address of its own ` +
          'over lo; for them take raw:ADDRESS, or a TAP device with an address of our own',
      )
    }
  }

  /**
   * The interface's addresses are ours: what was added is used from now on, what is gone no longer. Connections go on, as the
   * kernel's do: an address may be back in a moment, when a link was down for one.
   */
  #follow(network: HostNetwork): void {
    const { stack } = this
    const attendant = this.#attendant!
    const now = network.everyAddress.map(({ address }) => address)
    const gone = this.addresses.filter((address) => !now.some((one) => one.equals(address)))
    const fresh = now.filter((address) => !this.addresses.some((one) => one.equals(address)))
    for (const address of gone) {
      attendant.addressRemoved(stack, address)
      this.#leaving.add(address.toString())
    }
    const failures = fresh.flatMap((address) => {
      this.#leaving.delete(address.toString())
      stack.addAddress(address, false)
      return attendant.addressAdded(stack, address)
    })
    const used = (address: IpAddress): boolean => [...stack.tcp].some(({ local }) => local.equals(address))
    for (const { address } of [...stack.link.addresses]) {
      if (!this.#leaving.has(address.toString()) || used(address)) continue
      stack.removeAddress(address)
      this.#leaving.delete(address.toString())
    }
    if (gone.length + fresh.length === 0) return
    this.onAddresses({ addresses: this.addresses, failures })
    stack.kick()
    attendant.interrupt()
  }

  #addressEvent(event: AddressEvent): void {
    const { address, what, holder } = event
    if (what === 'usable') {
      this.#waiting.delete(address.toString())
      if (address.version === 6 && !address.linkLocal) this.#needsRouter = false
      this.#settle()
    } else if (what === 'taken') {
      const who = Buffer.from(holder ?? [])
        .toString('hex')
        .replaceAll(/(..)(?=.)/g, '$1:')
      this.#reject(
        new ZcrxError(
          'ZCRX_ADDRESS_IN_USE',
          `the address ${address} is in use on this link, by ${who}`,
          'take another address, or find that machine: ip neigh',
        ),
      )
    }
    this.onAddress(event)
  }

  #settle(): void {
    if (!this.pending) this.#resolve()
  }

  #noRouter(): void {
    if (!this.#needsRouter) return
    this.#reject(
      new ZcrxError(
        'ZCRX_NO_ROUTER',
        `no router on the link of ${this.nic.info.name} tells of a prefix for addresses`,
        'give an address, as in 2001:db8::5/64, or look at what routers say: rdisc6',
      ),
    )
  }

  #global(): IpAddress | null {
    const all = this.stack.link.addresses
    const good = all.find(({ address, deprecated }) => !address.linkLocal && deprecated !== true)
    return (good ?? all.find(({ address }) => !address.linkLocal))?.address ?? null
  }
}

/** @throws ArgumentError for what was written to an earlier `Nic`, which had methods in the place of roles */
function checkNic(nic: Nic): void {
  if (typeof nic?.roles === 'object' && nic.roles !== null) return
  throw new ArgumentError(
    'the device is no Nic: it has no roles',
    'spread NO_ROLES and add what it can do (docs/api/xdp-nic.md)',
  )
}

/** Memory for a queue that has no area. */
export function ownMemory(nic: Nic): NicMemory {
  return asNicMemory(allocateArea(OWN_AREA_BYTES, nic.info.tailBytes))
}

/**
 * The plan has what the machine has: the addresses a NIC was opened for, or every one of the interface, IPv4 first, those that
 * are good on the link only last. @param prefixLength of the first @throws ArgumentError when there is none
 */
function takeTheirs(nic: Nic, network: HostNetwork | null, plan: AddressPlan, prefixLength: number): void {
  const theirs = addressesThere(nic, network)
  const [first] = theirs
  if (first === undefined) {
    throw new ArgumentError(
      `interface ${nic.info.name} has no address`,
      'give it one, or name an address of your own with ownAddress',
    )
  }
  checkPrefix(prefixLength, first.version === 4 ? 32 : 128)
  // Those that are to be ours alone are the machine's as well: the first does.
  for (const address of plan.own ? [first] : theirs)
    plan.addresses.push({ address, prefixLength: address === first ? prefixLength : 0 })
  plan.followed = network !== null && nic.info.addresses === undefined
}

function addressesThere(nic: Nic, network: HostNetwork | null): IpAddress[] {
  const { name, addresses } = nic.info
  if (addresses !== undefined) return addresses.map((bytes) => IpAddress.from(bytes))
  const all =
    network !== null
      ? network.everyAddress.map(({ address }) => address)
      : (networkInterfaces()[name] ?? [])
          .filter(({ family, scopeid }) => family === 'IPv4' || scopeid === 0)
          .map(({ address }) => IpAddress.parse(address)!)
  const rank = (address: IpAddress): number => (address.linkLocal ? 2 : 0) + (address.version === 4 ? 0 : 1)
  return all.sort((a, b) => rank(a) - rank(b))
}

/**
 * Addresses that were given as the machine's are: on this interface or another, as the kernel takes frames for them over any.
 * Those of the loopback are never on a wire. @throws AddressError, NicError
 */
function checkTheirs(nic: Nic, network: HostNetwork, plan: AddressPlan): void {
  const { name, system } = nic.info
  const here = network.everyAddress.map(({ address }) => address)
  for (const { address } of plan.addresses) {
    refuseLoopbackAddress(address.toString())
    if (here.some((one) => one.equals(address)) || isElsewhere(address, system?.netns)) continue
    throw new AddressError(
      `${address} is no address of this machine; ${name} has ${here.length === 0 ? 'none' : here.join(', ')}`,
      'name one of those, or take it as an address of our own: ownAddress (--address of zcrxd)',
    )
  }
}

function isElsewhere(address: IpAddress, netns: string | undefined): boolean {
  const native = nativeOrNull()
  const all = native === null ? {} : inNamespace(native, netns, () => networkInterfaces())
  return Object.values(all).some((entries) =>
    entries?.some((entry) => IpAddress.parse(entry.address)?.equals(address) === true),
  )
}
