import type { Native } from '../../driver/native/index.ts'
import {
  attributeNumber,
  GenericFamily,
  listAttributes,
  type NetlinkAttribute,
  NLA_F_NESTED,
  numberAttribute,
  readAttributes,
  writeAttributes,
} from '../../driver/netlink/index.ts'

/** What a driver can do and has switched on: ethtool and netdev over generic netlink. */

// linux/ethtool_netlink.h
const ETHTOOL_MSG_FEATURES_GET = 11
const ETHTOOL_MSG_RINGS_GET = 15
const ETHTOOL_MSG_CHANNELS_GET = 17
const ETHTOOL_A_HEADER = 1
const ETHTOOL_A_HEADER_DEV_INDEX = 1
const ETHTOOL_A_FEATURES_HW = 2
const ETHTOOL_A_FEATURES_ACTIVE = 4
const ETHTOOL_A_BITSET_NOMASK = 1
const ETHTOOL_A_BITSET_BITS = 3
const ETHTOOL_A_BITSET_BIT_NAME = 2
const ETHTOOL_A_BITSET_BIT_VALUE = 3
const ETHTOOL_A_RINGS_TCP_DATA_SPLIT = 11
const ETHTOOL_TCP_DATA_SPLIT_DISABLED = 1
const ETHTOOL_TCP_DATA_SPLIT_ENABLED = 2
const ETHTOOL_A_CHANNELS_RX_MAX = 2
const ETHTOOL_A_CHANNELS_COMBINED_MAX = 5

// linux/netdev.h
const NETDEV_CMD_DEV_GET = 1
const NETDEV_A_DEV_IFINDEX = 1
const NETDEV_A_DEV_XDP_FEATURES = 3
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS = 4

/** `NETDEV_XDP_ACT_*`, in the order of their bits. */
export const XDP_FEATURES = [
  'basic',
  'redirect',
  'ndo-xmit',
  'xsk-zerocopy',
  'hw-offload',
  'rx-sg',
  'ndo-xmit-sg',
] as const
export type XdpFeature = (typeof XDP_FEATURES)[number]

export interface DriverFeatures {
  /** Names of the active offloads, as `ethtool -k` has them beside its own (`rx-gro`, `rx-vlan-hw-parse`); null when not known. */
  readonly offloads: ReadonlySet<string> | null
  /** Names of the offloads that can be switched. */
  readonly switchable: ReadonlySet<string>
  /** Header/data split: `none` when the driver says nothing of it. */
  readonly dataSplit: 'on' | 'off' | 'none'
  /** Most channels: `combined`, or receive channels of their own; null when the driver has no channels. */
  readonly channels: { readonly kind: 'combined' | 'rx'; readonly most: number } | null
  /** What the driver says of XDP; null when the kernel does not tell (before Linux 6.3). */
  readonly xdp: ReadonlySet<XdpFeature> | null
  /** Fragments of a frame in zero-copy mode; 1 when not known. */
  readonly zeroCopySegments: number
}

/** Of an interface of the namespace that the thread is in. What can't be asked is not known; never throws for it. @throws NicError */
export function driverFeatures(native: Native, ifIndex: number): DriverFeatures {
  const ethtool = GenericFamily.open(native, 'ethtool')
  const netdev = GenericFamily.open(native, 'netdev')
  const header: NetlinkAttribute = [
    ETHTOOL_A_HEADER | NLA_F_NESTED,
    writeAttributes([numberAttribute(ETHTOOL_A_HEADER_DEV_INDEX, ifIndex)]),
  ]
  const of = (command: number): ReadonlyMap<number, Uint8Array> | null => {
    const answer = ethtool?.ask(command, [header])
    return answer === undefined || typeof answer === 'number' ? null : answer
  }
  try {
    const features = of(ETHTOOL_MSG_FEATURES_GET)
    const rings = of(ETHTOOL_MSG_RINGS_GET)
    const channels = of(ETHTOOL_MSG_CHANNELS_GET)
    const device = netdev?.ask(NETDEV_CMD_DEV_GET, [numberAttribute(NETDEV_A_DEV_IFINDEX, ifIndex)])
    const known = device === undefined || typeof device === 'number' ? null : device
    return {
      offloads: features === null ? null : bitNames(features.get(ETHTOOL_A_FEATURES_ACTIVE)),
      switchable: bitNames(features?.get(ETHTOOL_A_FEATURES_HW)),
      dataSplit: readDataSplit(rings?.get(ETHTOOL_A_RINGS_TCP_DATA_SPLIT)),
      channels: readChannels(channels),
      xdp: known === null ? null : readXdpFeatures(known.get(NETDEV_A_DEV_XDP_FEATURES)),
      zeroCopySegments: attributeNumber(known?.get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS)) ?? 1,
    }
  } finally {
    ethtool?.close()
    netdev?.close()
  }
}

/**
 * Names of the bits that are set in a bitset (Documentation/networking/ethtool-netlink.rst, "Bit sets"): without a mask all that
 * are listed, else those that have a value.
 */
export function bitNames(bitset: Uint8Array | undefined): Set<string> {
  const names = new Set<string>()
  if (bitset === undefined) return names
  const parts = readAttributes(bitset)
  const bits = parts.get(ETHTOOL_A_BITSET_BITS)
  if (bits === undefined) return names
  const listed = parts.has(ETHTOOL_A_BITSET_NOMASK)
  for (const [, bit] of listAttributes(bits)) {
    const of = readAttributes(bit)
    const name = of.get(ETHTOOL_A_BITSET_BIT_NAME)
    if (name === undefined || !(listed || of.has(ETHTOOL_A_BITSET_BIT_VALUE))) continue
    names.add(Buffer.from(name).toString('latin1').replace(/\0.*$/s, ''))
  }
  return names
}

/** The low half of a 64-bit set of flags; the bits that are known. */
export function readXdpFeatures(value: Uint8Array | undefined): Set<XdpFeature> | null {
  const bits = attributeNumber(value)
  if (bits === undefined) return null
  return new Set(XDP_FEATURES.filter((_name, bit) => ((bits >>> bit) & 1) === 1))
}

function readDataSplit(value: Uint8Array | undefined): DriverFeatures['dataSplit'] {
  if (value?.[0] === ETHTOOL_TCP_DATA_SPLIT_ENABLED) return 'on'
  return value?.[0] === ETHTOOL_TCP_DATA_SPLIT_DISABLED ? 'off' : 'none'
}

function readChannels(answer: ReadonlyMap<number, Uint8Array> | null): DriverFeatures['channels'] {
  const combined = attributeNumber(answer?.get(ETHTOOL_A_CHANNELS_COMBINED_MAX)) ?? 0
  if (combined > 0) return { kind: 'combined', most: combined }
  const receive = attributeNumber(answer?.get(ETHTOOL_A_CHANNELS_RX_MAX)) ?? 0
  return receive > 0 ? { kind: 'rx', most: receive } : null
}
