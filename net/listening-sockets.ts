import type { IpAddress } from '../address.ts'
import { ZcrxError } from '../errors.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import { IPPROTO_IPV6, IPV6_V6ONLY } from '../uapi/abi/in.ts'
import { SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { endpointOf, SOCKADDR_BYTES, sockaddrOf } from '../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
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

/** An accept: whose it is, and the memory that the peer's address comes to. */
interface AcceptSlot {
  readonly listener: Listening
  readonly sockaddr: Uint8Array
  readonly length: Uint8Array
}

/** What an accept brought. */
export interface Accepted {
  readonly listener: Listening
  /** Null when it failed. */
  readonly remote: { readonly address: IpAddress; readonly port: number } | null
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
    this.#with(sockaddrOf(address, where.port), (sockaddr) =>
      this.#now('bind', (sqe) => sqe.prepBind(fd, sockaddr)),
    )
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
    const sockaddr = arena.take(SOCKADDR_BYTES)
    const length = arena.take(4)
    length[0] = SOCKADDR_BYTES
    const id = this.#free.pop() ?? this.#accepts.length
    this.#accepts[id] = { listener, sockaddr, length }
    listener.accepts++
    this.#engine.sqe().prepAccept(listener.fd, sockaddr, length).setData(dataOf(ACCEPT, id))
  }

  /** An accept has completed. @param res a descriptor, or minus errno */
  accepted(id: number, res: number): Accepted {
    const { listener, sockaddr, length } = this.#accepts[id]!
    this.#accepts[id] = null
    this.#free.push(id)
    listener.accepts--
    const remote = res < 0 ? null : endpointOf(sockaddr)
    this.#engine.ring.arena.give(sockaddr)
    this.#engine.ring.arena.give(length)
    return { listener, remote }
  }

  /** Nobody is heard any more: whoever waits to be accepted is reset. */
  close(): void {
    for (const { fd } of this.#all) this.#engine.sqe().prepClose(fd).setData(dataOf(CANCEL))
  }

  /** One socket option; what is accepted inherits it. */
  #set(fd: number, level: number, name: number, value: number): void {
    this.#with(new Uint8Array(Int32Array.of(value).buffer), (bytes) =>
      this.#now(`setsockopt ${name}`, (sqe) =>
        sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, level, name, bytes),
      ),
    )
  }

  /** The port that a socket is bound to. */
  #portOf(fd: number): number {
    return this.#with(new Uint8Array(SOCKADDR_BYTES), (sockaddr) =>
      this.#with(new Uint8Array(Int32Array.of(SOCKADDR_BYTES).buffer), (length) => {
        this.#now('getsockname', (sqe) => sqe.prepCmdGetsockname(fd, sockaddr, length))
        return endpointOf(sockaddr)?.port ?? 0
      }),
    )
  }

  /** Bytes that the other side reaches, for as long as `use` takes. */
  #with<T>(bytes: Uint8Array, use: (reached: Uint8Array) => T): T {
    const { arena } = this.#engine.ring
    const reached = arena.take(bytes.length)
    reached.set(bytes)
    try {
      return use(reached)
    } finally {
      arena.give(reached)
    }
  }

  /** A request of the set-up, complete when this returns. */
  #now(what: string, prepare: (sqe: Sqe) => Sqe): number {
    prepare(this.#engine.sqe()).setData(dataOf(SETUP))
    this.#engine.turnNow()
    if (this.#result >= 0) return this.#result
    throw this.#engine.refusal() ?? new ZcrxError('ZCRX_LISTEN', `${what}: ${errnoName(this.#result)}`)
  }
}
