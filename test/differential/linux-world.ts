import { IpAddress } from '../../address.ts'
import { EADDRINUSE, errnoName } from '../../uapi/abi/errno.ts'
import { sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { AF_INET, SOCK_STREAM } from '../../uapi/abi/socket.ts'
import type { Sqe } from '../../uapi/abi/sqe.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import type { Side, World } from './world.ts'

/** Ports of listeners: below those that Linux chooses for port 0. */
const FIRST_PORT = 10_000
const PORTS = 20_000
/** One that was tried and is not tried again: what it was used for may still be in TIME-WAIT. */
let next = Math.floor(Math.random() * PORTS)

const LOOPBACK: Readonly<Record<4 | 6, IpAddress>> = {
  4: IpAddress.parse('127.0.0.1')!,
  6: IpAddress.parse('::1')!,
}

/** The kernel that this process runs on, over its loopback interface, in real time. */
export class LinuxWorld implements World {
  readonly name = 'linux'
  readonly host: RingHost
  readonly quietMs = 3
  readonly patienceMs = 400
  readonly #calls: Ring
  readonly #ports: number[] = []
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))

  constructor(host: RingHost) {
    this.host = host
    this.#calls = Ring.queueInit(8, host)
  }

  sockaddr(_side: Side, port: number, version: 4 | 6 = 4): Uint8Array {
    return sockaddrOf(LOOPBACK[version], port)
  }

  port(number: number): number {
    while (this.#ports.length <= number) this.#ports.push(this.#freePort())
    return this.#ports[number]!
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
      const port = FIRST_PORT + (next++ % PORTS)
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
