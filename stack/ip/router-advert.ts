import { IpAddress } from '../../address.ts'
import { get16 } from '../../bytes.ts'
import { NDP_MTU, NDP_PREFIX, NDP_SOURCE_LINK_ADDRESS } from '../wire/icmp.ts'

/** Bytes of a router advertisement without options. */
const ADVERT_BYTES = 16
const PREFIX_OPTION_BYTES = 32
const ON_LINK = 0x80
const AUTONOMOUS = 0x40
/** Prefixes of one message that are looked at. */
const MAX_PREFIXES = 16
const INFINITE = 0xffffffff

/** A prefix information option (RFC 4861 4.6.2). Lifetimes in microseconds, Infinity for ever. */
export interface PrefixInformation {
  readonly prefix: IpAddress
  readonly prefixLength: number
  readonly onLink: boolean
  /** Addresses may be made of it. */
  readonly autonomous: boolean
  readonly validUs: number
  readonly preferredUs: number
}

/** What a router advertisement says (RFC 4861 4.2). DNS servers and whatever else is in options is not read. */
export interface RouterAdvert {
  /** How long the router is one to send to; 0 = it is none. Microseconds. */
  readonly lifetimeUs: number
  /** Six bytes; null when not said. */
  readonly mac: Uint8Array | null
  /** Bytes of an IPv6 packet; 0 when not said. */
  readonly mtu: number
  readonly prefixes: readonly PrefixInformation[]
}

/** Reads `length` bytes at `at`, all of which are there; null when they are malformed (RFC 4861 6.1.2). */
export function readRouterAdvert(bytes: Uint8Array, at: number, length: number): RouterAdvert | null {
  if (length < ADVERT_BYTES) return null
  const end = at + length
  const prefixes: PrefixInformation[] = []
  let mac: Uint8Array | null = null
  let mtu = 0
  for (let option = at + ADVERT_BYTES; option < end; ) {
    const size = option + 1 < end ? bytes[option + 1]! * 8 : 0
    if (size === 0 || option + size > end) return null
    const kind = bytes[option]
    if (kind === NDP_SOURCE_LINK_ADDRESS && size === 8) {
      // A group address is nobody's.
      if ((bytes[option + 2]! & 1) !== 0) return null
      mac = bytes.slice(option + 2, option + 8)
    } else if (kind === NDP_MTU && size === 8) mtu = word(bytes, option + 4)
    else if (kind === NDP_PREFIX && size === PREFIX_OPTION_BYTES && prefixes.length < MAX_PREFIXES) {
      const prefix = readPrefix(bytes, option)
      if (prefix !== null) prefixes.push(prefix)
    }
    option += size
  }
  return { lifetimeUs: get16(bytes, at + 6) * 1e6, mac, mtu, prefixes }
}

function readPrefix(bytes: Uint8Array, at: number): PrefixInformation | null {
  const prefixLength = bytes[at + 2]!
  const address = IpAddress.at(bytes, at + 16)
  // RFC 4862 5.5.3 (b), RFC 4861 6.3.4: the link-local prefix is not a router's to tell.
  if (prefixLength > 128 || address.version !== 6 || address.multicast || address.linkLocal) return null
  const flags = bytes[at + 3]!
  return {
    prefix: maskOf(address, prefixLength),
    prefixLength,
    onLink: (flags & ON_LINK) !== 0,
    autonomous: (flags & AUTONOMOUS) !== 0,
    validUs: lifetime(word(bytes, at + 4)),
    preferredUs: lifetime(word(bytes, at + 8)),
  }
}

/** The first bits of an address, the rest zero. */
function maskOf(address: IpAddress, bits: number): IpAddress {
  const mask = (value: number, from: number): number => {
    const left = bits - from
    if (left >= 32) return value
    return left <= 0 ? 0 : value & (-1 << (32 - left))
  }
  return new IpAddress(mask(address.w0, 0), mask(address.w1, 32), mask(address.w2, 64), mask(address.w3, 96))
}

function word(bytes: Uint8Array, at: number): number {
  return get16(bytes, at) * 65_536 + get16(bytes, at + 2)
}

function lifetime(seconds: number): number {
  return seconds === INFINITE ? Number.POSITIVE_INFINITY : seconds * 1e6
}
