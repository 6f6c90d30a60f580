import { IpAddress } from '../../address.ts'
import {
  type EndOptions,
  MemoryLink,
  type MemoryLinkOptions,
  type MemoryNic,
} from '../../driver/memory/index.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'

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

/** Two hosts on a wire. */
export interface Network {
  readonly link: MemoryLink
  readonly client: Stack
  readonly server: Stack
}

/** Where a connection goes: over which network, and by which version of IP. */
export type Route = 'lo' | 'lo6' | 'dev' | 'dev6'

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
export class Machine {
  readonly clock = new VirtualClock(START_US)
  readonly kernel: InlineKernel
  readonly networks: Network[] = []
  readonly lo: Network
  /** Socket calls are made through it, as system calls beside the ring that is looked at. */
  readonly calls: Ring
  #port = 9000
  #call = 1

  constructor() {
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

  /** The device's NIC that connections go over. */
  get nic(): MemoryNic {
    return this.queue(DEVICE_QUEUE).link.b
  }

  /** Nothing passes while the interface is down. */
  setUp(up: boolean): void {
    carry(this.queue(DEVICE_QUEUE), up)
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

  /** A request whose result is waited for. */
  call(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    const id = this.#call++
    prepare(this.calls.getSqe()!).setData(id)
    this.calls.submit()
    return this.#result(id)
  }

  /** A connection: the descriptors of both ends. */
  connect(route: Route): { client: number; server: number } {
    if (route.startsWith('dev')) this.queue(DEVICE_QUEUE)
    const [clientText, serverText] = ADDRESSES[route]
    const clientAddress = IpAddress.parse(clientText)!
    const serverAddress = IpAddress.parse(serverText)!
    const family = serverAddress.version === 4 ? abi.AF_INET : abi.AF_INET6
    const port = this.#port++
    const listener = this.listen(family, serverAddress, port)
    const client = this.socket(family)
    const local = abi.sockaddrOf(clientAddress, 0)
    expectZero(
      'bind',
      this.call((sqe) => sqe.prepBind(client, local)),
    )
    // Each `send` leaves at once, as the recording's did on an idle connection.
    this.setOption(client, abi.IPPROTO_TCP, abi.TCP_NODELAY, 1)
    const remote = abi.sockaddrOf(serverAddress, port)
    const connecting = this.#call++
    this.calls.getSqe()!.prepConnect(client, remote).setData(connecting)
    this.calls.submit()
    const server = this.call((sqe) => sqe.prepAccept(listener))
    if (server < 0) throw new Error(`accept: ${abi.errnoName(server)}`)
    expectZero('connect', this.#result(connecting))
    this.call((sqe) => sqe.prepClose(listener))
    this.settle()
    return { client, server }
  }
  readonly #results = new Map<number, number>()

  socket(family: number): number {
    const fd = this.call((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))
    if (fd < 0) throw new Error(`socket: ${abi.errnoName(fd)}`)
    return fd
  }

  /** A socket that is bound to an address of the loopback host. */
  bound(family: number, port = this.#port++, address = addressOf('lo', family, 1)): number {
    const fd = this.socket(family)
    const sockaddr = abi.sockaddrOf(address, port)
    expectZero(
      'bind',
      this.call((sqe) => sqe.prepBind(fd, sockaddr)),
    )
    return fd
  }

  /** A socket whose SYN nobody answers. */
  connecting(family: number): number {
    const fd = this.bound(family, 0, addressOf('lo', family, 0))
    this.setUpLoopback(false)
    const remote = abi.sockaddrOf(addressOf('lo', family, 1), this.#port++)
    this.calls
      .getSqe()!
      .prepConnect(fd, remote)
      .setData(this.#call++)
    this.calls.submit()
    return fd
  }

  listen(family: number, address: IpAddress, port: number): number {
    const fd = this.bound(family, port, address)
    expectZero(
      'listen',
      this.call((sqe) => sqe.prepListen(fd, 16)),
    )
    return fd
  }

  /** A listening TCP socket of the loopback host. */
  listening(): number {
    return this.listen(abi.AF_INET, addressOf('lo', abi.AF_INET, 1), this.#port++)
  }

  setOption(fd: number, level: number, name: number, ...values: number[]): number {
    const value = new Uint8Array(Int32Array.from(values).buffer)
    return this.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SETSOCKOPT, fd, level, name, value))
  }

  getOption(fd: number, level: number, name: number): number {
    const value = new Int32Array(1)
    const res = this.call((sqe) =>
      sqe.prepCmdSock(abi.SOCKET_URING_OP_GETSOCKOPT, fd, level, name, new Uint8Array(value.buffer)),
    )
    return res < 0 ? res : value[0]!
  }

  /** send(2): waits until everything was taken. Returns the bytes, or minus errno when there were none. */
  send(fd: number, bytes: Uint8Array, flags = 0): number {
    let sent = 0
    while (sent < bytes.length) {
      const rest = bytes.subarray(sent)
      const res = this.call((sqe) => sqe.prepSend(fd, rest, flags))
      if (res < 0) return sent > 0 ? sent : res
      sent += res
    }
    this.settle()
    return sent
  }

  /** recv(2) that does not wait. */
  recv(fd: number, bytes: Uint8Array, flags = 0): number {
    const res = this.call((sqe) => sqe.prepRecv(fd, bytes, flags | abi.MSG_DONTWAIT))
    this.settle()
    return res
  }

  /** FIONREAD. */
  fionread(fd: number): number {
    return this.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, fd))
  }

  /** poll(2) that does not wait. */
  poll(fd: number, events: number): number {
    const id = this.#call++
    this.calls.getSqe()!.prepPollAdd(fd, events).setData(id)
    this.calls.submitAndGetEvents()
    const cqe = this.calls.peekCqe()
    const res = cqe === null ? 0 : cqe.res
    if (cqe === null) {
      this.call((sqe) => sqe.prepCancel(id))
      this.#result(id)
    } else this.calls.cqeSeen(cqe)
    return res
  }

  shutdown(fd: number, how: number): number {
    const res = this.call((sqe) => sqe.prepShutdown(fd, how))
    this.settle()
    return res
  }

  close(fd: number): number {
    const res = this.call((sqe) => sqe.prepClose(fd))
    this.settle()
    return res
  }

  /** Closes with SO_LINGER 0: the peer is reset. */
  reset(fd: number): void {
    this.setOption(fd, abi.SOL_SOCKET, abi.SO_LINGER, 1, 0)
    this.close(fd)
  }

  #result(id: number): number {
    for (;;) {
      const known = this.#results.get(id)
      if (known !== undefined) {
        this.#results.delete(id)
        return known
      }
      const cqe = this.calls.waitCqe()
      this.#results.set(cqe.userData, cqe.res)
      this.calls.cqeSeen(cqe)
    }
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

/** @param side 0 = client, 1 = server */
function addressOf(route: 'lo' | 'dev', family: number, side: 0 | 1): IpAddress {
  return IpAddress.parse(ADDRESSES[family === abi.AF_INET ? route : (`${route}6` as Route)][side])!
}

function expectZero(what: string, res: number): void {
  if (res !== 0) throw new Error(`${what}: ${abi.errnoName(res)}`)
}
