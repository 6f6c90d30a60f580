import type { IpAddress } from '../../address.ts'

/** Ports that are chosen for connections (RFC 6335 section 6). */
export const FIRST_EPHEMERAL = 49_152
export const EPHEMERAL_PORTS = 16_384
/** Peers remembered, some KiB each. */
const MOST_PEERS = 64

/** From which local ports one peer's answers come to this queue: the device's hash is of ports and addresses, and stays the same. */
export class PeerPorts {
  /** Those from which they came here: which was used last stands last. */
  readonly home: number[] = []
  /** A bit for each port from which they came to another queue. */
  readonly #away = new Uint32Array(EPHEMERAL_PORTS / 32)

  isAway(port: number): boolean {
    const at = port - FIRST_EPHEMERAL
    return (this.#away[at >>> 5]! & (1 << (at & 31))) !== 0
  }

  cameHome(port: number): void {
    if (!this.home.includes(port)) this.home.push(port)
  }

  cameElsewhere(port: number): void {
    const known = this.home.indexOf(port)
    // It was ours: the device shares out otherwise now.
    if (known >= 0) this.forget()
    const at = port - FIRST_EPHEMERAL
    this.#away[at >>> 5]! |= 1 << (at & 31)
  }

  forget(): void {
    this.home.length = 0
    this.#away.fill(0)
  }
}

/** `PeerPorts` of the peers that were connected to last. */
export class PeerPortsTable {
  readonly #peers = new Map<string, PeerPorts>()

  of(local: IpAddress, remote: IpAddress, remotePort: number): PeerPorts {
    const key = `${local} ${remote} ${remotePort}`
    const peer = this.#peers.get(key) ?? new PeerPorts()
    this.#peers.delete(key)
    if (this.#peers.size >= MOST_PEERS) {
      for (const oldest of this.#peers.keys()) {
        this.#peers.delete(oldest)
        break
      }
    }
    this.#peers.set(key, peer)
    return peer
  }
}
