import type { IpAddress } from '../../address.ts'
import type { Dad } from './dad.ts'
import type { Neighbour, Neighbours } from './neighbours.ts'

/** An address of the interface. */
export interface InterfaceAddress {
  readonly address: IpAddress
  /**
   * True: the address is this stack's alone, which answers and asks ARP (or neighbour solicitations) for it. False: it is
   * the host's, whose kernel does that; peers are answered at the hardware address their frames came from.
   */
  readonly own: boolean
  /** It serves what goes on, and nothing new begins at it while there is another (RFC 4862 5.5.4). */
  deprecated?: boolean
}

/** What ARP and neighbour discovery ask of the link that they serve. */
export interface DiscoveryOwner {
  readonly addresses: readonly InterfaceAddress[]
  readonly neighbours: Neighbours
  readonly dad: Dad
  /** Whether frames to this address are for us. */
  isLocal(address: IpAddress): boolean
  isLocal4(address: number): boolean
  /** Whether it is an address of our own. */
  isOwn(address: IpAddress): boolean
  /** A neighbour's hardware address is news. */
  resolved(neighbour: Neighbour, now: number): void
}
