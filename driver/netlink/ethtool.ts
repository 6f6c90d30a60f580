import type { Native } from '../native/index.ts'
import { GenericFamily } from './generic.ts'
import {
  attributeNumber,
  attributeText,
  listAttributes,
  type NetlinkAttribute,
  NLA_F_NESTED,
  numberAttribute,
  readAttributes,
  writeAttributes,
} from './message.ts'

/** The family `ethtool` of generic netlink (linux/ethtool_netlink.h, Documentation/networking/ethtool-netlink.rst). */

const ETHTOOL_MSG_FEATURES_GET = 11
const ETHTOOL_MSG_FEATURES_SET = 12
const ETHTOOL_MSG_RINGS_GET = 15
const ETHTOOL_MSG_RINGS_SET = 16
const ETHTOOL_MSG_CHANNELS_GET = 17
const ETHTOOL_MSG_RSS_GET = 38
const ETHTOOL_MSG_RSS_SET = 48

/** The same number in each message. */
const ETHTOOL_A_HEADER = 1
const ETHTOOL_A_HEADER_DEV_INDEX = 1
const ETHTOOL_A_FEATURES_HW = 2
const ETHTOOL_A_FEATURES_WANTED = 3
const ETHTOOL_A_FEATURES_ACTIVE = 4
const ETHTOOL_A_BITSET_NOMASK = 1
const ETHTOOL_A_BITSET_BITS = 3
const ETHTOOL_A_BITSET_BITS_BIT = 1
const ETHTOOL_A_BITSET_BIT_NAME = 2
const ETHTOOL_A_BITSET_BIT_VALUE = 3
const ETHTOOL_A_RINGS_RX_BUF_LEN = 10
const ETHTOOL_A_RINGS_TCP_DATA_SPLIT = 11
const ETHTOOL_A_RINGS_HDS_THRESH = 17
const ETHTOOL_A_CHANNELS_RX_MAX = 2
const ETHTOOL_A_CHANNELS_COMBINED_MAX = 5
const ETHTOOL_A_RSS_INDIR = 4

/** `ETHTOOL_TCP_DATA_SPLIT_*`: `auto` leaves it to the driver, which answers what it does. */
export const DATA_SPLIT = { auto: 0, off: 1, on: 2 } as const
export type DataSplit = keyof typeof DATA_SPLIT

/** Tables of receive-side scaling are longer in no device. */
const MAX_TABLE = 65_536

/** How the receive rings are set. */
export interface Rings {
  /** Header/data split: `none` when the driver says nothing of it. */
  readonly dataSplit: 'on' | 'off' | 'none'
  /** Bytes up to which a packet is not split; null when not said (before Linux 6.14, or the driver has no such limit). */
  readonly splitThreshold: number | null
  /** Bytes of a receive buffer; null when not said. */
  readonly bufferBytes: number | null
}

/** Offloads by the names that `ethtool -k` has beside its own (`rx-gro`, `rx-ntuple-filter`). */
export interface Offloads {
  readonly active: ReadonlySet<string>
  /** Those that can be switched. */
  readonly switchable: ReadonlySet<string>
}

/** Most channels: `combined`, or receive channels of their own. */
export interface Channels {
  readonly kind: 'combined' | 'rx'
  readonly most: number
}

/** What one interface is asked and told over the family. It belongs to one thread. */
export class EthtoolLink {
  readonly #family: GenericFamily
  readonly #header: NetlinkAttribute

  private constructor(family: GenericFamily, ifIndex: number) {
    this.#family = family
    this.#header = [
      ETHTOOL_A_HEADER | NLA_F_NESTED,
      writeAttributes([numberAttribute(ETHTOOL_A_HEADER_DEV_INDEX, ifIndex)]),
    ]
  }

  /** In the network namespace the thread is in; null before Linux 5.6. @throws NicError */
  static open(native: Native, ifIndex: number): EthtoolLink | null {
    const family = GenericFamily.open(native, 'ethtool')
    return family === null ? null : new EthtoolLink(family, ifIndex)
  }

  /** Null when it can't be asked. */
  offloads(): Offloads | null {
    const answer = this.#ask(ETHTOOL_MSG_FEATURES_GET)
    if (answer === null) return null
    return {
      active: bitNames(answer.get(ETHTOOL_A_FEATURES_ACTIVE)),
      switchable: bitNames(answer.get(ETHTOOL_A_FEATURES_HW)),
    }
  }

  /** Null when the driver answers nothing of rings. */
  rings(): Rings | null {
    const answer = this.#ask(ETHTOOL_MSG_RINGS_GET)
    return answer === null ? null : readRings(answer)
  }

  /** Null when the driver has no channels. */
  channels(): Channels | null {
    const answer = this.#ask(ETHTOOL_MSG_CHANNELS_GET)
    return answer === null ? null : readChannels(answer)
  }

  /** Receive queue by hash, the table of the main context of RSS; null when the driver has none, or the kernel tells nothing (before 6.2). */
  indirection(): number[] | null {
    const answer = this.#ask(ETHTOOL_MSG_RSS_GET)
    return answer === null ? null : readIndirection(answer.get(ETHTOOL_A_RSS_INDIR))
  }

  /** `ethtool -G … tcp-data-split`. 0 or a negative errno. */
  setDataSplit(split: DataSplit): number {
    const value: NetlinkAttribute = [ETHTOOL_A_RINGS_TCP_DATA_SPLIT, Uint8Array.of(DATA_SPLIT[split])]
    return this.#family.order(ETHTOOL_MSG_RINGS_SET, [this.#header, value])
  }

  /** `ethtool -G … hds-thresh`. @param bytes up to which a packet is not split. 0 or a negative errno. */
  setSplitThreshold(bytes: number): number {
    return this.#family.order(ETHTOOL_MSG_RINGS_SET, [
      this.#header,
      numberAttribute(ETHTOOL_A_RINGS_HDS_THRESH, bytes),
    ])
  }

  /** `ethtool -X`. @param table empty: the driver's own again. 0 or a negative errno; `-EOPNOTSUPP` also before Linux 6.17. */
  setIndirection(table: readonly number[]): number {
    const words = Uint32Array.from(table)
    return this.#family.order(ETHTOOL_MSG_RSS_SET, [
      this.#header,
      [ETHTOOL_A_RSS_INDIR, new Uint8Array(words.buffer)],
    ])
  }

  /** `ethtool -K`. 0 or a negative errno. */
  setOffload(name: string, on: boolean): number {
    return this.#family.order(ETHTOOL_MSG_FEATURES_SET, [this.#header, wantedBit(name, on)])
  }

  /** Why the last request was refused, in the kernel's words; empty when it gave none. */
  get said(): string {
    return this.#family.said
  }

  /** Idempotent. */
  close(): void {
    this.#family.close()
  }

  #ask(command: number): ReadonlyMap<number, Uint8Array> | null {
    const answer = this.#family.ask(command, [this.#header])
    return typeof answer === 'number' ? null : answer
  }
}

/** One bit that is to be switched, as a bitset with its mask. */
export function wantedBit(name: string, on: boolean): NetlinkAttribute {
  const bit = writeAttributes([
    [ETHTOOL_A_BITSET_BIT_NAME, new TextEncoder().encode(`${name}\0`)],
    ...(on ? [[ETHTOOL_A_BITSET_BIT_VALUE, new Uint8Array(0)] as const] : []),
  ])
  const bits = writeAttributes([[ETHTOOL_A_BITSET_BITS_BIT | NLA_F_NESTED, bit]])
  return [
    ETHTOOL_A_FEATURES_WANTED | NLA_F_NESTED,
    writeAttributes([[ETHTOOL_A_BITSET_BITS | NLA_F_NESTED, bits]]),
  ]
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
    names.add(attributeText(name))
  }
  return names
}

export function readRings(answer: ReadonlyMap<number, Uint8Array>): Rings {
  const [split] = answer.get(ETHTOOL_A_RINGS_TCP_DATA_SPLIT) ?? []
  return {
    dataSplit: split === DATA_SPLIT.on ? 'on' : split === DATA_SPLIT.off ? 'off' : 'none',
    splitThreshold: attributeNumber(answer.get(ETHTOOL_A_RINGS_HDS_THRESH)) ?? null,
    bufferBytes: attributeNumber(answer.get(ETHTOOL_A_RINGS_RX_BUF_LEN)) ?? null,
  }
}

export function readChannels(answer: ReadonlyMap<number, Uint8Array>): Channels | null {
  const combined = attributeNumber(answer.get(ETHTOOL_A_CHANNELS_COMBINED_MAX)) ?? 0
  if (combined > 0) return { kind: 'combined', most: combined }
  const receive = attributeNumber(answer.get(ETHTOOL_A_CHANNELS_RX_MAX)) ?? 0
  return receive > 0 ? { kind: 'rx', most: receive } : null
}

/** A table of queue numbers; null when there is none, or its length can't be right. */
export function readIndirection(value: Uint8Array | undefined): number[] | null {
  if (value === undefined || value.length === 0 || value.length % 4 !== 0) return null
  if (value.length / 4 > MAX_TABLE) return null
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  return Array.from({ length: value.length / 4 }, (_, i) => view.getUint32(4 * i, true))
}
