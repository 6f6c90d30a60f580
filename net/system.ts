import type { IpAddress } from '../address.ts'
import type { Nic } from '../driver/nic.ts'
import type { NicError } from '../errors.ts'
import type { AddressesChange, StackReport } from '../host/interface.ts'
import type { HostOptions } from '../host/options.ts'
import { Host } from '../uapi/backend/host.ts'
import type { RingHost } from '../uapi/ring/backend.ts'

/** What a server or a client runs on: an interface with its addresses, and the other sides of rings. */
export interface System extends RingHost {
  readonly nic: Nic
  /** The first address, and all that can be used now. */
  readonly address: IpAddress
  readonly addresses: readonly IpAddress[]
  /** Where a server listens that was not told: the one address, or the wildcard for several. */
  readonly listenAddress: IpAddress
  /** Whether `ready` is still open, which resolves when every address can be used. */
  readonly pending: boolean
  readonly ready: Promise<void>
  /** What a user should know of how it can be reached, for people. */
  readonly notes: readonly string[]
  /** Called once when the device went away: `ZCRX_NIC_GONE`. */
  onGone: (error: NicError) => void
  /** Called when the addresses of the interface were followed. */
  onAddresses: (change: AddressesChange) => void
  /** What it has counted. */
  report(): StackReport
  /** Gives everything back. Close the rings first. */
  close(): void
}

/** Opens what is there on this machine: a stack of this package's, on this thread. @throws NicError, ArgumentError */
export function openSystem(options: HostOptions): System {
  return Host.open(options)
}
