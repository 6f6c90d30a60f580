import type { Native } from '../native/index.ts'
import { GenericFamily } from './generic.ts'
import { attributeNumber, type NetlinkAttribute, numberAttribute, readAttributes } from './message.ts'

/**
 * The family `netdev` of generic netlink (linux/netdev.h, Documentation/netlink/specs/netdev.yaml): what the kernel, not the
 * driver, knows of devices and their queues.
 */

const NETDEV_CMD_DEV_GET = 1
const NETDEV_CMD_QUEUE_GET = 10

const NETDEV_A_DEV_IFINDEX = 1
const NETDEV_A_DEV_XDP_FEATURES = 3
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS = 4

const NETDEV_A_QUEUE_ID = 1
const NETDEV_A_QUEUE_IFINDEX = 2
const NETDEV_A_QUEUE_TYPE = 3
const NETDEV_A_QUEUE_NAPI_ID = 4
const NETDEV_A_QUEUE_DMABUF = 5
const NETDEV_A_QUEUE_IO_URING = 6
const NETDEV_A_QUEUE_XSK = 7
const NETDEV_A_QUEUE_LEASE = 8
const NETDEV_A_IO_URING_PROVIDER_INFO_RX_BUF_LEN = 1
const NETDEV_A_LEASE_IFINDEX = 1
const NETDEV_QUEUE_TYPE_RX = 0

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

/** Who has a receive queue instead of the kernel's own stack. `lease`: a virtual interface that the queue was lent to. */
export type QueueHolder = 'io_uring' | 'af_xdp' | 'dmabuf' | 'lease'

/** One receive queue. */
export interface ReceiveQueue {
  readonly id: number
  /** NAPI instance that serves it; null when the driver doesn't say, or the interface is down. */
  readonly napiId: number | null
  readonly holder: QueueHolder | null
  /** Bytes of the buffers that io_uring gave it; null when not said (before Linux 7.3), or nobody did. */
  readonly bufferBytes: number | null
}

/** What one interface is asked over the family. It belongs to one thread. */
export class NetdevLink {
  readonly #family: GenericFamily
  readonly #ifIndex: number

  private constructor(family: GenericFamily, ifIndex: number) {
    this.#family = family
    this.#ifIndex = ifIndex
  }

  /** In the network namespace the thread is in; null before Linux 6.3. @throws NicError */
  static open(native: Native, ifIndex: number): NetdevLink | null {
    const family = GenericFamily.open(native, 'netdev')
    return family === null ? null : new NetdevLink(family, ifIndex)
  }

  /** What the driver says of XDP; null when it can't be asked. */
  xdp(): { readonly features: ReadonlySet<XdpFeature> | null; readonly zeroCopySegments: number } | null {
    const answer = this.#family.ask(NETDEV_CMD_DEV_GET, [
      numberAttribute(NETDEV_A_DEV_IFINDEX, this.#ifIndex),
    ])
    if (typeof answer === 'number') return null
    return {
      features: readXdpFeatures(answer.get(NETDEV_A_DEV_XDP_FEATURES)),
      zeroCopySegments: attributeNumber(answer.get(NETDEV_A_DEV_XDP_ZC_MAX_SEGS)) ?? 1,
    }
  }

  /** The receive queues in use, in order; none while the interface is down. Null when the kernel doesn't tell (before Linux 6.8). */
  receiveQueues(): ReceiveQueue[] | null {
    const queues = new Map<number, ReceiveQueue>()
    const wanted: NetlinkAttribute = numberAttribute(NETDEV_A_QUEUE_IFINDEX, this.#ifIndex)
    const result = this.#family.dump(NETDEV_CMD_QUEUE_GET, [wanted], (attributes) => {
      const queue = readReceiveQueue(attributes, this.#ifIndex)
      if (queue !== null) queues.set(queue.id, queue)
    })
    return result < 0 ? null : [...queues.values()].sort((a, b) => a.id - b.id)
  }

  /** Idempotent. */
  close(): void {
    this.#family.close()
  }
}

/** A message about a queue; null for one that receives nothing, belongs to another interface, or lacks what it must have. */
export function readReceiveQueue(
  attributes: ReadonlyMap<number, Uint8Array>,
  ifIndex: number,
): ReceiveQueue | null {
  const id = attributeNumber(attributes.get(NETDEV_A_QUEUE_ID))
  if (id === undefined || attributeNumber(attributes.get(NETDEV_A_QUEUE_IFINDEX)) !== ifIndex) return null
  if (attributeNumber(attributes.get(NETDEV_A_QUEUE_TYPE)) !== NETDEV_QUEUE_TYPE_RX) return null
  const provider = attributes.get(NETDEV_A_QUEUE_IO_URING)
  const size =
    provider === undefined
      ? undefined
      : attributeNumber(readAttributes(provider).get(NETDEV_A_IO_URING_PROVIDER_INFO_RX_BUF_LEN))
  return {
    id,
    napiId: attributeNumber(attributes.get(NETDEV_A_QUEUE_NAPI_ID)) ?? null,
    holder: holderOf(attributes),
    bufferBytes: size ?? null,
  }
}

function holderOf(attributes: ReadonlyMap<number, Uint8Array>): QueueHolder | null {
  if (attributes.has(NETDEV_A_QUEUE_IO_URING)) return 'io_uring'
  if (attributes.has(NETDEV_A_QUEUE_DMABUF)) return 'dmabuf'
  if (attributes.has(NETDEV_A_QUEUE_XSK)) return 'af_xdp'
  const lease = attributes.get(NETDEV_A_QUEUE_LEASE)
  return lease !== undefined && readAttributes(lease).has(NETDEV_A_LEASE_IFINDEX) ? 'lease' : null
}

/** The low half of a 64-bit set of flags; the bits that are known. Null when it is missing or shorter. */
export function readXdpFeatures(value: Uint8Array | undefined): Set<XdpFeature> | null {
  const bits = attributeNumber(value)
  if (bits === undefined) return null
  return new Set(XDP_FEATURES.filter((_name, bit) => ((bits >>> bit) & 1) === 1))
}
