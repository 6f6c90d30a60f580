import { IpAddress } from '../../address.ts'
import { type EndOptions, MemoryLink, type MemoryLinkOptions } from '../../driver/memory/index.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { type DeviceQueue, type OtherFile, type Route, SocketCalls, type UserSpace } from './calls.ts'
import { Foreign } from './foreign.ts'
import { NoTranslation } from './no-translation.ts'

/**
 * A packet of the loopback network, its headers and up to 64 KiB less a little, lies in one buffer of the receiving stack's
 * own memory, so that what one `send` of at most 16 KiB brings is one contiguous piece, as it is on the recorded kernel.
 */
const LOOPBACK_BUFFER = 65_536
const LOOPBACK_MTU = LOOPBACK_BUFFER - 64
const LOOPBACK_BUFFERS = 2048
/** Time of the virtual clock at which a machine begins, microseconds. */
const START_US = 1_000_000

/** The device's queue that instances are registered on. */
export const DEVICE_QUEUE = 1
export const DEVICE_INDEX = 7

/** Interfaces that can move data but give away no queue: index, and whether the device moves data by itself. */
const INTERFACES: Readonly<Record<string, { index: number; dma: boolean }>> = {
  lo: { index: 1, dma: false },
  virtio_net: { index: 1001, dma: false },
  dummy0: { index: 1002, dma: false },
  e1000e: { index: 1003, dma: true },
  veth: { index: 1004, dma: false },
  veth0: { index: 1005, dma: false },
}

/** Two hosts on a wire. */
export interface Network {
  readonly link: MemoryLink
  readonly client: Stack
  readonly server: Stack
}

/** The interface of the recording's driver: queues, and the largest buffer that it took. */
const DEVICE = { ifIndex: DEVICE_INDEX, maxChunk: 65_536 }
/** Linux's page pool asks for so many buffers at once (kernel record point 66). */
const CACHE = 64

const ADDRESSES: Readonly<Record<Route, readonly [client: string, server: string]>> = {
  lo: ['192.0.2.1', '192.0.2.2'],
  lo6: ['2001:db8::1', '2001:db8::2'],
  dev: ['198.51.100.1', '198.51.100.2'],
  dev6: ['2001:db8:1::1', '2001:db8:1::2'],
}

let adaptKernel = (kernel: InlineKernel): InlineKernel => kernel

/** Kernels of machines that are made from now on are handed to it first. */
export function adaptKernels(adapt: (kernel: InlineKernel) => InlineKernel): void {
  adaptKernel = adapt
}

/** A kernel of ours with its networks under a virtual clock. */
export class Machine extends SocketCalls {
  readonly clock = new VirtualClock(START_US)
  readonly kernel: InlineKernel
  readonly networks: Network[] = []
  readonly lo: Network
  /** Socket calls are made through it, as system calls beside the ring that is looked at. */
  readonly calls: Ring
  readonly longestWaitMs = Number.POSITIVE_INFINITY
  #port = 9000

  constructor() {
    super()
    this.kernel = adaptKernel(
      new InlineKernel({
        memoryFor: (stack) => this.#plainMemory(stack.nic.info.mtu),
        idle: (until) => this.#idle(until),
      }),
    )
    // Standard input, output and error: 0 is no descriptor that a program gets.
    for (let fd = 0; fd < 3; fd++) this.kernel.files.open({ kind: 'foreign', release: () => {} })
    this.lo = this.network(
      { mtu: LOOPBACK_MTU, headroom: 0 },
      endsOf(ADDRESSES.lo).concat(endsOf(ADDRESSES.lo6)),
      { sendBuffer: 16 << 20 },
    )
    this.calls = Ring.queueInit(8, this.kernel)
  }

  /** A queue of the device: made when it is first spoken of. Its other end is a host of its own. */
  queue(number: number): Network {
    let network = this.#queues.get(number)
    if (network === undefined) {
      const end: EndOptions = { placement: 'split', cache: CACHE, queue: number, ...DEVICE }
      const first = this.#queues.size === 0
      const addresses = first ? endsOf(ADDRESSES.dev).concat(endsOf(ADDRESSES.dev6)) : []
      network = this.network({ mtu: 1500, headroom: 0, ends: { b: end } }, addresses, {
        backpressure: 'drop',
      })
      this.#queues.set(number, network)
    }
    return network
  }
  readonly #queues = new Map<number, Network>()
  readonly #lent: ArrayBuffer[] = []

  get device(): DeviceQueue {
    const network = this.queue(DEVICE_QUEUE)
    const nic = network.link.b
    return {
      ...{ ifIndex: DEVICE_INDEX, queue: DEVICE_QUEUE },
      ...{ dropped: nic.stats().rxFillEmpty, split: nic.splitFrames },
      place: (how) => nic.place(how),
      // Nothing passes while the interface is down.
      setUp: (up) => carry(network, up),
      need: (queue) => void this.queue(queue),
    }
  }

  interfaceIndex(name: string): number {
    for (const { index, dma } of Object.values(INTERFACES)) this.kernel.interfaces.set(index, { dma })
    const known = INTERFACES[name]
    if (known === undefined) throw new NoTranslation(`interface ${name}`)
    return known.index
  }

  setCapable(capable: boolean): void {
    this.kernel.capable = capable
  }

  limitLockedMemory(bytes: number): void {
    this.kernel.memlockLimit = bytes
  }

  openOther(kind: OtherFile): number {
    return this.kernel.files.open(new Foreign(kind))
  }

  isOpen(fd: number): boolean {
    return this.kernel.files.get(fd) !== null
  }

  registerBy(fd: number, opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    return this.kernel.register(opcode, arg, nrArgs, fd)
  }

  get host(): RingHost {
    return this.kernel
  }

  get space(): UserSpace {
    return this.kernel.space
  }

  /** A mapping: the address space knows whatever memory it is asked about. */
  map(bytes: number, huge: boolean): Uint8Array {
    const buffer = new ArrayBuffer(bytes)
    if (huge) this.kernel.space.makeHuge(buffer)
    return new Uint8Array(buffer)
  }

  mapFile(bytes: number): Uint8Array {
    return new Uint8Array(new SharedArrayBuffer(bytes))
  }

  protected freePort(): number {
    return this.#port++
  }

  setUpLoopback(up: boolean): void {
    carry(this.lo, up)
  }

  /** Adds a wire with a host at each end. */
  network(
    link: Omit<MemoryLinkOptions, 'now'>,
    addresses: readonly (readonly [string, 'client' | 'server'])[],
    tcp: Partial<TcpConfig> = {},
  ): Network {
    const wire = new MemoryLink({ seed: 1, ...link, now: () => this.clock.now() })
    const make = (side: 'client' | 'server'): Stack => {
      const nic = side === 'client' ? wire.a : wire.b
      const stack = new Stack({
        nic,
        memory: this.#plainMemory(nic.info.mtu),
        clock: this.clock,
        entropy: seededEntropy(side === 'client' ? 11 : 22),
        tcp,
      })
      for (const [text, at] of addresses) if (at === side) stack.addAddress(IpAddress.parse(text)!, true)
      this.kernel.addStack(stack)
      return stack
    }
    const network = { link: wire, client: make('client'), server: make('server') }
    this.networks.push(network)
    return network
  }

  /** Frames move until nothing is left to do at this moment. What sockets' requests have to do waits for their ring's entry. */
  settle(): void {
    for (;;) {
      this.kernel.flush()
      const work = this.kernel.poll()
      if (work === 0 && this.#nextArrival() > this.clock.now()) return
    }
  }

  /** The next thing that happens by itself, microseconds of the clock. */
  next(): number {
    return Math.min(this.kernel.nextDeadline(), this.#nextArrival())
  }

  /** Lets time pass. */
  pass(us: number): void {
    const end = this.clock.now() + us
    this.settle()
    while (this.next() <= end) {
      this.clock.advanceTo(this.next())
      this.settle()
    }
    this.clock.advanceTo(end)
  }

  protected override addressOf(route: Route, side: 0 | 1): IpAddress {
    if (route.startsWith('dev')) this.queue(DEVICE_QUEUE)
    return IpAddress.parse(ADDRESSES[route][side])!
  }

  /** A socket whose SYN nobody answers. */
  connecting(family: number): number {
    const fd = this.bound(family, 0, this.loopback(family, 0))
    this.setUpLoopback(false)
    const remote = abi.sockaddrOf(this.loopback(family, 1), this.freePort())
    this.begin((sqe) => sqe.prepConnect(fd, remote))
    return fd
  }

  #nextArrival(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { link } of this.networks) next = Math.min(next, link.nextArrival())
    return next
  }

  #idle(until: number): boolean {
    const next = Math.min(until, this.#nextArrival())
    if (next === Number.POSITIVE_INFINITY) return false
    this.clock.advanceTo(next)
    return true
  }

  /** Memory of a stack without an area: a frame fits one buffer. */
  #plainMemory(mtu: number): NicMemory {
    const chunkSize = mtu > 4096 ? LOOPBACK_BUFFER : 4096
    const areaLength = LOOPBACK_BUFFERS * chunkSize
    const at = idleMemory.findIndex((buffer) => buffer.byteLength === areaLength)
    const buffer = at < 0 ? new ArrayBuffer(areaLength) : idleMemory.splice(at, 1)[0]!
    this.#lent.push(buffer)
    return { buffer, areaOffset: 0, areaLength, chunkSize }
  }

  /** Nothing runs any more: its memory may serve the next machine. */
  release(): void {
    idleMemory.push(...this.#lent.splice(0))
  }
}

/** 128 MiB each: to make them anew for each scenario took most of the time. */
const idleMemory: ArrayBuffer[] = []

function endsOf(addresses: readonly [string, string]): (readonly [string, 'client' | 'server'])[] {
  return [
    [addresses[0], 'client'],
    [addresses[1], 'server'],
  ]
}

/** A wire carries frames, or loses all of them. */
function carry({ link }: Network, up: boolean): void {
  link.aToB.impairments = { loss: up ? 0 : 1 }
  link.bToA.impairments = { loss: up ? 0 : 1 }
}
