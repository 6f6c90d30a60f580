import { IpAddress } from '../../address.ts'
import { ArgumentError, ZcrxError } from '../../errors.ts'
import { Engine, type EngineOptions } from '../../net/engine.ts'
import { placeForSockaddr } from '../../net/listening-sockets.ts'
import { openSystems, ownedBy, type Systems } from '../../net/system.ts'
import { errnoName } from '../../uapi/abi/errno.ts'
import { endpointOf, sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM } from '../../uapi/abi/socket.ts'
import type { Sqe } from '../../uapi/abi/sqe.ts'
import { Scratch } from '../../uapi/ring/arena.ts'

/** Nothing is received but what answers, so little will do. */
const AREA_BYTES = 4 << 20
/** Of requests whose completion nobody waits for. */
const NOBODY = 2 ** 32 - 1

export interface ConnectOptions extends EngineOptions {
  /** IPv4 or IPv6 address of the peer, as text, and its port. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** Of several queues the one to connect from; default 0. */
  readonly queue?: number
  /** Connections to open; default 1. */
  readonly flows?: number
}

/** Sending connections over one NIC. For tests and for the demo's memory link: the package is made to receive. */
export class Client {
  readonly #engine: Engine
  readonly #waiters: ((res: number) => void)[] = []
  readonly #fds: number[] = []
  readonly #localPorts: number[] = []

  readonly #systems: Systems
  /** What it runs on is there when it has ended. */
  readonly #stays: boolean

  /** @internal use `connect`; the systems are closed with it, unless they are the program's */
  constructor(systems: Systems, options: ConnectOptions) {
    this.#systems = systems
    this.#stays = options.host !== undefined || systems.queues.some(({ sockets }) => sockets !== undefined)
    const given = { areaBytes: AREA_BYTES, ...options }
    const { queue = 0 } = options
    const system = systems.queues[queue]
    if (system === undefined)
      throw new ArgumentError(`there is no queue ${queue}`, `there are ${systems.queues.length}`)
    const shared = systems.instances?.[queue] ?? null
    this.#engine = new Engine(
      system,
      given,
      (_kind, id, res) => {
        const waiter = this.#waiters[id]
        delete this.#waiters[id]
        waiter?.(res)
      },
      shared ?? systems.areas(given.areaBytes)?.[queue] ?? null,
    )
    if (shared === null) systems.registered?.(queue, this.#engine)
  }

  /** @internal */
  async open(remote: IpAddress, port: number, flows: number): Promise<void> {
    this.#engine.wake()
    await this.#engine.system.ready
    const family = remote.version === 4 ? AF_INET : AF_INET6
    for (let flow = 0; flow < flows; flow++) {
      const fd = await this.#call((sqe) => sqe.prepSocket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))
      if (fd < 0) throw new ZcrxError('ZCRX_CONNECT', `socket: ${errnoName(fd)}`)
      // From here on it is closed with the client, also where nobody answers.
      this.#fds.push(fd)
      const { sockets } = this.#engine.system
      sockets?.opened(fd)
      const scratch = new Scratch(this.#engine.ring.arena)
      try {
        const peer = scratch.lend(sockaddrOf(remote, port))
        const result = await this.#call((sqe) => sqe.prepConnect(fd, peer))
        if (result < 0) throw new ZcrxError('ZCRX_CONNECT', `connect: ${errnoName(result)}`)
        const { sockaddr, length } = placeForSockaddr(scratch)
        if (sockets !== undefined) sockets.name(fd, sockaddr)
        else await this.#call((sqe) => sqe.prepCmdGetsockname(fd, sockaddr, length))
        this.#localPorts.push(endpointOf(sockaddr)?.port ?? 0)
      } finally {
        scratch.end()
      }
    }
  }

  /** The port a flow is sent from. */
  localPort(flow: number): number {
    return this.#localPorts[flow]!
  }

  /** Sends all bytes on one flow; resolves when the last was taken into the send buffer. */
  async send(flow: number, bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      const piece = rest
      const staged = this.#engine.stage(piece)
      const sent = await this.#call((sqe) => sqe.prepSend(this.#fds[flow]!, staged))
      this.#engine.unstage(piece, staged)
      if (sent < 0) throw new ZcrxError('ZCRX_SEND', `send: ${errnoName(sent)}`)
      rest = rest.subarray(sent)
    }
  }

  /** Half-closes one flow: the peer sees the end of the stream behind the last byte. */
  async end(flow: number): Promise<void> {
    const { sockets } = this.#engine.system
    if (sockets !== undefined) sockets.shutdown(this.#fds[flow]!, SHUT_WR)
    else await this.#call((sqe) => sqe.prepShutdown(this.#fds[flow]!, SHUT_WR))
  }

  close(): void {
    // What goes on without this client has no use for its sockets: a stack that ends with it ends them.
    if (this.#stays) this.#closeSockets()
    this.#engine.close()
    void this.#systems.close()
  }

  #closeSockets(): void {
    if (this.#engine.closed) return
    for (const fd of this.#fds.splice(0)) this.#engine.closing(fd).setData(NOBODY)
    this.#engine.turnNow()
  }

  #call(prepare: (sqe: Sqe) => Sqe): Promise<number> {
    const free = this.#waiters.findIndex((waiter) => waiter == null)
    const id = free < 0 ? this.#waiters.length : free
    return new Promise((resolve) => {
      this.#waiters[id] = resolve
      prepare(this.#engine.sqe()).setData(id)
      this.#engine.wake()
    })
  }
}

function clientOn(systems: Systems, options: ConnectOptions): Client {
  try {
    return new Client(systems, options)
  } catch (error) {
    void systems.close()
    throw error
  }
}

/** Opens the device and the connections. @throws NicError, ZcrxError */
export async function connect(options: ConnectOptions): Promise<Client> {
  const remote = IpAddress.parse(options.remoteAddress)
  if (remote === null) throw new ZcrxError('ZCRX_CONNECT', `"${options.remoteAddress}" is not an IP address`)
  const opened = openSystems({ areaBytes: AREA_BYTES, ...options })
  const systems = ownedBy(options, opened instanceof Promise ? await opened : opened)
  const client = clientOn(systems, options)
  try {
    await client.open(remote, options.remotePort, options.flows ?? 1)
  } catch (error) {
    client.close()
    throw error
  }
  return client
}
