import type { Native } from '../../driver/native/index.ts'
import {
  type Channels,
  EthtoolLink,
  NetdevLink,
  type ReceiveQueue,
  type Rings,
  type XdpFeature,
} from '../../driver/netlink/index.ts'

/** What a driver can do and has switched on: ethtool and netdev over generic netlink. */
export interface DriverFeatures {
  /** Names of the active offloads, as `ethtool -k` has them beside its own (`rx-gro`, `rx-vlan-hw-parse`); null when not known. */
  readonly offloads: ReadonlySet<string> | null
  /** Names of the offloads that can be switched. */
  readonly switchable: ReadonlySet<string>
  /** Header/data split: `none` when the driver says nothing of it. */
  readonly dataSplit: Rings['dataSplit']
  /** Bytes up to which a packet is not split; null when not said. */
  readonly splitThreshold: number | null
  /** Most channels; null when the driver has no channels. */
  readonly channels: Channels | null
  /** The receive queue for each hash (RSS); null when the driver has no such table, or the kernel does not tell (before 6.2). */
  readonly indirection: readonly number[] | null
  /** The receive queues in use and who has them; none while the interface is down, null before Linux 6.8. */
  readonly receiveQueues: readonly ReceiveQueue[] | null
  /** What the driver says of XDP; null when the kernel does not tell (before Linux 6.3). */
  readonly xdp: ReadonlySet<XdpFeature> | null
  /** Fragments of a frame in zero-copy mode; 1 when not known. */
  readonly zeroCopySegments: number
}

/** Of an interface of the namespace that the thread is in. What can't be asked is not known; never throws for it. @throws NicError */
export function driverFeatures(native: Native, ifIndex: number): DriverFeatures {
  const ethtool = EthtoolLink.open(native, ifIndex)
  const netdev = NetdevLink.open(native, ifIndex)
  try {
    const offloads = ethtool?.offloads() ?? null
    const rings = ethtool?.rings() ?? null
    const xdp = netdev?.xdp() ?? null
    return {
      offloads: offloads?.active ?? null,
      switchable: offloads?.switchable ?? new Set(),
      dataSplit: rings?.dataSplit ?? 'none',
      splitThreshold: rings?.splitThreshold ?? null,
      channels: ethtool?.channels() ?? null,
      indirection: ethtool?.indirection() ?? null,
      receiveQueues: netdev?.receiveQueues() ?? null,
      xdp: xdp?.features ?? null,
      zeroCopySegments: xdp?.zeroCopySegments ?? 1,
    }
  } finally {
    ethtool?.close()
    netdev?.close()
  }
}
