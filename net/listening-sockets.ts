import { formatEndpoint, type IpAddress } from '../address.ts'
import { AddressError, ZcrxError } from '../errors.ts'
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL, errnoName } from '../uapi/abi/errno.ts'
import { IPPROTO_IPV6, IPV6_V6ONLY } from '../uapi/abi/in.ts'
import { IORING_ASYNC_CANCEL_ALL, SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { endpointOf, SOCKADDR_BYTES, sockaddrOf } from '../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SO_REUSEADDR, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import { type Arena, borrow } from '../uapi/ring/arena.ts'
import { ACCEPT, CANCEL, dataOf, SETUP } from './connection-requests.ts'
import type { Engine } from './engine.ts'
import { DEFAULT_BACKLOG, type ListenOptions, listenAddress, socketOptions } from './listen.ts'
import type { ServerOptions } from './server-types.ts'
import type { SocketCalls, System } from './system.ts'

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

export type Endpoint = NonNullable<ReturnType<typeof endpointOf>>

type Place = Pick<Listening, 'address' | 'only' | 'port'>

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
    const { sockets } = this.#engine.system
    if (sockets !== undefined) {
      this.#all.push(openByCalls(this.#engine.system, sockets, options, { address, only, port: where.port }))
      return
    }
    const family = address.version === 4 ? AF_INET : AF_INET6
    const fd = this.#now('socket', (sqe) => sqe.prepSocket(family, SOCK_STREAM, 0))
    try {
      this.#all.push(this.#listen(fd, options, { address, only, port: where.port }))
    } catch (error) {
      // On a host that goes on it would be there for ever.
      this.#engine.closing(fd).setData(dataOf(CANCEL))
      this.#engine.turnNow()
      throw error
    }
  }

  /** With a socket that is there. */
  #listen(fd: number, options: ServerOptions, { address, only, port }: Place): Listening {
    for (const [level, name, value] of socketOptions(options)) this.#set(fd, level, name, value)
    // As Node's: connections that an earlier server left behind do not keep the port.
    this.#set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if (only) this.#set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    borrow(this.#engine.ring.arena, (scratch) => {
      const sockaddr = scratch.lend(sockaddrOf(address, port))
      return this.#now('bind', (sqe) => sqe.prepBind(fd, sockaddr))
    })
    this.#now('listen', (sqe) => sqe.prepListen(fd, options.backlog ?? DEFAULT_BACKLOG))
    return { fd, address, only, port: this.#portOf(fd), accepts: 0 }
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
    // Children of this process are not to have what it accepts.
    this.#engine
      .sqe()
      .prepAccept(listener.fd, sockaddr, length)
      .setOpFlags(SOCK_CLOEXEC)
      .setData(dataOf(ACCEPT, id))
  }

  /** An accept has completed. Returns who came, and where; null when it failed. @param res a descriptor, or minus errno */
  accepted(id: number, res: number): { remote: Endpoint; listener: Listening } | null {
    const { listener, sockaddr, length } = this.#accepts[id]!
    this.#accepts[id] = null
    this.#free.push(id)
    listener.accepts--
    const remote = res < 0 ? null : endpointOf(sockaddr)
    this.#engine.ring.arena.give(sockaddr)
    this.#engine.ring.arena.give(length)
    return remote === null ? null : { remote, listener }
  }

  /** Nobody is heard any more: whoever waits to be accepted is reset. */
  close(): void {
    const { sockets } = this.#engine.system
    for (const { fd } of this.#all) {
      // On Linux an accept that is under way keeps the socket open behind its descriptor.
      if (sockets !== undefined)
        this.#engine.sqe().prepCancelFd(fd, IORING_ASYNC_CANCEL_ALL).setData(dataOf(CANCEL))
      this.#engine.closing(fd).setData(dataOf(CANCEL))
    }
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

/** A socket of the machine's that listens. @throws ZcrxError, AddressError */
function openByCalls(
  system: System,
  sockets: SocketCalls,
  options: ServerOptions,
  { address, only, port }: Place,
): Listening {
  const wanted: [number, number, number][] = [[SOL_SOCKET, SO_REUSEADDR, 1], ...socketOptions(options)]
  // As it is of itself on most machines, and net.ipv6.bindv6only on others.
  if (address.version === 6) wanted.push([IPPROTO_IPV6, IPV6_V6ONLY, Number(only)])
  const fd = sockets.listen(sockaddrOf(address, port), wanted, options.backlog ?? DEFAULT_BACKLOG)
  // Of an address of one link the machine has to know which that is: one of its own.
  const linkLocal = address.version === 6 && address.linkLocal
  if (fd === -EADDRNOTAVAIL || (fd === -EINVAL && linkLocal)) throw noAddress(system, address)
  if (fd < 0) throw notListening(-fd, address, port)
  const sockaddr = new Uint8Array(SOCKADDR_BYTES)
  sockets.name(fd, sockaddr)
  return { fd, address, only, port: endpointOf(sockaddr)?.port ?? port, accepts: 0 }
}

function noAddress({ addresses }: System, address: IpAddress): AddressError {
  const all = addresses.join(', ')
  return new AddressError(
    `"${address}" is none of the addresses ${all}`,
    'listen on one of them, or ip address add',
  )
}

function notListening(errno: number, address: IpAddress, port: number): ZcrxError {
  const what = `listen on ${formatEndpoint(address.toString(), port)}: ${errnoName(errno)}`
  if (errno === EADDRINUSE)
    return new ZcrxError('ZCRX_LISTEN', what, `another program has the port: ss -ltnp sport = :${port}`)
  if (errno === EACCES)
    return new ZcrxError(
      'ZCRX_LISTEN',
      what,
      'ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE',
    )
  return new ZcrxError('ZCRX_LISTEN', what)
}
