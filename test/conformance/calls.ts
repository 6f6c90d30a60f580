import type { IpAddress } from '../../address.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import type { Ring } from '../../uapi/ring/ring.ts'

/** Where a connection goes: over which network, and by which version of IP. */
export type Route = 'lo' | 'lo6' | 'dev' | 'dev6'

/** How a NIC places payload from now on. */
export interface Placement {
  /** Several packets lie in one buffer. */
  readonly pack?: boolean
  /** Bytes in front of it in a buffer. */
  readonly offset?: number
  /** It stays with its headers, outside of the buffers. */
  readonly whole?: boolean
}

/** The queue that instances are registered on, of a NIC as the recorder had one. */
export interface DeviceQueue {
  readonly ifIndex: number
  readonly queue: number
  /** Packets dropped for want of buffers. */
  readonly dropped: number
  /** Packets whose payload was put into buffers. */
  readonly split: number
  place(how: Placement): void
  setUp(up: boolean): void
  /** Another queue of it is asked for. */
  need(queue: number): void
}

/** Descriptors that are none of TCP's. */
export type OtherFile = 'memfd' | 'file' | 'udp' | 'unix' | 'raw' | 'packet' | 'netlink' | 'mptcp'

/** Addresses of a process's memory. */
export interface UserSpace {
  addressOf(bytes: Uint8Array): number
}

/** What a scenario is played on, with socket calls as a process makes them. */
export abstract class SocketCalls {
  /** Socket calls are made through it, as system calls beside the ring that is looked at. */
  abstract readonly calls: Ring
  /** Where rings come from. */
  abstract readonly host: RingHost
  abstract readonly space: UserSpace
  /** How long (milliseconds) completions are waited for that are expected. */
  abstract readonly longestWaitMs: number
  abstract readonly clock: { now(): number; advanceTo(us: number): void }
  /** The next moment at which something may happen by itself, microseconds of the clock. */
  abstract next(): number
  /** Whatever has to happen at this moment has happened. */
  abstract settle(): void
  /** Memory of its own, from a page's boundary on. @param huge made of 2 MiB pages */
  abstract map(bytes: number, huge: boolean): Uint8Array
  /** Memory that a file's pages are, shared. */
  abstract mapFile(bytes: number): Uint8Array
  /** It is done with. */
  abstract release(): void
  /** @throws NoTranslation without such a NIC */
  abstract get device(): DeviceQueue
  /** By the name that the record calls it. @throws NoTranslation when there is none */
  abstract interfaceIndex(name: string): number
  /** Whether it may administer the network from now on. */
  abstract setCapable(capable: boolean): void
  /** RLIMIT_MEMLOCK of somebody who may administer the network and nothing else. */
  abstract limitLockedMemory(bytes: number): void
  abstract openOther(kind: OtherFile): number
  abstract isOpen(fd: number): boolean
  /** `io_uring_register(2)` by any descriptor, or -1: 0 or minus errno. */
  abstract registerBy(fd: number, opcode: number, arg: Uint8Array | null, nrArgs: number): number
  /** A socket whose SYN nobody answers. */
  abstract connecting(family: number): number
  /** @param side 0 = client, 1 = server */
  protected abstract addressOf(route: Route, side: 0 | 1): IpAddress
  protected abstract freePort(): number
  /** A new socket is made ready. */
  protected prepared(_fd: number): void {}
  /** The peer's socket of a connection. */
  protected clientSocket(_route: Route, family: number): number {
    return this.socket(family)
  }

  protected loopback(family: number, side: 0 | 1): IpAddress {
    return this.addressOf(family === abi.AF_INET ? 'lo' : 'lo6', side)
  }

  /** A request whose result is waited for. */
  call(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    return this.#result(this.begin(prepare))
  }

  /** A request whose result may be waited for later. */
  protected begin(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    const id = this.#call++
    prepare(this.calls.getSqe()!).setData(id)
    this.calls.submit()
    return id
  }
  #call = 1

  /** A connection: the descriptors of both ends. */
  connect(route: Route): { client: number; server: number } {
    const clientAddress = this.addressOf(route, 0)
    const serverAddress = this.addressOf(route, 1)
    const family = serverAddress.version === 4 ? abi.AF_INET : abi.AF_INET6
    const port = this.freePort()
    const listener = this.listen(family, serverAddress, port)
    const client = this.clientSocket(route, family)
    const local = abi.sockaddrOf(clientAddress, 0)
    expectZero(
      'bind',
      this.call((sqe) => sqe.prepBind(client, local)),
    )
    // Each `send` leaves at once, as the recording's did on an idle connection.
    this.setOption(client, abi.IPPROTO_TCP, abi.TCP_NODELAY, 1)
    const remote = abi.sockaddrOf(serverAddress, port)
    const connecting = this.begin((sqe) => sqe.prepConnect(client, remote))
    const server = this.call((sqe) => sqe.prepAccept(listener))
    if (server < 0) throw new Error(`accept: ${abi.errnoName(server)}`)
    this.sockets.add(server)
    expectZero('connect', this.#result(connecting))
    this.close(listener)
    return { client, server }
  }
  /** Those that are open. */
  protected readonly sockets = new Set<number>()
  readonly #results = new Map<number, number>()

  socket(family: number): number {
    const fd = this.call((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))
    if (fd < 0) throw new Error(`socket: ${abi.errnoName(fd)}`)
    this.sockets.add(fd)
    this.prepared(fd)
    return fd
  }

  /** A socket that is bound to an address of the loopback host. */
  bound(family: number, port = this.freePort(), address = this.loopback(family, 1)): number {
    const fd = this.socket(family)
    const sockaddr = abi.sockaddrOf(address, port)
    expectZero(
      'bind',
      this.call((sqe) => sqe.prepBind(fd, sockaddr)),
    )
    return fd
  }

  listen(family: number, address: IpAddress, port: number, backlog = 16): number {
    const fd = this.bound(family, port, address)
    expectZero(
      'listen',
      this.call((sqe) => sqe.prepListen(fd, backlog)),
    )
    return fd
  }

  /** A listening TCP socket of the loopback host. */
  listening(): number {
    return this.listen(abi.AF_INET, this.loopback(abi.AF_INET, 1), this.freePort())
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
    this.sockets.delete(fd)
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
}

function expectZero(what: string, res: number): void {
  if (res !== 0) throw new Error(`${what}: ${abi.errnoName(res)}`)
}
