import { IpAddress } from '../../address.ts'
import { loadNative } from '../../driver/native/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { EADDRINUSE, errnoName } from '../../uapi/abi/errno.ts'
import { sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { AF_INET, SOCK_STREAM } from '../../uapi/abi/socket.ts'
import type { Sqe } from '../../uapi/abi/sqe.ts'
import { ZCRX_REG_NODEV } from '../../uapi/abi/zcrx.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import type { QueueOf, Side, World } from './world.ts'

/** Ports of listeners: below those that Linux chooses for port 0. */
const FIRST_PORT = 10_000
const PORTS = 20_000
let next = process.pid % PORTS

/** A port that was not tried before and is not tried again: what it was used for may still be in TIME-WAIT. */
export function nextPort(): number {
  return FIRST_PORT + (next++ % PORTS)
}

const LOOPBACK: Readonly<Record<4 | 6, IpAddress>> = {
  4: IpAddress.parse('127.0.0.1')!,
  6: IpAddress.parse('::1')!,
}

/** The kernel that this process runs on, over its loopback interface, in real time. */
export class LinuxWorld implements World {
  readonly name = 'linux'
  readonly host: RingHost
  readonly quietMs: number
  readonly patienceMs = 400
  readonly queue: QueueOf = { ifIdx: 0, ifRxq: 0, flags: ZCRX_REG_NODEV }
  readonly #calls: Ring
  readonly #ports: number[] = []
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))

  /** @param patient a busy machine is given time */
  constructor(host: RingHost, patient = false) {
    this.host = host
    this.quietMs = patient ? 40 : 3
    this.#calls = Ring.queueInit(8, host)
  }

  sockaddr(_side: Side, port: number, version: 4 | 6 = 4): Uint8Array {
    return sockaddrOf(LOOPBACK[version], port)
  }

  port(number: number): number {
    while (this.#ports.length <= number) this.#ports.push(this.#freePort())
    return this.#ports[number]!
  }

  asClient<T>(act: () => T): T {
    return act()
  }

  pass(us: number): void {
    Atomics.wait(this.#nap, 0, 0, us / 1000)
  }

  release(fds: readonly number[]): void {
    for (const fd of fds) this.#call((sqe) => sqe.prepClose(fd))
    this.#calls.queueExit()
  }

  #freePort(): number {
    for (let tries = 0; tries < PORTS; tries++) {
      const port = nextPort()
      const fd = this.#call((sqe) => sqe.prepSocket(AF_INET, SOCK_STREAM, 0))
      if (fd < 0) throw new Error(`socket: ${errnoName(fd)}`)
      const address = this.#calls.arena.take(16)
      address.set(this.sockaddr('server', port))
      const bound = this.#call((sqe) => sqe.prepBind(fd, address))
      this.#call((sqe) => sqe.prepClose(fd))
      if (bound === 0) return port
      if (bound !== -EADDRINUSE) throw new Error(`bind: ${errnoName(bound)}`)
    }
    throw new Error('no port is free')
  }

  #call(prepare: (sqe: Sqe) => Sqe): number {
    prepare(this.#calls.getSqe()!)
    this.#calls.submitAndWait(1)
    const cqe = this.#calls.waitCqe()
    const { res } = cqe
    this.#calls.cqeSeen(cqe)
    return res
  }
}

/** A NIC's queue for zero-copy receive, and a host on its other side: another network namespace. */
export interface NicQueue {
  readonly ifIdx: number
  readonly ifRxq: number
  readonly local: IpAddress
  readonly peer: IpAddress
  /** A file of the namespace. */
  readonly netns: string
}

/** What the machine of scripts/vm says of itself; null elsewhere. */
export function nicQueue(env: NodeJS.ProcessEnv): NicQueue | null {
  const { ZCRX_VM_IFINDEX, ZCRX_VM_RXQ, ZCRX_VM_LOCAL, ZCRX_VM_PEER, ZCRX_VM_NS } = env
  const local = IpAddress.parse(ZCRX_VM_LOCAL ?? '')
  const peer = IpAddress.parse(ZCRX_VM_PEER ?? '')
  if (local === null || peer === null || ZCRX_VM_NS === undefined) return null
  const [ifIdx, ifRxq] = [Number(ZCRX_VM_IFINDEX), Number(ZCRX_VM_RXQ)]
  return { ifIdx, ifRxq, local, peer, netns: `/proc/${ZCRX_VM_NS}/ns/net` }
}

/** As `LinuxWorld`, but the clients are on the other side of a NIC. */
export class LinuxQueueWorld extends LinuxWorld {
  override readonly queue: QueueOf
  readonly #nic: NicQueue

  constructor(host: RingHost, nic: NicQueue, patient = false) {
    super(host, patient)
    this.#nic = nic
    this.queue = { ifIdx: nic.ifIdx, ifRxq: nic.ifRxq, flags: 0 }
  }

  override sockaddr(side: Side, port: number): Uint8Array {
    return sockaddrOf(side === 'client' ? this.#nic.peer : this.#nic.local, port)
  }

  /** A socket is of the namespace that its thread is in when it is made. */
  override asClient<T>(act: () => T): T {
    return inNamespace(loadNative(), this.#nic.netns, act)
  }
}
