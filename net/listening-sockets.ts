import type { IpAddress } from '../address.ts'
import { ZcrxError } from '../errors.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import { IPPROTO_IPV6, IPV6_V6ONLY } from '../uapi/abi/in.ts'
import { SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { endpointOf, SOCKADDR_BYTES, sockaddrOf } from '../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import { type Arena, borrow } from '../uapi/ring/arena.ts'
import { ACCEPT, CANCEL, dataOf, SETUP } from './connection-requests.ts'
import type { Engine } from './engine.ts'
import { DEFAULT_BACKLOG, type ListenOptions, listenAddress, socketOptions } from './listen.ts'
import type { ServerOptions } from './server-types.ts'

/** A socket that listens. */
export interface Listening {
  readonly fd: number
  readonly address: IpAddress
  /** The IPv6 wildcard without IPv4. */
  readonly only: boolean
  readonly port: number
  /** Accepts that are under way. */
  accepts: number
}

/** Memory for a sockaddr that the kernel writes, and for the `int` with its length. */
export function placeForSockaddr(memory: Pick<Arena, 'take'>): { sockaddr: Uint8Array; length: Uint8Array } {
  const sockaddr = memory.take(SOCKADDR_BYTES)
  const length = memory.take(4)
  length[0] = SOCKADDR_BYTES
  return { sockaddr, length }
}

/** An accept: whose it is, and the memory that the peer's address comes to. */
interface AcceptSlot {
  readonly listener: Listening
  readonly sockaddr: Uint8Array
  readonly length: Uint8Array
}

/** The sockets that a server listens with, and the accepts that are under way on them. */
export class ListeningSockets implements Iterable<Listening> {
  readonly #engine: Engine
  readonly #all: Listening[] = []
  /** By the number that is in their user_data. */
  readonly #accepts: (AcceptSlot | null)[] = []
  readonly #free: number[] = []
  /** Result of the last request of the set-up. */
  #result = 0

  constructor(engine: Engine) {
    this.#engine = engine
  }

  get count(): number {
    return this.#all.length
  }

  [Symbol.iterator](): Iterator<Listening> {
    return this.#all[Symbol.iterator]()
  }

  /** Listens at one more place, with the socket options that are asked for. @throws ZcrxError, AddressError, NicError */
  open(options: ServerOptions, where: ListenOptions): void {
    const { address, only } = listenAddress(this.#engine.system, where.address)
    const family = address.version === 4 ? AF_INET : AF_INET6
    const fd = this.#now('socket', (sqe) => sqe.prepSocket(family, SOCK_STREAM, 0))
    for (const [level, name, value] of socketOptions(options)) this.#set(fd, level, name, value)
    // As Node's: connections that an earlier server left behind do not keep the port.
    this.#set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if (only) this.#set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    borrow(this.#engine.ring.arena, (scratch) => {
      const sockaddr = scratch.lend(sockaddrOf(address, where.port))
      return this.#now('bind', (sqe) => sqe.prepBind(fd, sockaddr))
    })
    this.#now('listen', (sqe) => sqe.prepListen(fd, options.backlog ?? DEFAULT_BACKLOG))
    this.#all.push({ fd, address, only, port: this.#portOf(fd), accepts: 0 })
  }

  /** A request of the set-up has completed. */
  setUp(res: number): void {
    this.#result = res
  }

  /** Issues an accept. */
  accept(listener: Listening): void {
    const { arena } = this.#engine.ring
    const { sockaddr, length } = placeForSockaddr(arena)
    const id = this.#free.pop() ?? this.#accepts.length
    this.#accepts[id] = { listener, sockaddr, length }
    listener.accepts++
    this.#engine.sqe().prepAccept(listener.fd, sockaddr, length).setData(dataOf(ACCEPT, id))
  }

  /** An accept has completed. Returns who came, null when it failed. @param res a descriptor, or minus errno */
  accepted(id: number, res: number): ReturnType<typeof endpointOf> {
    const { listener, sockaddr, length } = this.#accepts[id]!
    this.#accepts[id] = null
    this.#free.push(id)
    listener.accepts--
    const remote = res < 0 ? null : endpointOf(sockaddr)
    this.#engine.ring.arena.give(sockaddr)
    this.#engine.ring.arena.give(length)
    return remote
  }

  /** Nobody is heard any more: whoever waits to be accepted is reset. */
  close(): void {
    for (const { fd } of this.#all) this.#engine.sqe().prepClose(fd).setData(dataOf(CANCEL))
  }

  /** One socket option; what is accepted inherits it. */
  #set(fd: number, level: number, name: number, value: number): void {
    borrow(this.#engine.ring.arena, (scratch) => {
      const bytes = scratch.lend(new Uint8Array(Int32Array.of(value).buffer))
      return this.#now(`setsockopt ${name}`, (sqe) =>
        sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, level, name, bytes),
      )
    })
  }

  /** The port that a socket is bound to. */
  #portOf(fd: number): number {
    return borrow(this.#engine.ring.arena, (scratch) => {
      const { sockaddr, length } = placeForSockaddr(scratch)
      this.#now('getsockname', (sqe) => sqe.prepCmdGetsockname(fd, sockaddr, length))
      return endpointOf(sockaddr)?.port ?? 0
    })
  }

  /** A request of the set-up, complete when this returns. */
  #now(what: string, prepare: (sqe: Sqe) => Sqe): number {
    prepare(this.#engine.sqe()).setData(dataOf(SETUP))
    this.#engine.turnNow()
    if (this.#result >= 0) return this.#result
    throw this.#engine.refusal() ?? new ZcrxError('ZCRX_LISTEN', `${what}: ${errnoName(this.#result)}`)
  }
}
