import type { Counters } from '../counters.ts'
import type { Teller } from '../siblings/teller.ts'
import { ARP_BYTES } from '../wire/arp.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../wire/ethernet.ts'
import type { InputContext } from './context.ts'
import { isMac } from './dad.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { Ipv4Input } from './ipv4-input.ts'
import type { Ipv6Input } from './ipv6-input.ts'
import type { Link } from './link.ts'

/** VLAN id in a tag control field (IEEE 802.1Q). */
const VLAN_ID = 0x0fff

/** One frame, whose headers are at hand: filters hardware addresses and VLAN tags, and hands it to ARP, IPv4 or IPv6. */
export class FrameInput {
  readonly #headers: FrameHeaders
  readonly #counters: Counters
  readonly #link: Link
  readonly #ipv4: Ipv4Input
  readonly #ipv6: Ipv6Input
  readonly #teller: Teller | null

  /** @param teller null: a sibling tells of these frames, which are not answered */
  constructor(context: InputContext, ipv4: Ipv4Input, ipv6: Ipv6Input, teller: Teller | null) {
    this.#headers = context.headers
    this.#counters = context.counters
    this.#link = context.link
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
    this.#teller = teller
  }

  /** Takes the frame that `FrameHeaders` has begun with. */
  input(now: number): void {
    const counters = this.#counters
    const headers = this.#headers
    if (!headers.need(ETHERNET_HEADER_BYTES)) {
      counters.dropMalformed++
      return
    }
    const at = this.#tags()
    if (at < 0) return
    const type = headers.view.getUint16(at - 2)
    if (type === ETHERTYPE_ARP) {
      if (!headers.need(at + ARP_BYTES)) counters.dropMalformed++
      else if (this.#link.arp.input(headers.bytes, at, now, this.#teller === null))
        this.#teller?.tell(true, now)
      return
    }
    if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) {
      counters.dropProtocol++
      return
    }
    // A group is nobody's source: what answers it would go to everybody.
    if ((headers.bytes[6]! & 1) !== 0) {
      counters.dropNotForUs++
      return
    }
    // A switch that floods, or a promiscuous interface, shows us what is for others: it must not be answered.
    if (!this.#forUs(type)) {
      counters.dropNotForUs++
      return
    }
    if (type === ETHERTYPE_IPV4) this.#ipv4.input(at, now)
    else this.#ipv6.input(at, now)
  }

  /**
   * Steps over at most two VLAN tags (802.1Q, 802.1ad). Returns where the payload begins, -1 when the tags are not ours
   * (counted). A tag of VLAN 0 says the priority only and belongs to no VLAN.
   */
  #tags(): number {
    const headers = this.#headers
    const { vlan } = this.#link.frames
    let at = ETHERNET_HEADER_BYTES
    let matched = 0
    for (let tags = 0; ; tags++) {
      const type = headers.view.getUint16(at - 2)
      if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_QINQ) break
      if (tags === 2 || !headers.need(at + 4)) {
        this.#counters.dropMalformed++
        return -1
      }
      const id = headers.view.getUint16(at) & VLAN_ID
      if (id !== 0) {
        if (vlan[matched] !== id) {
          this.#counters.dropVlan++
          return -1
        }
        matched++
      }
      at += 4
    }
    if (matched === vlan.length) return at
    this.#counters.dropVlan++
    return -1
  }

  /** Whether the frame's destination is our hardware address (or was, before it changed), or the group of an IPv6 multicast address (RFC 2464 section 7). */
  #forUs(type: number): boolean {
    const header = this.#headers.bytes
    if (type === ETHERTYPE_IPV6 && header[0] === 0x33 && header[1] === 0x33) {
      const { view } = this.#headers
      const low = view.getInt32(2)
      // Whether the group is one of ours, the IPv6 address says.
      return low === 1 || low >>> 24 === 0xff
    }
    const { mac, formerMacs } = this.#link
    if (isMac(header, mac)) return true
    for (let i = 0; i < formerMacs.length; i++) if (isMac(header, formerMacs[i]!)) return true
    return false
  }
}
