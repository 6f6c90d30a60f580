import type { IpAddress } from '../../address.ts'
import type { HeldReport } from '../../diagnostics.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { interfaceGone, type NicError } from '../../errors.ts'
import { sharedPages } from '../../pages.ts'
import type { Stack } from '../../stack/stack.ts'
import { EVENT_ACCEPT } from '../../stack/tcp/state.ts'
import { Listener, type Tcb } from '../../stack/tcp/tcb.ts'
import { EBADF, EINVAL, EMFILE, ENODEV, EOPNOTSUPP } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { UringParams } from '../abi/params.ts'
import type { AddressSpace } from './address-space.ts'
import { RingContext } from './context.ts'
import type { DirectTargets } from './direct.ts'
import type { FileTable } from './files.ts'
import { ForeignFile } from './foreign-file.ts'
import { HeldWatch } from './held.ts'
import type { KernelPort } from './port.ts'
import { Ports } from './ports.ts'
import { Process } from './process.ts'
import { query } from './query.ts'
import { SocketRequest } from './request.ts'
import { Rings } from './rings.ts'
import { FEATURES, type Refusal, sizesOf } from './setup.ts'
import { type Sleeper, Sleepers } from './sleepers.ts'
import { Socket } from './socket.ts'
import { type PortGuard, Steered } from './steered.ts'
import { KernelTimers } from './timers.ts'
import type { ZcrxIfq } from './zcrx.ts'

/** Longest sleep (milliseconds) between looks at several queues. */
const MULTI_QUEUE_NAP_MS = 1

/** What the kernel's side is given by whoever makes it. */
export interface KernelOptions {
  /** Memory for a queue that has no area registered: `areaBytes` of niovs, and what the NIC needs behind them. */
  readonly memoryFor: (stack: Stack) => NicMemory
  /**
   * Called instead of sleeping when a blocking call finds nothing to do; `untilUs` is when the next timer is due.
   * Tests move a virtual clock here. False means that nothing will ever happen.
   */
  readonly idle?: (untilUs: number) => boolean
}

/** Bursts between looks at what else tells of the network, for who polls without sleeping. */
const OUTSIDE_EVERY = 256

/** Something beside the queues that stacks learn from; see `HostNetwork`. */
export interface Outside {
  /** Takes what waits. */
  look(): void
  /** Longest time (milliseconds) to sleep without a look. */
  readonly napMs: number
}

/** What a process's rings share: descriptors, address space and the stacks behind its interfaces. */
export class Kernel implements KernelPort {
  /** Whose rings are set up without another one being named. */
  readonly process: Process = new Process()
  /** Those that serve sockets, one for each queue of each interface. */
  readonly stacks: Stack[] = []
  /** Every registered instance. */
  readonly ifqs: Set<ZcrxIfq> = new Set()
  /** Those with a queue of a NIC. */
  readonly deviceIfqs: ZcrxIfq[] = []
  /**
   * Interfaces that exist and have no NIC opened here, by index: no queue of theirs can be taken over. `dma`: the device moves
   * data by itself (the order of errors depends on it).
   */
  readonly interfaces: Map<number, { dma: boolean }> = new Map()
  /** RLIMIT_MEMLOCK of a user without CAP_IPC_LOCK, bytes: areas beyond it are ENOMEM. */
  memlockLimit: number = Number.POSITIVE_INFINITY
  /** Bytes of all areas. */
  lockedBytes = 0
  /** Requests that wait for a time. */
  readonly timers: KernelTimers = new KernelTimers()
  /** CAP_NET_ADMIN: without it registrations answer EPERM. */
  capable = true
  /** SOCKET_URING_OP_GETSOCKOPT reads options of TCP and IP too; Linux has EOPNOTSUPP at every level but SOL_SOCKET. */
  readsEveryLevel = false
  /** Why the last registration of an interface queue was refused by the NIC; for people. */
  nicError: NicError | null = null
  /** What it was made with. */
  readonly options: KernelOptions
  /** Called once for a stack whose device went away, after its requests have ended. */
  onDeviceGone: (stack: Stack, error: NicError) => void = () => {}
  /** Called when serving a ring threw while it was nobody's turn but its own; default: whoever polls is told. */
  onRingFault: (context: RingContext, error: unknown) => void = (_context, error) => {
    throw error
  }
  /** Ports that are bound. */
  readonly ports: Ports = new Ports(this)
  readonly #steered = new Steered()
  /** What else the stacks learn from; null: nothing. */
  outside: Outside | null = null
  #untilOutside = OUTSIDE_EVERY
  #polling = false
  /** Stacks whose devices went away. */
  readonly #lost = new Set<Stack>()
  /** Instances whose kept buffers are looked at. */
  readonly #watches = new Map<ZcrxIfq, HeldWatch>()
  readonly #contexts = new Set<RingContext>()
  /** Rings with SQPOLL, and attended ones. */
  readonly #polled: RingContext[] = []
  readonly #unasked: DirectTargets[] = []
  readonly #never = new Int32Array(new SharedArrayBuffer(4))
  readonly #sleepers = new Sleepers(this)
  /** Who has no ring. */
  readonly #nobody: Sleeper = { wakes: null }

  constructor(options: KernelOptions) {
    this.options = options
  }

  /** Holds the ports that are listened on at addresses of the machine's, for NICs that don't; null: nobody does. */
  get portGuard(): PortGuard | null {
    return this.#steered.guard
  }

  set portGuard(guard: PortGuard | null) {
    this.#steered.guard = guard
  }

  /** Memory that entries may point to: the process's. */
  get space(): AddressSpace {
    return this.process.space
  }

  /** Descriptors of the process. */
  get files(): FileTable<Socket> {
    return this.process.files
  }

  /** A stack whose connections are sockets here from now on. */
  addStack(stack: Stack): void {
    this.stacks.push(stack)
    this.#steered.follow(stack)
    stack.onOutside = () => setImmediate(() => this.interrupt())
  }

  /**
   * `io_uring_setup(2)`: a ring, or why there is none. @param params read; sizes, features and offsets are written back
   * @param allocate zeroed memory for so many bytes that user and kernel share, which begins on a page
   * @param process whose ring it is
   */
  setup(
    entries: number,
    params: UringParams,
    allocate: (bytes: number) => Uint8Array = sharedPages,
    process: Process = this.process,
  ): RingContext | Refusal {
    const sizes = sizesOf(entries, params)
    if ('errno' in sizes) return sizes
    const rings = new Rings(sizes, allocate)
    const context = new RingContext(this, process, rings, params.flags)
    this.#contexts.add(context)
    if (context.sqPoll) this.attend(context, true)
    rings.describe(params)
    params.features = FEATURES
    return context
  }

  /**
   * `io_uring_register(2)` by a descriptor that is no ring: -1, where IORING_REGISTER_QUERY is served, or another. 0 or minus
   * errno.
   */
  register(opcode: number, arg: Uint8Array | null, nrArgs: number, fd = -1): number {
    if (fd !== -1) return this.files.get(fd) === null ? -EBADF : -EOPNOTSUPP
    return opcode === abi.IORING_REGISTER_QUERY ? query(this.space, arg, nrArgs) : -EINVAL
  }

  /** Polls so far. */
  polls = 0

  /** A ring has ended. */
  forgetContext(context: RingContext): void {
    this.#contexts.delete(context)
    this.attend(context, false)
    this.deliver(context.direct, false)
  }

  /** Data of a ring is completed at every poll, whoever polls, and not only when it is entered itself; or no longer. */
  deliver(direct: DirectTargets, unasked: boolean): void {
    const at = this.#unasked.indexOf(direct)
    if (unasked && at < 0) this.#unasked.push(direct)
    else if (!unasked && at >= 0) this.#unasked.splice(at, 1)
  }

  /** The ring's entries are taken and what is pending for it is run at every poll, or no longer. */
  attend(context: RingContext, attended: boolean): void {
    const at = this.#polled.indexOf(context)
    if (attended && at < 0) this.#polled.push(context)
    else if (!attended && at >= 0) this.#polled.splice(at, 1)
  }

  /**
   * One burst per stack; hands what happened to the requests that wait for it, and takes the entries of rings with SQPOLL.
   * Returns the fragments received and entries taken.
   */
  poll(): number {
    this.polls = (this.polls + 1) | 0
    // Without a device nothing but FLUSH_RQ reads the refill queue, as on Linux (docs/conformance.md, V16).
    const ifqs = this.deviceIfqs
    for (let i = 0; i < ifqs.length; i++) {
      if ((ifqs[i]!.stack?.nic.roles.pulling ?? null) === null) ifqs[i]!.takeRefills()
    }
    if (this.outside !== null && --this.#untilOutside === 0) {
      this.#untilOutside = OUTSIDE_EVERY
      this.#polling = true
      this.outside.look()
      this.#polling = false
    }
    let work = 0
    for (let i = 0; i < this.#unasked.length; i++) this.#unasked[i]!.begin()
    for (let i = 0; i < this.stacks.length; i++) {
      const stack = this.stacks[i]!
      work += stack.poll()
      if (stack.nic.gone && !this.#lost.has(stack)) this.#deviceGone(stack)
      this.#dispatch(stack)
    }
    for (let i = 0; i < this.#unasked.length; i++) this.#unasked[i]!.end()
    for (let i = 0; i < ifqs.length; i++) ifqs[i]!.watchDevice()
    if (this.#watches.size > 0) this.#lookAtHeld()
    if (this.timers.nextDeadline() !== Number.POSITIVE_INFINITY) this.timers.expireUntil(this.now)
    for (let i = 0; i < this.#polled.length; i++) {
      const context = this.#polled[i]!
      try {
        work += context.pollSubmissions()
      } catch (error) {
        this.onRingFault(context, error)
      }
    }
    if (this.#sleepers.anybody) this.#sleepers.lookAfter()
    return work
  }

  /** Sends what requests have queued outside `poll`. */
  flush(): void {
    for (const stack of this.stacks) stack.nic.txFlush()
  }

  /** Microseconds of the stacks' clock. */
  get now(): number {
    return this.stacks[0]?.clock.now() ?? performance.now() * 1000
  }

  /** Microseconds of the stacks' clock at which the next timer, of a stack or a request, is due. */
  nextDeadline(): number {
    let deadline = this.timers.nextDeadline()
    for (const watch of this.#watches.values()) deadline = Math.min(deadline, watch.due)
    for (const stack of this.stacks) deadline = Math.min(deadline, stack.nextDeadline())
    return deadline
  }

  /** Sleeps until a frame arrives, a timer is due or `timeoutMs` has passed. False when nothing can ever happen. */
  sleep(timeoutMs: number): boolean {
    const deadline = this.nextDeadline()
    if (this.options.idle !== undefined) return this.options.idle(deadline)
    const first = this.stacks[0]
    const untilTimer = Math.max(0, (deadline - this.now) / 1000)
    let nap = Math.min(timeoutMs, untilTimer)
    if (first === undefined) {
      if (nap === Number.POSITIVE_INFINITY) return false
      Atomics.wait(this.#never, 0, 0, nap)
      return true
    }
    if (this.stacks.length > 1) nap = Math.min(nap, MULTI_QUEUE_NAP_MS)
    if (this.outside !== null) nap = Math.min(nap, this.outside.napMs)
    first.nic.wait(nap)
    this.outside?.look()
    return true
  }

  /**
   * Calls `callback` once, from the event loop, when a frame waits, a timer is due, or somebody else's work has brought something for
   * this sleeper. A later call for the same one replaces it; null takes it back. Keeps the process alive meanwhile.
   */
  arm(callback: (() => void) | null, sleeper: Sleeper = this.#nobody): void {
    this.#sleepers.arm(sleeper, callback)
  }

  /** Whether this sleeper keeps the process alive while it is armed; default true. */
  keepAlive(on: boolean, sleeper: Sleeper): void {
    this.#sleepers.keepAlive(sleeper, on)
  }

  /** Something happened outside the queues: the stacks work, and who sleeps in the event loop is woken. */
  interrupt(): void {
    // Who polls at the moment sends what came of it.
    if (!this.#polling) this.#sleepers.fire()
  }

  /** The stack that serves a local address; for the unspecified one the only one there is. */
  stackFor(address: IpAddress): Stack | null {
    for (const stack of this.stacks) {
      if (address.unspecified ? this.stacks.length === 1 : stack.link.isLocal(address)) return stack
    }
    return null
  }

  /** An instance was registered. */
  addIfq(ifq: ZcrxIfq): void {
    this.ifqs.add(ifq)
    if (ifq.stack !== null) this.deviceIfqs.push(ifq)
  }

  /** An instance has ended. */
  removeIfq(ifq: ZcrxIfq): void {
    this.watchHeld(ifq, 0, null)
    this.ifqs.delete(ifq)
    const at = this.deviceIfqs.indexOf(ifq)
    if (at >= 0) this.deviceIfqs.splice(at, 1)
  }

  /** Tells what the application keeps for longer than `afterMs`; null ends it. */
  watchHeld(ifq: ZcrxIfq, afterMs: number, report: ((report: HeldReport) => void) | null): void {
    this.#watches.get(ifq)?.end()
    this.#watches.delete(ifq)
    ifq.held = null
    if (report === null) return
    ifq.held = new HeldWatch(ifq.areas, afterMs, this.now, report)
    this.#watches.set(ifq, ifq.held)
  }

  /** Connections of a device that went away end with ENODEV, behind what they had received; nobody is accepted any more. */
  #deviceGone(stack: Stack): void {
    this.#lost.add(stack)
    for (const tcb of [...stack.tcp]) stack.tcp.end(tcb, ENODEV)
    for (const context of this.#contexts) {
      for (const request of [...context.active]) {
        const waits = request instanceof SocketRequest && request.socket.listener !== null
        if (waits && request.socket.stack === stack) request.finish(-ENODEV)
      }
    }
    this.onDeviceGone(stack, interfaceGone(stack.nic.info.name))
  }

  #lookAtHeld(): void {
    const { now } = this
    for (const watch of this.#watches.values()) {
      if (now >= watch.due) watch.look(now)
      else watch.tick(now)
    }
  }

  /** Who holds an instance, for people: the rings by their ids for it, or a descriptor. */
  holdersOf(ifq: ZcrxIfq): string {
    const holders: string[] = []
    let number = 0
    for (const context of this.#contexts) {
      number++
      for (const [id, held] of context.ifqs.entries()) {
        if (held === ifq) holders.push(`ring ${number} of this process as zcrx id ${id}`)
      }
    }
    return holders.length === 0 ? 'an exported descriptor' : holders.join(', ')
  }

  /**
   * A descriptor here for one of the process's, such as a memfd or a dma-buf, whose memory an area can be
   * (IORING_ZCRX_AREA_DMABUF). The process's own is duplicated and may be closed. Minus errno when it is none.
   */
  adoptFd(fd: number): number {
    const file = ForeignFile.open(fd)
    if (typeof file === 'number') return file
    const number = this.files.open(file)
    if (number >= 0) return number
    file.release()
    return -EMFILE
  }

  // ---- which frames come to the stacks: see `Steered` ------------------------------------------------------------

  /** Frames to what is listened at come to the stack. @throws NicError */
  steer(stack: Stack, address: IpAddress, port: number, v6Only = false): void {
    this.#steered.listen(stack, address, port, v6Only)
  }

  unsteer(stack: Stack, address: IpAddress, port: number, v6Only = false): void {
    this.#steered.unlisten(stack, address, port, v6Only)
  }

  /** What listens at an address that the stack has got gets its frames. Returns why some does not. */
  addressAdded(stack: Stack, address: IpAddress): unknown[] {
    return this.#steered.addressAdded(stack, address)
  }

  /** An address went: what was steered there no longer is. */
  addressRemoved(stack: Stack, address: IpAddress): void {
    this.#steered.addressRemoved(stack, address)
  }

  /** Frames of a connection that begins here come to the stack. @throws NicError */
  steerConnection(stack: Stack, tcb: Tcb): void {
    this.#steered.connection(stack, tcb)
  }

  /** The listener of a port goes: frames of its connections go on coming to the stack. */
  steerConnections(stack: Stack, port: number): void {
    this.#steered.connections(stack, port)
  }

  #dispatch(stack: Stack): void {
    const ready = stack.tcp.ready
    for (let i = 0; i < ready.length; i++) {
      const entry = ready[i]!
      const events = entry.events
      entry.events = 0
      const owner = entry.owner
      if (!(owner instanceof Socket)) continue
      if (entry instanceof Listener) {
        if ((events & EVENT_ACCEPT) !== 0) owner.onAcceptable()
      } else owner.onEvents(events)
    }
    ready.length = 0
  }
}
