import type { IpAddress } from '../address.ts'
import { endpointOf, SOCKADDR_BYTES } from '../uapi/abi/sockaddr.ts'
import { dataOf, NAME } from './connection-requests.ts'
import type { IpEnd } from './ends.ts'
import type { Engine } from './engine.ts'
import { type Endpoint, type Listening, placeForSockaddr } from './listening-sockets.ts'

interface Asked {
  readonly sockaddr: Uint8Array
  readonly length: Uint8Array
  readonly port: number
  readonly found: (local: IpEnd) => void
}

/** Finds out at which of its addresses a listener was reached. */
export class LocalNames {
  readonly #engine: Engine
  readonly #asked: (Asked | null)[] = []
  readonly #free: number[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Calls back at once where there is only one, else when the socket has told. @param fd of the connection */
  find(
    fd: number,
    { listener, remote }: { listener: Listening; remote: Endpoint },
    found: (local: IpEnd) => void,
  ): void {
    const { system, ring } = this.#engine
    const { address, port } = listener
    const only = address.unspecified ? onlyOf(system.addresses, remote.address) : address
    if (system.sockets === undefined && only !== null) {
      found({ address: only.toString(), port })
      return
    }
    if (system.sockets !== undefined) {
      const sockaddr = new Uint8Array(SOCKADDR_BYTES)
      system.sockets.name(fd, sockaddr)
      found(endOf(sockaddr, port))
      return
    }
    const { sockaddr, length } = placeForSockaddr(ring.arena)
    const id = this.#free.pop() ?? this.#asked.length
    this.#asked[id] = { sockaddr, length, port, found }
    this.#engine.sqe().prepCmdGetsockname(fd, sockaddr, length).setData(dataOf(NAME, id))
    this.#engine.wake()
  }

  /** The socket has told. */
  told(id: number): void {
    const { sockaddr, length, port, found } = this.#asked[id]!
    this.#asked[id] = null
    this.#free.push(id)
    const local = endOf(sockaddr, port)
    this.#engine.ring.arena.give(sockaddr)
    this.#engine.ring.arena.give(length)
    found(local)
  }
}

/** The only address of the peer's family, if there is one alone. */
function onlyOf(addresses: readonly IpAddress[], { version }: IpAddress): IpAddress | null {
  let only: IpAddress | null = null
  for (const address of addresses) {
    if (address.version !== version) continue
    if (only !== null) return null
    only = address
  }
  return only
}

/** @param port of a socket that tells nothing any more */
export function endOf(sockaddr: Uint8Array, port: number): IpEnd {
  const end = endpointOf(sockaddr)
  return end === null ? { address: '', port } : { address: end.address.toString(), port: end.port }
}
