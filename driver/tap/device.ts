import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ArgumentError, NicError } from '../../errors.ts'
import type { LinkInfo, Native } from '../native/index.ts'
import { checkDeviceName, ERRNO, linkInfo, systemFailure } from '../system.ts'

// linux/if_tun.h
const IFF_TAP = 0x0002
const IFF_MULTI_QUEUE = 0x0100
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
const TUN_F_CSUM = 0x01
const TUN_F_TSO4 = 0x02
const TUN_F_TSO6 = 0x04
const TUN_F_TSO_ECN = 0x08

export interface TapDeviceOptions {
  /** Interface name; made when there is none of that name, else joined. */
  device: string
  /** The device stays when nobody holds it (true), or goes with the last queue (false). Default: as it is; a new one goes. */
  persist?: boolean
  /** Several queues share the device, each opened once. Default: as the device is; a new one has one queue. */
  multiQueue?: boolean
  /** Unfinished frames of up to 64 KiB come and go in one piece. Default true. */
  offload?: boolean
  /** MTU of the device, bytes of layer 3. Default: as it is; a new one has 1500. */
  mtu?: number
}

/** A queue of a TAP device and what is known of its interface. */
export interface TapDevice {
  readonly fd: number
  readonly facts: LinkInfo
  /** It was made by this call. */
  readonly created: boolean
  readonly offload: boolean
}

/** Opens a queue and sets the interface up. The caller closes `fd`. @throws NicError */
export function openTap(native: Native, options: TapDeviceOptions): TapDevice {
  const { device, persist, offload = true, mtu = 0 } = options
  checkDeviceName(device)
  // The kernel would put a number in its place.
  if (device.includes('%')) throw new ArgumentError(`${device} is a pattern of names`, 'name one device')
  const before = native.linkInfo(device)
  const created = before === -ERRNO.ENODEV
  if (!created) checkTap(linkInfo(native, device), device)
  const several = options.multiQueue ?? (!created && hasSeveralQueues(device))
  const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0)
  const fd = native.tapOpen(device, flags)
  if (fd < 0) throw openFailure(native, fd, device, several)
  const must = (result: number, call: string): void => {
    if (result < 0) throw systemFailure(result, call, device)
  }
  try {
    const wanted = offload ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0
    must(native.tapSetOffload(fd, wanted), 'TUNSETOFFLOAD')
    if (persist !== undefined) must(native.tapSetPersist(fd, persist), 'TUNSETPERSIST')
    must(native.setLink(device, mtu, 0), 'setting the interface up')
    return { fd, facts: linkInfo(native, device), created, offload }
  } catch (error) {
    native.close(fd)
    throw error
  }
}

/**
 * The hardware address of our end. The device's own is the kernel's; ours is made of it, so that it is the same at the next
 * start and for every queue, and so that neighbours need not learn it again.
 */
export function ourHardwareAddress(facts: LinkInfo): Uint8Array {
  const digest = createHash('sha256').update(facts.mac).digest()
  // Locally administered, no group.
  return Uint8Array.of(0x02, ...digest.subarray(0, 5))
}

function checkTap(facts: LinkInfo, device: string): void {
  if (facts.driver === 'tun') return
  throw new NicError(
    'ZCRX_NIC_UNSUPPORTED',
    `${device} is no TAP device but one of ${facts.driver || 'another kind'}`,
    `take another name, or xdp:${device}`,
  )
}

/** What sysfs says of the device; it shows the namespace that it was mounted in, so this may be unknown: one queue then. */
function hasSeveralQueues(device: string): boolean {
  try {
    return (Number(readFileSync(`/sys/class/net/${device}/tun_flags`, 'latin1')) & IFF_MULTI_QUEUE) !== 0
  } catch {
    return false
  }
}

function openFailure(native: Native, result: number, device: string, several: boolean): NicError {
  const errno = -result
  if (errno === ERRNO.ENOENT || errno === ERRNO.ENXIO)
    return new NicError('ZCRX_NIC_UNSUPPORTED', 'there is no /dev/net/tun', 'modprobe tun', errno)
  if (errno === ERRNO.EBUSY)
    return new NicError(
      'ZCRX_NIC_BUSY',
      `the TAP device ${device} is held by another program`,
      several ? 'stop it' : 'stop it, or make the device with several queues (multi_queue)',
      errno,
    )
  if (errno === ERRNO.EINVAL && typeof native.linkInfo(device) !== 'number')
    return new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${device} can't be joined with ${several ? 'several queues' : 'one queue'}`,
      several ? 'open it with one queue' : 'open it with several queues (multiQueue, or ?queues=many)',
      errno,
    )
  return systemFailure(result, 'opening a TAP device', device)
}
