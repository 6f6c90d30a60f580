import { IpAddress } from '../address.ts'
import type { Census } from '../diagnostics.ts'
import { type Nic, type NicMemory, RxBurst } from '../driver/nic.ts'
import type { Clock } from './clock.ts'
import { Counters, dropsByCause } from './counters.ts'
import type { Entropy } from './entropy.ts'
import type { IpContext } from './ip/context.ts'
import { EthernetInput } from './ip/ethernet-input.ts'
import { type AddressEvent, Link } from './ip/link.ts'
import { defaultIpConfig, type IpConfig } from './ip/options.ts'
import { Slaac } from './ip/slaac.ts'
import { Fragments } from './memory/fragments.ts'
import type { PagePool } from './memory/page-pool.ts'
import { FILL_MARGIN, QueueMemory } from './memory/queue-memory.ts'
import { Hearing } from './siblings/hearing.ts'
import type { Siblings } from './siblings/siblings.ts'
import { defaultTcpConfig, type TcpConfig } from './tcp/options.ts'
import { Segment } from './tcp/segment.ts'
import { EADDRNOTAVAIL } from './tcp/state.ts'
import { Tcp } from './tcp/tcp.ts'
import { TimerWheel } from './timers.ts'

/** What a stack is made of. */
export interface StackOptions {
  /** The queue, not attached yet; the stack attaches it. */
  readonly nic: Nic
  /** What the queue is filled from until an area is registered. */
  readonly memory: NicMemory
  /** Microseconds: `SystemClock`, or a `VirtualClock` for tests. */
  readonly clock: Clock
  /** Where initial sequence numbers, ports and secrets come from. */
  readonly entropy: Entropy
  /** Limits and timings of TCP; what is missing is as in `defaultTcpConfig`. */
  readonly tcp?: Partial<TcpConfig>
  /** Those of IP; what is missing is as in `defaultIpConfig`. */
  readonly ip?: Partial<IpConfig>
  /** Fragments taken from the NIC at a time; an ACK per connection is sent after each such burst. */
  readonly burst?: number
}

/**
 * A protocol stack over one NIC queue: no I/O of its own, no timers but its wheel, no clock but the one handed in. It
 * works when `poll` is called, and only then.
 */
export class Stack {
  /** The queue. */
  readonly nic: Nic
  /** What tells the time. */
  readonly clock: Clock
  /** What happened, by cause; live. */
  readonly counters: Counters = new Counters()
  /** Where received data lies, and what the queue is filled from. */
  readonly memory: QueueMemory
  /** References to received pieces, for all queues of all connections. */
  readonly fragments: Fragments
  /** The interface: addresses, routes, neighbours. */
  readonly link: Link
  /** Connections and listeners. */
  readonly tcp: Tcp
  readonly #wheel: TimerWheel
  readonly #burst: RxBurst
  readonly #input: EthernetInput
  readonly #ip: IpContext
  /** Made when first needed. */
  #hearing: Hearing | null = null
  #slackBefore = 0
  readonly #drop: boolean
  readonly #entropy: Entropy
  #slaac: Slaac | null = null
  /** Called when something happened outside `poll` that changes when `poll` has to be called next. */
  onOutside: () => void = () => {}
  /** Called when an address becomes usable, and when it can't be used or no longer is; within `poll`, or `addAddress`. */
  onAddress: (event: AddressEvent) => void = () => {}

  constructor(options: StackOptions) {
    const { nic, clock, entropy } = options
    this.nic = nic
    this.clock = clock
    const tcpConfig = { ...defaultTcpConfig, ...options.tcp }
    this.#drop = tcpConfig.backpressure === 'drop'
    this.memory = new QueueMemory(nic, options.memory, this.#drop)
    this.fragments = new Fragments(this.memory.pools)
    this.#wheel = new TimerWheel(clock.now())
    const ipConfig = { ...defaultIpConfig, ...options.ip }
    this.#entropy = entropy
    this.link = new Link(nic, this.counters, this.#wheel, ipConfig, entropy)
    this.link.onAddress = (event) => this.#addressEvent(event)
    this.#burst = new RxBurst(options.burst ?? 256)
    const segment = new Segment()
    this.tcp = new Tcp({
      nic,
      link: this.link,
      memory: this.memory,
      fragments: this.fragments,
      clock,
      wheel: this.#wheel,
      counters: this.counters,
      config: tcpConfig,
      ipConfig,
      entropy,
      burst: this.#burst,
      header: () => this.#input.header,
    })
    this.#ip = {
      nic,
      memory: this.memory,
      fragments: this.fragments,
      link: this.link,
      wheel: this.#wheel,
      counters: this.counters,
      entropy,
      config: ipConfig,
      burst: this.#burst,
      segment,
      tcp: this.tcp,
    }
    this.#input = new EthernetInput(this.#ip)
    if (nic.roles.macChanges !== null) nic.roles.macChanges.onMacChange = () => this.#macChanged()
  }

  /**
   * Adds an address to the interface. With `IpConfig.dad` one of our own is tested for duplicates first and becomes usable later,
   * or not at all: `onAddress` tells.
   * @param own the stack alone uses it and answers ARP or neighbour solicitations for it
   * @param prefixLength bits that the addresses on the link share with it; 0 = not said
   * @throws NicError
   */
  addAddress(address: IpAddress, own: boolean, prefixLength = 0): void {
    if (prefixLength > 0) this.addRoute(address, prefixLength, null)
    this.link.broadcasts.set(address, prefixLength)
    this.link.add(address, own, this.clock.now())
  }

  /** Takes an address away; its connections end with EADDRNOTAVAIL. */
  removeAddress(address: IpAddress): void {
    this.link.remove(address, null, this.clock.now())
  }

  /**
   * IPv6 addresses and routes from router advertisements (RFC 4862): a link-local address first, then those of the prefixes
   * that routers tell. `onAddress` tells of each.
   * @param secret 16 bytes that make addresses stable and say nothing of the hardware (RFC 7217); null: they are made of the
   *   hardware address @param onNoRouter routers were asked for in vain; they may still come @throws NicError
   */
  autoconfigure(secret: Uint8Array | null, onNoRouter: () => void = () => {}): void {
    if (this.#slaac !== null) return
    this.#slaac = new Slaac(this.link, this.#wheel, this.counters, this.#entropy, secret)
    this.#slaac.onNoRouter = onNoRouter
    this.#slaac.begin(this.clock.now())
  }

  /**
   * Routes from router advertisements, but no addresses: for the stacks of an interface's further queues, while that of the first
   * one has `autoconfigure` and whoever drives them adds its addresses to all. @throws NicError
   */
  followRouters(): void {
    if (this.#slaac !== null) return
    this.#slaac = new Slaac(this.link, this.#wheel, this.counters, this.#entropy, null)
    this.#slaac.follow()
  }

  /**
   * Adds a route to the addresses whose first `prefixLength` bits are those of `prefix`. Without any route of a version every
   * address of it counts as on the link.
   * @param gateway null = they are on the link @param mtu bytes of an IP packet, 0 = the interface's
   */
  addRoute(prefix: IpAddress, prefixLength: number, gateway: IpAddress | null, mtu = 0): void {
    this.link.routes.add({ prefix, prefixLength, gateway, mtu })
  }

  /** Everything without another route goes to this neighbour. */
  setGateway(gateway: IpAddress): void {
    const any = gateway.version === 4 ? IpAddress.any4 : IpAddress.any6
    this.addRoute(any, 0, gateway)
  }

  /**
   * The stacks on the interface's other queues, null when there are none. Set before anything is connected, and once. With them:
   * what a frame teaches all of them is told to all; connections begin from ports that are shared out among them; and a segment
   * of a sibling's connection is dropped in silence.
   */
  get siblings(): Siblings | null {
    return this.#input.teller.siblings
  }

  set siblings(siblings: Siblings | null) {
    this.#input.teller.siblings = siblings
    this.link.ndp.shared = siblings !== null
    this.tcp.ports.siblings = siblings
  }

  /**
   * What a sibling told: learned from as if it had been received here, with the same checks; never answered, never told on. Only
   * an address that this stack has tested is defended (RFC 5227 2.4). Connections may send, or end, in consequence:
   * afterwards `tcp.ready` lists what happened. Not within `poll` of this stack.
   */
  hear(frame: Uint8Array): void {
    const now = this.clock.now()
    this.#hearing ??= new Hearing(this.#ip)
    this.#hearing.input(frame, now)
    this.tcp.flushAcks(now, false)
    this.nic.txFlush()
    this.onOutside()
  }

  /** Datagrams that wait for more of their fragments. */
  get reassembling(): number {
    return this.#input.reassembly.pending
  }

  /**
   * Takes at most one burst from the NIC, fires due timers, sends what is owed and gives free niovs back to the NIC.
   * Returns the fragments received; call again while that is not 0. Afterwards `tcp.ready` lists what happened.
   */
  poll(): number {
    const now = this.clock.now()
    this.memory.pollBegins()
    const count = this.nic.receive(this.#burst)
    if (count > 0) {
      this.#input.burst(now)
      // Half full or more: it was not the last one.
      this.tcp.flushAcks(now, 2 * count >= this.#burst.capacity)
      // Answers first: what follows can wait, the peer does.
      this.nic.txFlush()
    } else this.tcp.acks.release(now)
    this.#wheel.advance(now)
    if (this.siblings !== null) this.tcp.ports.look(now)
    this.#refill(now)
    this.tcp.bulk.settle()
    this.nic.txFlush()
    return count
  }

  /** After the application gave niovs back or asked for something outside `poll`: lets windows grow, sends, refills. */
  kick(): void {
    this.#refill(this.clock.now())
    this.nic.txFlush()
  }

  /** Microseconds at which `poll` must be called again even if nothing arrives; Infinity when never. */
  nextDeadline(): number {
    return this.#wheel.nextDeadline()
  }

  /**
   * Restarts the queue over an application's area. Data received before stays readable.
   * @param owner whoever registered the area; null for the stack's own memory @throws NicError
   */
  provide(memory: NicMemory, owner: object | null = null): PagePool {
    const pool = this.memory.restart(memory, owner)
    this.tcp.reclaim.writeOff()
    return pool
  }

  /** Where the niovs of a pool (the current one) are. */
  census(pool?: PagePool): Census {
    return this.memory.census(pool)
  }

  /** Dropped frames by cause: the stack's own and the NIC's. */
  drops(): Record<string, number> {
    const drops = dropsByCause(this.counters)
    const nic = this.nic.stats()
    if (nic.rxRingFull > 0) drops.nicRingFull = nic.rxRingFull
    if (nic.rxFillEmpty > 0) drops.nicFillEmpty = nic.rxFillEmpty
    if (nic.rxDropped > 0) drops.nicDropped = nic.rxDropped
    if (nic.rxInvalid > 0) drops.nicInvalid = nic.rxInvalid
    return drops
  }

  #macChanged(): void {
    this.#input.readMac()
    this.link.macChanged(this.clock.now())
    this.nic.txFlush()
    this.onOutside()
  }

  #addressEvent(event: AddressEvent): void {
    if (event.what === 'lost') {
      for (const tcb of [...this.tcp]) if (tcb.local.equals(event.address)) this.tcp.end(tcb, EADDRNOTAVAIL)
    }
    this.onAddress(event)
  }

  #refill(now: number): void {
    const { window } = this.tcp
    const { memory } = this
    memory.fillTarget = this.#drop ? memory.total : Math.max(window.promised + FILL_MARGIN, memory.ringNiovs)
    memory.fillNic()
    if (window.short) this.tcp.reclaim.soon(now)
    if (this.#drop || window.slack() > this.#slackBefore) this.tcp.relieve(now)
    this.#slackBefore = window.slack()
  }
}
