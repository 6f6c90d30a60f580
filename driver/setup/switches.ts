import { NicError } from '../../errors.ts'
import { loadNative, type Native } from '../native/index.ts'
import {
  type DataSplit,
  EthtoolLink,
  NetdevLink,
  type Offloads,
  type QueueHolder,
  type Rings,
} from '../netlink/index.ts'
import { ERRNO, errnoName, inNamespace, linkInfo, systemFailure } from '../system.ts'
import { type FlowRule, insertRule, listRules, type PortRule, removeRule } from './rules.ts'

/** The name of the offload that rules for flows need (`ethtool -K … ntuple`). */
export const NTUPLE = 'rx-ntuple-filter'

/** What of an interface decides which queue gets what, to be read and switched. A refused change throws a `NicError`. */
export interface QueueSwitches {
  /** Receive queues in use. */
  readonly queues: number
  /** Who has the queue instead of the kernel's own stack; null when nobody has, or it can't be asked. */
  holder(queue: number): QueueHolder | null
  /** Null when the driver answers nothing of rings. */
  rings(): Rings | null
  /** Header/data split: on, off, or as the driver likes. */
  setDataSplit(split: DataSplit): void
  /** @param bytes up to which a packet is not split */
  setSplitThreshold(bytes: number): void
  /** Receive queue by hash; null when there is no RSS. */
  indirection(): readonly number[] | null
  /** @param table empty: the driver's own again */
  setIndirection(table: readonly number[]): void
  /** Null when they can't be asked. */
  offloads(): Offloads | null
  /** An offload by ethtool's name, such as `NTUPLE`. */
  setOffload(name: string, on: boolean): void
  /** Null when the driver has none, or they can't be asked. */
  rules(): readonly FlowRule[] | null
  /** Returns the rule's location. */
  insertRule(rule: PortRule): number
  /** Takes a rule of `insertRule` away. */
  removeRule(location: number): void
  /** Idempotent. */
  close(): void
}

/** The switches of an interface of this machine. They belong to one thread. */
export class LinkSwitches implements QueueSwitches {
  readonly queues: number
  readonly #native: Native
  readonly #device: string
  readonly #netns: string | undefined
  readonly #link: EthtoolLink
  readonly #netdev: NetdevLink | null

  /** @param netns path of the network namespace the interface is in; undefined: the thread's @throws NicError */
  static open(device: string, netns?: string): LinkSwitches {
    const native = loadNative()
    return inNamespace(native, netns, () => {
      const { index, rxQueues } = linkInfo(native, device)
      const link = EthtoolLink.open(native, index)
      if (link === null)
        throw new NicError(
          'ZCRX_NIC_UNSUPPORTED',
          'this kernel has no ethtool over netlink',
          'Linux 5.6 has, with CONFIG_ETHTOOL_NETLINK',
        )
      return new LinkSwitches(
        native,
        { device, netns, queues: rxQueues },
        link,
        NetdevLink.open(native, index),
      )
    })
  }

  private constructor(
    native: Native,
    { device, netns, queues }: { device: string; netns: string | undefined; queues: number },
    link: EthtoolLink,
    netdev: NetdevLink | null,
  ) {
    this.#native = native
    this.#device = device
    this.#netns = netns
    this.#link = link
    this.#netdev = netdev
    this.queues = queues
  }

  holder(queue: number): QueueHolder | null {
    return this.#netdev?.receiveQueues()?.find(({ id }) => id === queue)?.holder ?? null
  }

  rings(): Rings | null {
    return this.#link.rings()
  }

  setDataSplit(split: DataSplit): void {
    this.#expect(this.#link.setDataSplit(split), 'header/data split')
  }

  setSplitThreshold(bytes: number): void {
    this.#expect(this.#link.setSplitThreshold(bytes), 'hds-thresh')
  }

  indirection(): readonly number[] | null {
    return this.#link.indirection()
  }

  setIndirection(table: readonly number[]): void {
    const result = this.#link.setIndirection(table)
    // Before Linux 6.17 netlink only reads the table.
    if (result === -ERRNO.EOPNOTSUPP) this.#expect(this.#setIndirectionByIoctl(table), 'RSS', '')
    else this.#expect(result, 'RSS')
  }

  offloads(): Offloads | null {
    return this.#link.offloads()
  }

  setOffload(name: string, on: boolean): void {
    this.#expect(this.#link.setOffload(name, on), name)
    // The driver has the last word, and the request is no failure then.
    if (this.#link.offloads()?.active.has(name) === !on)
      throw switchRefused(-ERRNO.EOPNOTSUPP, `${name} ${on ? 'on' : 'off'}`, this.#device, '')
  }

  rules(): readonly FlowRule[] | null {
    const rules = inNamespace(this.#native, this.#netns, () => listRules(this.#native, this.#device))
    return typeof rules === 'number' ? null : rules
  }

  insertRule(rule: PortRule): number {
    const result = inNamespace(this.#native, this.#netns, () => insertRule(this.#native, this.#device, rule))
    this.#expect(result, 'rules for flows', '')
    return result
  }

  removeRule(location: number): void {
    const result = inNamespace(this.#native, this.#netns, () =>
      removeRule(this.#native, this.#device, location),
    )
    this.#expect(result, 'rules for flows', '')
  }

  close(): void {
    this.#link.close()
    this.#netdev?.close()
  }

  /** struct ethtool_rxfh_indir. */
  #setIndirectionByIoctl(table: readonly number[]): number {
    const ETHTOOL_SRXFHINDIR = 0x39
    const words = Uint32Array.from([ETHTOOL_SRXFHINDIR, table.length, ...table])
    return inNamespace(this.#native, this.#netns, () =>
      this.#native.ethtool(this.#device, new Uint8Array(words.buffer)),
    )
  }

  #expect(result: number, what: string, said: string = this.#link.said): void {
    if (result < 0) throw switchRefused(result, what, this.#device, said)
  }
}

/** @param result negative errno @param what was to be changed @param said the kernel's own words, if it had any */
export function switchRefused(result: number, what: string, device: string, said: string): NicError {
  const errno = -result
  const words = said === '' ? errnoName(errno) : `${errnoName(errno)}, ${said}`
  if (errno === ERRNO.EOPNOTSUPP) {
    const remedy = 'zcrxd doctor says what it has'
    return new NicError('ZCRX_NIC_UNSUPPORTED', `${device} does not offer ${what} (${words})`, remedy, errno)
  }
  const message = `${what} of ${device} can’t be changed (${words})`
  if (errno === ERRNO.EBUSY || errno === ERRNO.EEXIST)
    return new NicError('ZCRX_NIC_BUSY', message, 'zcrxd doctor says who has its queues', errno)
  if (errno !== ERRNO.EINVAL && errno !== ERRNO.ENOSPC)
    return systemFailure(result, `changing ${what}`, device)
  const remedy = said === '' ? 'the driver takes another value, or has no room' : ''
  return new NicError('ZCRX_NIC_SYSTEM', message, remedy, errno)
}
