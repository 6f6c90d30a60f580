import type { Nic } from '../driver/nic.ts'
import type { Clock } from '../stack/clock.ts'
import type { IpConfig } from '../stack/ip/options.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'

/** What a host is opened with. */
export interface HostOptions {
  /** `xdp:eth0`, `xdp:eth0/1`, `xdp:eth0?mode=native`, or an open NIC. The host closes it. */
  readonly device: string | Nic
  /**
   * IPv4 or IPv6, as text, with or without the bits of its prefix (`192.0.2.5/24`); several in an array. `auto`: IPv6 from
   * router advertisements (RFC 4862), an address of our own. Default: every address of the interface, followed as they change.
   */
  readonly address?: string | readonly string[]
  /** The addresses are the stack's alone: it answers and asks ARP or neighbour solicitations for them. Default false: they are the machine's. */
  readonly ownAddress?: boolean
  /** Addresses of our own are tested for duplicates before they are used: `IpConfig.dad`. Default false; `ready` tells when they are. */
  readonly dad?: boolean
  /** Default: `SystemClock`. */
  readonly clock?: Clock
  /** Bits that the addresses on the link share with ours, where `address` does not say; needed with `gateway`. Default: every address is on the link. */
  readonly prefixLength?: number
  /** Where frames to addresses beyond the link go, IPv4 or IPv6 as text; one of each in an array. */
  readonly gateway?: string | readonly string[]
  /** Limits and timings of TCP. */
  readonly tcp?: Partial<TcpConfig>
  /** VLAN tags, limits of reassembly and ICMP. */
  readonly ip?: Partial<IpConfig>
  /** Fragments taken from the NIC at a time. */
  readonly burst?: number
  /**
   * Over xdp: ports are taken that a service of the machine has at the same address, whose segments come here then. Default
   * false: such a port is refused.
   */
  readonly takeOver?: boolean
  /**
   * The stack of another queue keeps the addresses of our own: this one neither tests them nor asks routers for any. @internal
   */
  readonly sibling?: boolean
  /**
   * Where the secret of stable addresses is kept, with address `auto`. Default: `address-secret` in `$STATE_DIRECTORY`, in
   * `$XDG_STATE_HOME/zcrx`, or in `/var/lib/zcrx`.
   */
  readonly secretFile?: string
}
