import type { IpAddress } from '../../address.ts'
import { put16, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts'
import { IPV4_MIN_HEADER_BYTES, IPV4_MORE_FRAGMENTS, putIpv4 } from '../wire/ipv4.ts'
import {
  FRAGMENT_HEADER_BYTES,
  HOP_LIMIT,
  IPPROTO_FRAGMENT,
  IPV6_HEADER_BYTES,
  putIpv6,
} from '../wire/ipv6.ts'
import type { Link } from './link.ts'

/** Sends datagrams that are not TCP's, cut into fragments where the path needs it (RFC 791 3.2, RFC 8200 4.5). */
export class DatagramOutput {
  readonly #link: Link
  readonly #counters: Counters
  readonly #entropy: Entropy
  /** RFC 6864 4.3: not again within the life of a datagram. */
  #identification: number

  constructor(link: Link, counters: Counters, entropy: Entropy) {
    this.#link = link
    this.#counters = counters
    this.#entropy = entropy
    this.#identification = entropy() & 0xffff
  }

  /** Sends `payload[0..length)` to the hardware address `high`, `low`. Gives up when slots run out (counted). */
  send(
    high: number,
    low: number,
    source: IpAddress,
    destination: IpAddress,
    protocol: number,
    payload: Uint8Array,
    length: number,
    now: number,
  ): void {
    const link = this.#link
    const mtu = Math.min(link.mtuTo(destination, now), link.nic.txSlotBytes - link.linkBytes)
    const v4 = source.version === 4
    const header = v4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES
    if (header + length <= mtu) {
      const at = link.reserve()
      if (at < 0) return
      link.nic.txMemory.set(payload.subarray(0, length), at + link.transportOffset(source))
      link.send(at, high, low, source, destination, protocol, length, 0, 0, HOP_LIMIT)
      return
    }
    const piece = (mtu - header - (v4 ? 0 : FRAGMENT_HEADER_BYTES)) & ~7
    if (piece <= 0) return
    // RFC 7739: what nobody can guess can't be used to disturb reassembly.
    const identification = v4 ? this.#identification++ & 0xffff : this.#entropy()
    for (let offset = 0; offset < length; offset += piece) {
      const at = link.reserve()
      if (at < 0) return
      const bytes = Math.min(piece, length - offset)
      const more = offset + bytes < length
      const frame = link.nic.txMemory
      let data = at + link.putEthernet(at, high, low, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)
      if (v4) {
        const flags = (more ? IPV4_MORE_FRAGMENTS : 0) | (offset >>> 3)
        putIpv4(frame, data, header + bytes, identification, protocol, source.w3, destination.w3, flags)
        data += header
      } else {
        putIpv6(frame, data, FRAGMENT_HEADER_BYTES + bytes, IPPROTO_FRAGMENT, source, destination, 0)
        data += header
        put16(frame, data, protocol << 8)
        put16(frame, data + 2, offset | (more ? 1 : 0))
        put32(frame, data + 4, identification)
        data += FRAGMENT_HEADER_BYTES
      }
      frame.set(payload.subarray(offset, offset + bytes), data)
      link.commit(at, data - at + bytes)
      this.#counters.fragmentsSent++
    }
  }
}
