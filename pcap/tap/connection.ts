import { formatIpv4, formatIpv6 } from '../../address.ts'
import { get16, get32 } from '../../bytes.ts'
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN } from '../../stack/wire/ethernet.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import {
  IPPROTO_DESTINATION,
  IPPROTO_FRAGMENT,
  IPPROTO_HOP_BY_HOP,
  IPPROTO_ROUTING,
} from '../../stack/wire/ipv6.ts'

/** Bytes at the start of a frame in which its connection is looked for. */
export const HEADER_BYTES = 192
/** Names kept; a power of two. */
const SLOTS = 256
const EXTENSIONS = new Set([IPPROTO_HOP_BY_HOP, IPPROTO_ROUTING, IPPROTO_DESTINATION])

/** Names TCP connections by the headers of their frames, and remembers the names. */
export class ConnectionNames {
  readonly #keys: (Uint8Array | null)[] = new Array(SLOTS).fill(null)
  readonly #names: string[] = new Array(SLOTS).fill('')
  /** Where the addresses of the frame are, and behind which byte they end; where its ports are. */
  #addresses = 0
  #addressesEnd = 0
  #ports = 0

  /**
   * `192.0.2.2:41000 > 192.0.2.1:9000`, IPv6 in brackets: who sent the frame that begins with `bytes[start, end)`, and to
   * whom. Empty for what is not TCP, or whose ports are not in these bytes.
   */
  name(bytes: Uint8Array, start: number, end: number): string {
    if (!this.#find(bytes, start + 14, end)) return ''
    const ports = get32(bytes, this.#ports)
    const mixed = Math.imul(ports ^ (ports >>> 15) ^ get32(bytes, this.#addressesEnd - 4), 0x9e37_79b1)
    const slot = (mixed ^ (mixed >>> 16)) & (SLOTS - 1)
    const key = this.#keys[slot]!
    if (key !== null && this.#same(key, bytes)) return this.#names[slot]!
    const addresses = bytes.slice(this.#addresses, this.#addressesEnd)
    const kept = new Uint8Array(addresses.length + 4)
    kept.set(addresses)
    kept.set(bytes.subarray(this.#ports, this.#ports + 4), addresses.length)
    this.#keys[slot] = kept
    const half = addresses.length / 2
    const side = (at: number, port: number): string => `${format(kept, at, half)}:${get16(bytes, port)}`
    const name = `${side(0, this.#ports)} > ${side(half, this.#ports + 2)}`
    this.#names[slot] = name
    return name
  }

  #same(key: Uint8Array, bytes: Uint8Array): boolean {
    const length = this.#addressesEnd - this.#addresses
    if (key.length !== length + 4) return false
    for (let i = 0; i < length; i++) if (key[i] !== bytes[this.#addresses + i]) return false
    return get32(key, length) === get32(bytes, this.#ports)
  }

  /** Finds addresses and ports behind an Ethernet header that ends at `at`; false when there are none. */
  #find(bytes: Uint8Array, at: number, end: number): boolean {
    const untagged = at
    while (at + 4 <= end && at <= untagged + 4 && isTag(get16(bytes, at - 2))) at += 4
    if (at > end) return false
    const type = get16(bytes, at - 2)
    if (type === ETHERTYPE_IPV4 && at + 20 <= end) {
      const headerBytes = (bytes[at]! & 0xf) * 4
      if (bytes[at]! >>> 4 !== 4 || headerBytes < 20 || bytes[at + 9] !== IPPROTO_TCP) return false
      // Of a datagram in fragments the first one has the ports.
      if ((get16(bytes, at + 6) & 0x1fff) !== 0) return false
      this.#addresses = at + 12
      this.#addressesEnd = at + 20
      this.#ports = at + headerBytes
    } else if (type === ETHERTYPE_IPV6 && at + 40 <= end) {
      this.#addresses = at + 8
      this.#addressesEnd = at + 40
      this.#ports = behindExtensions(bytes, at, end)
      if (this.#ports < 0) return false
    } else return false
    return this.#ports + 4 <= end
  }
}

function isTag(type: number): boolean {
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ
}

/** Where the TCP header behind an IPv6 header at `at` begins, -1 when there is none. */
function behindExtensions(bytes: Uint8Array, at: number, end: number): number {
  let next = bytes[at + 6]!
  at += 40
  while (next !== IPPROTO_TCP) {
    const fragment = next === IPPROTO_FRAGMENT
    if (!(fragment || EXTENSIONS.has(next)) || at + 8 > end) return -1
    if (fragment && (get16(bytes, at + 2) & 0xfff8) !== 0) return -1
    next = bytes[at]!
    at += fragment ? 8 : (bytes[at + 1]! + 1) * 8
  }
  return at
}

function format(bytes: Uint8Array, at: number, length: number): string {
  if (length === 4) return formatIpv4(get32(bytes, at))
  const [w0, w1, w2, w3] = [0, 4, 8, 12].map((from) => get32(bytes, at + from))
  return `[${formatIpv6({ w0: w0!, w1: w1!, w2: w2!, w3: w3! })}]`
}
