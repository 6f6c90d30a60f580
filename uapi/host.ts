import { networkInterfaces } from 'node:os'
import { ArgumentError, type NicError, ZcrxError } from '../driver/errors.ts'
import type { Nic, NicMemory } from '../driver/nic.ts'
import { type Clock, SystemClock } from '../stack/clock.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { IpAddress } from '../stack/ip/address.ts'
import type { AddressEvent } from '../stack/ip/link.ts'
import type { IpConfig } from '../stack/ip/options.ts'
import { Stack } from '../stack/stack.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'
import { type AddressPlan, checkPrefix, planAddresses } from './addresses.ts'
import { allocateArea, asNicMemory, OWN_AREA_BYTES } from './area.ts'
import { openDevice } from './device/index.ts'
import { HostNetwork } from './host-network.ts'
import { Kernel } from './kernel/kernel.ts'
import { machineSecret } from './machine-secret.ts'

export interface HostOptions {
  /** `xdp:eth0`, `xdp:eth0/1`, `xdp:eth0?mode=native`, or an open NIC. The host closes it. */
  readonly device: string | Nic
  /**
   * IPv4 or IPv6, as text, with or without the bits of its prefix (`192.0.2.5/24`); several in an array. `auto`: IPv6 from
   * router advertisements (RFC 4862), an address of our own. Default: the interface's first IPv4 address, or else its first
   * IPv6 one.
   */
  readonly address?: string | readonly string[]
  /** The addresses are the stack's alone: it answers and asks ARP or neighbour solicitations for them. Default false: they are the machine's. */
  readonly ownAddress?: boolean
  /** Addresses of our own are tested for duplicates before they are used: `IpConfig.dad`. Default false; `ready` tells when they are. */
  readonly dad?: boolean
  readonly clock?: Clock
  /** Bits that the addresses on the link share with ours, where `address` does not say; needed with `gateway`. Default: every address is on the link. */
  readonly prefixLength?: number
  /** Where frames to addresses beyond the link go, IPv4 or IPv6 as text; one of each in an array. */
  readonly gateway?: string | readonly string[]
  readonly tcp?: Partial<TcpConfig>
  /** VLAN tags, limits of reassembly and ICMP. */
  readonly ip?: Partial<IpConfig>
  /** Fragments taken from the NIC at a time. */
  readonly burst?: number
}

/** One NIC with a stack of its own and the kernel side that rings are made on: what `Ring.queueInit` needs. */
export class Host {
  readonly nic: Nic
  readonly stack: Stack
  readonly kernel: Kernel
  /** What the host's kernel knows of the interface; null with addresses of our own, and without netlink. */
  readonly network: HostNetwork | null
  /**
   * Resolves when every address can be used: at once, unless they are tested for duplicates or come from routers. Something
   * has to drive the stack meanwhile. Rejects with ZcrxError `ZCRX_ADDRESS_IN_USE` or `ZCRX_NO_ROUTER`.
   */
  readonly ready: Promise<void>
  /**
   * Called once when the device went away (an interface was deleted, or moved to another network namespace): its connections
   * have ended with ENODEV, nothing comes or goes any more, and the host is only good for `close`. A NicError `ZCRX_NIC_GONE`.
   */
  onGone: (error: NicError) => void = () => {}
  /** Called for every change of the addresses after the host was opened. */
  onAddress: (event: AddressEvent) => void = () => {}
  readonly #plan: AddressPlan
  readonly #waiting: Set<string>
  #needsRouter: boolean
  #resolve!: () => void
  #reject!: (error: ZcrxError) => void

  private constructor(
    nic: Nic,
    stack: Stack,
    kernel: Kernel,
    plan: AddressPlan,
    network: HostNetwork | null,
  ) {
    this.nic = nic
    this.stack = stack
    this.kernel = kernel
    this.network = network
    this.#plan = plan
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Who does not wait for it is not told by the process's end either.
    this.ready.catch(() => {})
    if (network !== null) {
      kernel.outside = network
      network.onNews = () => {
        stack.kick()
        kernel.interrupt()
      }
    }
    this.#waiting = new Set(plan.addresses.map(({ address }) => address.toString()))
    this.#needsRouter = plan.auto
    stack.onAddress = (event) => this.#addressEvent(event)
    kernel.onDeviceGone = (_, error) => this.onGone(error)
  }

  /** Opens the device and starts a stack on it. @throws NicError, ArgumentError with what to do about it */
  static open(options: HostOptions): Host {
    const nic = typeof options.device === 'string' ? openDevice(options.device) : options.device
    const clock = options.clock ?? new SystemClock()
    let network: HostNetwork | null = null
    try {
      const plan = planAddresses(options, nic.info.farEnd === true)
      network = plan.own ? null : HostNetwork.open(nic, clock)
      if (plan.addresses.length === 0 && !plan.auto) {
        const address = interfaceAddress(nic, network)
        const { prefixLength = 0 } = options
        checkPrefix(prefixLength, address.version === 4 ? 32 : 128)
        plan.addresses.push({ address, prefixLength })
      }
      const ip = { ...options.ip, ...(options.dad === undefined ? {} : { dad: options.dad }) }
      const memoryFor = (): NicMemory => asNicMemory(allocateArea(OWN_AREA_BYTES, nic.info.tailBytes))
      const stack = new Stack({
        nic,
        memory: memoryFor(),
        clock,
        entropy: systemEntropy(),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ip,
        ...(options.burst === undefined ? {} : { burst: options.burst }),
      })
      const kernel = new Kernel({ memoryFor })
      kernel.addStack(stack)
      network?.attach(stack.link)
      const host = new Host(nic, stack, kernel, plan, network)
      host.#begin()
      return host
    } catch (error) {
      network?.close()
      nic.close()
      throw error
    }
  }

  /**
   * The first address of those given, or the first that routers gave and that is good beyond the link; `::` as long as there
   * is none.
   */
  get address(): IpAddress {
    const given = this.#plan.addresses[0]
    return given?.address ?? this.#global() ?? IpAddress.any6
  }

  /** Addresses that can be used now. */
  get addresses(): readonly IpAddress[] {
    return this.stack.link.addresses.map(({ address }) => address)
  }

  /** Whether addresses are still tested or waited for. */
  get pending(): boolean {
    return this.#waiting.size > 0 || this.#needsRouter
  }

  /** Where a server listens: the one address, or the wildcard for several. */
  get listenAddress(): IpAddress {
    const { addresses, auto } = this.#plan
    if (addresses.length === 1 && !auto) return addresses[0]!.address
    const only4 = !auto && addresses.every(({ address }) => address.version === 4)
    return only4 ? IpAddress.any4 : IpAddress.any6
  }

  /** Sends what is queued and gives the queue back. Close the rings first. */
  close(): void {
    this.network?.close()
    this.nic.txFlush()
    this.nic.close()
  }

  #begin(): void {
    const { stack } = this
    const { addresses, gateways, own, auto } = this.#plan
    for (const { address, prefixLength } of addresses) {
      stack.addAddress(address, own, prefixLength)
      // What is the machine's is not tested, and nobody tells of it.
      if (stack.link.isLocal(address)) this.#waiting.delete(address.toString())
    }
    for (const gateway of gateways) stack.setGateway(gateway)
    if (auto) stack.autoconfigure(machineSecret(), () => this.#noRouter())
    this.#settle()
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

/** The interface's first IPv4 address, or else its first IPv6 one that is good beyond the link. @throws ArgumentError */
function interfaceAddress(nic: Nic, network: HostNetwork | null): IpAddress {
  const known = network?.addresses ?? []
  const first = known.find(({ address }) => address.version === 4) ?? known[0]
  if (first !== undefined) return first.address
  const all = network === null ? (networkInterfaces()[nic.info.name] ?? []) : []
  const entry =
    all.find((candidate) => candidate.family === 'IPv4') ??
    all.find((candidate) => candidate.family === 'IPv6' && candidate.scopeid === 0)
  if (entry === undefined) {
    throw new ArgumentError(
      `interface ${nic.info.name} has no address`,
      'give it one, or name an address of your own with ownAddress',
    )
  }
  return IpAddress.parse(entry.address)!
}
