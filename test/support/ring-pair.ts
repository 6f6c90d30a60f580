import type { IpAddress } from '../../address.ts'
import type { IfqStats } from '../../diagnostics.ts'
import { MemoryLink, type MemoryLinkOptions } from '../../driver/memory/index.ts'
import type { Nic, NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import type { RingContext } from '../../uapi/kernel/context.ts'
import type { Cqe } from '../../uapi/ring/cqe.ts'
import type { EventRequest, Ifq } from '../../uapi/ring/ifq.ts'
import { Ring, type RingParams } from '../../uapi/ring/ring.ts'
import { CLIENT, CLIENT6, plainMemory, SERVER, SERVER6 } from './stack-pair.ts'
import { adapt, contextOf } from './which-backend.ts'

export interface RingPairOptions extends Omit<MemoryLinkOptions, 'now'> {
  /** Buffers of the registered area; 0 registers none. */
  niovs?: number
  /** The area, instead of `niovs` pages. */
  area?: Uint8Array
  rxBufLen?: number
  rqEntries?: number
  /** ZCRX_REG_NODEV: everything is copied. */
  nodev?: boolean
  params?: RingParams
  /** Submission entries; default 64. */
  entries?: number
  events?: EventRequest
  /** Bytes of the buffers that data is received into when there is no area. */
  chunkSize?: number
  tcp?: Partial<TcpConfig>
  /** Connections are over this version of IP; default 4. */
  version?: 4 | 6
  /** What the server's stack gets instead of its end of the link. */
  wrap?: (nic: Nic, clock: VirtualClock) => Nic
}

export interface Completion {
  userData: number
  res: number
  flags: number
  offset: number
  areaId: number
}

export const ZC_FLAGS =
  abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER

/**
 * One kernel with two interfaces, `client` and `server`, on a memory link under a virtual clock; one ring for both sides,
 * and an area on the server's interface.
 */
export class RingPair {
  readonly clock = new VirtualClock(1_000_000)
  readonly link: MemoryLink
  readonly client: Stack
  readonly server: Stack
  readonly kernel: InlineKernel
  readonly ring: Ring
  /** The kernel's side of the ring, for what its methods would not say. */
  readonly context: RingContext
  readonly area: Uint8Array
  readonly ifq: Ifq
  readonly clientAddress: IpAddress
  readonly serverAddress: IpAddress

  constructor(options: RingPairOptions = {}) {
    this.clientAddress = options.version === 6 ? CLIENT6 : CLIENT
    this.serverAddress = options.version === 6 ? SERVER6 : SERVER
    this.link = new MemoryLink({ seed: 1, ...options, now: () => this.clock.now() })
    const memoryFor = (): NicMemory => plainMemory(256, options.chunkSize)
    const make = (nic: Nic, address: IpAddress, seed: number): Stack => {
      const stack = new Stack({
        nic,
        memory: memoryFor(),
        clock: this.clock,
        entropy: seededEntropy(seed),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
      })
      stack.addAddress(address, true)
      return stack
    }
    this.client = make(this.link.a, this.clientAddress, 11)
    this.server = make(options.wrap?.(this.link.b, this.clock) ?? this.link.b, this.serverAddress, 22)
    this.kernel = adapt(new InlineKernel({ memoryFor, idle: () => this.#passTime() }))
    this.kernel.readsEveryLevel = true
    this.kernel.addStack(this.client)
    this.kernel.addStack(this.server)
    const backend = this.kernel.ringBackend()
    this.ring = Ring.queueInit(
      options.entries ?? 64,
      { ringBackend: () => backend },
      { flags: ZC_FLAGS, cqEntries: 4096, ...options.params },
    )
    this.context = contextOf(backend)
    const niovs = options.niovs ?? 256
    this.area = options.area ?? new Uint8Array(new ArrayBuffer(niovs * 4096))
    const ifq = this.ring.registerIfq({
      ifIdx: options.nodev ? 0 : this.server.nic.info.ifIndex,
      ifRxq: 0,
      rqEntries: options.rqEntries ?? 256,
      area: this.area,
      flags: options.nodev ? abi.ZCRX_REG_NODEV : 0,
      rxBufLen: options.rxBufLen ?? 0,
      ...(options.events === undefined ? {} : { events: options.events }),
    })
    if (typeof ifq === 'number') throw new Error(`registration: ${abi.errnoName(ifq)}`)
    this.ifq = ifq
  }

  get family(): number {
    return this.serverAddress.version === 4 ? abi.AF_INET : abi.AF_INET6
  }

  /** Submits what `prepare` made and returns the completion with its user_data. */
  call(prepare: (sqe: abi.Sqe) => abi.Sqe, userData = 0xffff): number {
    prepare(this.ring.getSqe()!).setData(userData)
    this.ring.submit()
    for (;;) {
      const cqe = this.ring.waitCqe()
      const { res } = cqe
      const found = cqe.userData === userData
      if (!found) this.early.push(copy(cqe))
      this.ring.cqeSeen(cqe)
      if (found) return res
    }
  }
  /** Completions that `call` came across while it waited for its own. */
  readonly early: Completion[] = []

  /** Submits without waiting. */
  submit(prepare: (sqe: abi.Sqe) => abi.Sqe, userData: number): void {
    prepare(this.ring.getSqe()!).setData(userData)
    this.ring.submit()
  }

  /** A connection from client to server: the descriptors of both ends. */
  connect(port = 9000): { client: number; server: number; listener: number } {
    const listener = this.call((sqe) => sqe.prepSocket(this.family, abi.SOCK_STREAM, 0))
    const address = abi.sockaddrOf(this.serverAddress, port)
    this.#expectZero(this.call((sqe) => sqe.prepBind(listener, address)))
    this.#expectZero(this.call((sqe) => sqe.prepListen(listener, 16)))
    const [client, server] = this.connectTo(listener, port)
    return { client, server, listener }
  }

  connectTo(listener: number, port = 9000): [number, number] {
    const client = this.call((sqe) => sqe.prepSocket(this.family, abi.SOCK_STREAM, 0))
    const local = abi.sockaddrOf(this.clientAddress, 0)
    this.#expectZero(this.call((sqe) => sqe.prepBind(client, local)))
    const remote = abi.sockaddrOf(this.serverAddress, port)
    this.submit((sqe) => sqe.prepConnect(client, remote), 0xfffe)
    const server = this.call((sqe) => sqe.prepAccept(listener))
    const at = this.early.findIndex((cqe) => cqe.userData === 0xfffe)
    if (at >= 0) this.early.splice(at, 1)
    else {
      const cqe = this.ring.waitCqe()
      this.#expectZero(cqe.res)
      this.ring.cqeSeen(cqe)
    }
    return [client, server]
  }

  /** Sends all bytes and lets them arrive. */
  send(fd: number, bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0) {
      const piece = rest
      const sent = this.call((sqe) => sqe.prepSend(fd, piece), 0xfffd)
      if (sent < 0) throw new Error(`send: ${abi.errnoName(sent)}`)
      rest = rest.subarray(sent)
    }
    this.settle()
  }

  /** What lies in the completion queue now, without entering the ring. */
  reap(): Completion[] {
    const found = this.early.splice(0)
    const count = this.ring.forEachCqe((cqe) => found.push(copy(cqe)))
    this.ring.cqAdvance(count)
    return found
  }

  /** Frames move and requests go on until nothing happens without time passing. */
  settle(): void {
    for (let quiet = 0; quiet < 3; ) {
      const before = this.server.counters.rxFrames + this.client.counters.rxFrames
      this.ring.getEvents()
      quiet = this.server.counters.rxFrames + this.client.counters.rxFrames === before ? quiet + 1 : 0
    }
  }

  /** Enters and reaps until nothing more comes, time included up to `us`. */
  drain(us = 200_000): Completion[] {
    const end = this.clock.now() + us
    const found: Completion[] = []
    do {
      this.settle()
      found.push(...this.reap())
    } while (this.clock.now() < end && this.#passTime(end))
    return found
  }

  /** The bytes a data completion names. */
  bytes(completion: Completion): Uint8Array {
    return this.area.subarray(completion.offset, completion.offset + completion.res)
  }

  refill(...completions: Completion[]): void {
    for (const completion of completions)
      this.ifq.rq.push(completion.areaId, completion.offset, completion.res)
    this.ifq.rq.advance()
  }

  census(): ReturnType<Stack['census']> {
    return [...this.kernel.ifqs][0]!.census()
  }

  stats(): IfqStats {
    return [...this.kernel.ifqs][0]!.stats
  }

  #passTime(limit = Number.POSITIVE_INFINITY): boolean {
    const next = Math.min(this.kernel.nextDeadline(), this.link.nextArrival(), limit)
    if (next === Number.POSITIVE_INFINITY) return false
    this.clock.advanceTo(next)
    return true
  }

  #expectZero(res: number): void {
    if (res !== 0) throw new Error(`unexpected ${abi.errnoName(res)}`)
  }
}

function copy(cqe: Cqe): Completion {
  const { userData, res, flags, offset, areaId } = cqe
  return { userData, res, flags, offset, areaId }
}

export function bytesOf(length: number, seed = 1): Uint8Array {
  let state = seed
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0
    return state >>> 16
  })
}
